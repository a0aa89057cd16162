"""What the loader gives the models: sizes, flips, boxes and masks that fit each other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bcnet import cli
from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.files import InputError, write_json
from bcnet.params.models import Schedule
from bcnet.training.loader import Masks, MaskTargets, TrainingPictures, picture_tensor, resized

HEIGHT, WIDTH = 60, 90


def schedule(**values: object) -> Schedule:
    base = {"iterations": 10, "batch": 2, "lr": 0.1, "short_side": [HEIGHT], "max_side": 200, "flip": 0.0}
    return Schedule.model_validate({**base, **values})


@pytest.fixture
def bilayer(tmp_path: Path) -> Path:
    """Two pictures: one with two objects that overlap and a crowd, one with none. Category ids have a gap."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0, 10:40, 5:30] = True
    masks[1, 20:50, 25:70] = True
    masks[1] &= ~masks[0]
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[masks[0]], picture[masks[1]] = (200, 0, 0), (0, 0, 200)
    Image.fromarray(picture).save(tmp_path / "a.png")
    crowd = {"id": 3, "image_id": 1, "category_id": 7, "iscrowd": 1, "bbox": [0, 0, 9, 9], "area": 81, "occluder": None}
    crowd["segmentation"] = encode(np.pad(np.ones((9, 9), bool), ((0, HEIGHT - 9), (0, WIDTH - 9))))
    objects = [
        {
            "id": i + 1,
            "image_id": 1,
            "category_id": (7, 2)[i],
            "iscrowd": 0,
            "area": int(masks[i].sum()),
            "bbox": [[5, 10, 25, 30], [25, 20, 45, 30]][i],
            "segmentation": encode(masks[i]),
            "occluder": [encode(masks[1]), None][i],
        }
        for i in range(2)
    ]
    images = [{"id": i, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for i, n in ((1, "a"), (4, "b"))]
    categories = [{"id": 7, "name": "seven"}, {"id": 2, "name": "two"}]
    write_json(tmp_path / "train.json", {"images": images, "annotations": [*objects, crowd], "categories": categories})
    return tmp_path / "train.json"


def pictures(
    bilayer: Path, masks: Masks = "visible", mask_targets: MaskTargets = "bitmaps", **values: object
) -> TrainingPictures:
    return TrainingPictures(bilayer, bilayer.parent, schedule(**values), 0, "RGB", masks, mask_targets)


def test_an_item_is_the_picture_with_its_objects(bilayer: Path) -> None:
    data = pictures(bilayer)
    assert len(data) == 1  # the picture without objects trains nothing
    item = data[(0, 0, 0)]
    instances = item["instances"]
    assert item["image"].shape == (3, HEIGHT, WIDTH)
    assert item["image"].dtype == torch.uint8
    assert instances.gt_classes.tolist() == [1, 0]  # categories by id: 2, 7
    assert instances.gt_boxes.tensor.tolist() == [[5, 10, 30, 40], [25, 20, 70, 50]]
    red, blue = item["image"][0] == 200, item["image"][2] == 200
    assert torch.equal(instances.gt_masks.tensor, torch.stack([red, blue]))
    assert torch.equal(instances.gt_occluder_masks.tensor, torch.stack([blue, torch.zeros_like(blue)]))


def test_occluders_are_left_out_for_methods_that_learn_none(bilayer: Path) -> None:
    data = TrainingPictures(bilayer, bilayer.parent, schedule(), 0, "RGB", occluders=False)
    fields = data[(0, 0, 0)]["instances"].get_fields()
    assert set(fields) == {"gt_boxes", "gt_classes", "gt_masks"}
    assert torch.equal(fields["gt_masks"].tensor, pictures(bilayer)[(0, 0, 0)]["instances"].gt_masks.tensor)


def test_a_flip_turns_everything_round(bilayer: Path) -> None:
    plain, flipped = pictures(bilayer)[(0, 0, 0)], pictures(bilayer, flip=1.0)[(0, 0, 0)]
    assert torch.equal(flipped["image"], plain["image"].flip(-1))
    assert flipped["instances"].gt_boxes.tensor.tolist() == [[60, 10, 85, 40], [20, 20, 65, 50]]
    for field in ("gt_masks", "gt_occluder_masks"):
        ours, theirs = flipped["instances"].get(field).tensor, plain["instances"].get(field).tensor
        assert torch.equal(ours, theirs.flip(-1))


def test_boxes_and_masks_follow_the_size(bilayer: Path) -> None:
    instances = pictures(bilayer, short_side=[30])[(0, 0, 0)]["instances"]
    assert instances.image_size == (30, 45)
    assert instances.gt_boxes.tensor.tolist() == [[2.5, 5, 15, 20], [12.5, 10, 35, 25]]
    tight = instances.gt_masks.get_bounding_boxes().tensor
    assert (tight - instances.gt_boxes.tensor).abs().max() <= 2.5  # the second object's visible mask ends at 30, not 25


@pytest.fixture
def outlines(bilayer: Path) -> Path:
    """The same file with a polygon for each object; the crowd stays RLE."""
    content = annotation_file.read(bilayer)
    content["annotations"][0]["segmentation"] = [[5, 10, 30, 10, 30, 40, 5, 40]]
    content["annotations"][1]["segmentation"] = [[30, 20, 70, 20, 70, 50, 30, 50], [25, 40, 30, 40, 30, 50, 25, 50]]
    write_json(bilayer, content)
    return bilayer


@pytest.mark.parametrize(("sampling", "expected"), [("choice", {40, 45}), ("range", set(range(40, 46)))])
def test_short_sides_are_of_the_list_or_of_its_range(bilayer: Path, sampling: str, expected: set[int]) -> None:
    data = pictures(bilayer, short_side=[45, 40], short_side_sampling=sampling)
    assert {data[(iteration, 0, 0)]["image"].shape[1] for iteration in range(60)} == expected


@pytest.mark.parametrize(("flip", "short_side"), [(0.0, HEIGHT), (1.0, HEIGHT), (0.0, 30), (1.0, 2 * HEIGHT)])
def test_polygons_follow_size_and_flip_as_bitmaps_do(outlines: Path, flip: float, short_side: int) -> None:
    """Drawn inside the box of each object, they give the target that is cut from the bitmap of the whole picture."""
    settings = {"flip": flip, "short_side": [short_side]}
    drawn, cut = (
        pictures(outlines, mask_targets=kind, **settings)[(0, 0, 0)]["instances"] for kind in ("polygons", "bitmaps")
    )
    assert torch.equal(drawn.gt_boxes.tensor, cut.gt_boxes.tensor)
    assert torch.equal(drawn.gt_occluder_masks.tensor, cut.gt_occluder_masks.tensor)
    ours, theirs = (each.gt_masks.crop_and_resize(each.gt_boxes.tensor, 28) for each in (drawn, cut))
    assert ours[1].float().mean() < 0.95  # not the whole box
    assert (ours ^ theirs).float().mean((1, 2)).max() < 0.05  # the outline's pixels round either way


def test_polygons_are_asked_of_data_that_has_them(bilayer: Path) -> None:
    line = "annotation 1: segmentation is RLE: expected polygons for `mask_targets: polygons`, or use bitmaps"
    with pytest.raises(InputError, match=line):
        pictures(bilayer, mask_targets="polygons")


def test_what_is_drawn_depends_on_seed_iteration_and_position_only(bilayer: Path) -> None:
    data = pictures(bilayer, short_side=[40, 50, 60], flip=0.5)
    again = pictures(bilayer, short_side=[40, 50, 60], flip=0.5)
    keys = [(iteration, position, 0) for iteration in range(12) for position in range(2)]
    items = [data[key]["image"] for key in keys]
    assert all(
        torch.equal(a, again[key]["image"]) for a, key in zip(items, reversed(list(reversed(keys))), strict=True)
    )
    assert {item.shape[1] for item in items} == {40, 50, 60}
    assert len({item.numpy().tobytes() for item in items}) == 6  # three sizes, flipped or not


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (600, 800)),
        ((640, 480), (800, 600)),
        ((300, 1000), (270, 900)),
        ((1, 4000), (1, 900)),
        ((4000, 1), (900, 1)),
    ],
)
def test_short_side_and_the_limit_of_the_long_one(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(*size, 600, 900) == expected


def test_channel_order() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 9
    assert picture_tensor(picture, (4, 5), "RGB")[:, 0, 0].tolist() == [9, 0, 0]
    assert picture_tensor(picture, (8, 10), "BGR")[:, 0, 0].tolist() == [0, 0, 9]


def test_unconverted_annotations_are_refused(bilayer: Path) -> None:
    content = annotation_file.read(bilayer)
    del content["annotations"][1]["occluder"]
    write_json(bilayer, content)
    with pytest.raises(InputError, match=r"train.json: annotation 2: no 'occluder': run `bcnet convert` first"):
        pictures(bilayer)


@pytest.fixture
def amodal(bilayer: Path) -> Path:
    """The same file with amodal masks: the second object goes on below the first, which hides a third."""
    content = annotation_file.read(bilayer)
    whole, nothing = np.zeros((2, HEIGHT, WIDTH), bool)
    whole[20:50, 20:70] = True
    first, second, crowd = content["annotations"]
    for one in (first, crowd):
        one |= {"amodal_segmentation": one["segmentation"], "amodal_bbox": one["bbox"], "amodal_occluder": None}
    second |= {"amodal_segmentation": encode(whole), "amodal_bbox": [20, 20, 50, 30]}
    second["amodal_occluder"] = first["segmentation"]
    third = {**first, "id": 9, "segmentation": encode(nothing), "area": 0, "category_id": 2}
    content["annotations"] = [first, second, third, crowd]
    write_json(bilayer, content)
    return bilayer


def test_amodal_masks_boxes_and_occluders(amodal: Path) -> None:
    instances = pictures(amodal, "amodal")[(0, 0, 0)]["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[5, 10, 30, 40], [20, 20, 70, 50], [5, 10, 30, 40]]
    assert instances.gt_classes.tolist() == [1, 0, 0]
    assert instances.gt_masks.tensor.sum((1, 2)).tolist() == [750, 1500, 750]
    assert instances.gt_occluder_masks.tensor.sum((1, 2)).tolist() == [0, 750, 0]


def test_visible_masks_leave_out_what_is_visible_nowhere(amodal: Path) -> None:
    instances = pictures(amodal)[(0, 0, 0)]["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[5, 10, 30, 40], [25, 20, 70, 50]]
    assert instances.gt_masks.tensor.any(2).any(1).all()


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("amodal_segmentation", "no 'amodal_segmentation': `masks: amodal` needs data that has it on every annotation"),
        ("amodal_occluder", "no 'amodal_occluder': run `bcnet convert` first"),
    ],
)
def test_data_without_amodal_masks_is_refused(amodal: Path, key: str, line: str) -> None:
    content = annotation_file.read(amodal)
    del content["annotations"][1][key]
    write_json(amodal, content)
    with pytest.raises(InputError, match=f"train.json: annotation 2: {line}"):
        pictures(amodal, "amodal")
    assert len(pictures(amodal)) == 1


def test_a_corrupt_picture_ends_in_one_line_from_a_worker_process_too(
    bilayer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (bilayer.parent / "a.png").write_bytes((bilayer.parent / "a.png").read_bytes()[:90])
    loader = DataLoader(pictures(bilayer), sampler=[(0, 0, 0)], num_workers=1, collate_fn=list)
    monkeypatch.setitem(cli.VERBS, "sync", replace(cli.VERBS["sync"], run=lambda args: next(iter(loader))))
    assert cli.main(["sync"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bcnet sync: {bilayer.parent / 'a.png'}: ")
    assert said.count("\n") == 1


def test_nothing_to_train_on_is_refused(bilayer: Path) -> None:
    content = annotation_file.read(bilayer)
    content["annotations"] = content["annotations"][2:]
    write_json(bilayer, content)
    with pytest.raises(InputError, match="none to train on"):
        pictures(bilayer)


@pytest.fixture
def scattered(tmp_path: Path) -> Path:
    """Five pictures whose annotations stand in any order, between line ends, in letters of several bytes."""
    box = {"bbox": [1, 2, 3, 4], "area": 12, "segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]], "occluder": None}
    places = [(i, image) for i, image in enumerate([4, 2, 2, 1, 4, 5, 2, 1])]
    annotations = [
        {"id": 90 - i, "image_id": image, "category_id": 1, "iscrowd": int(i == 5), **box, "bbox": [i, 2, 3, 4]}
        for i, image in places
    ]
    images = [{"id": i, "file_name": f"ä{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(1, 6)]
    content = {"info": "é", "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "ö"}]}
    path = tmp_path / "scattered.json"
    path.write_text(json.dumps(content, indent=3, ensure_ascii=False), encoding="utf-8")
    return path


def records(data: TrainingPictures) -> list[tuple[str, list[int]]]:
    """The name of each picture, and the left sides of its objects' boxes."""
    found = [data.record(index) for index in range(len(data))]
    return [(image["file_name"], [one["bbox"][0] for one in objects]) for image, objects in found]


def test_annotations_are_read_from_where_they_stand_in_the_file(scattered: Path) -> None:
    data = pictures(scattered)
    assert records(data) == [("ä1.png", [3, 7]), ("ä2.png", [1, 2, 6]), ("ä4.png", [0, 4])]
    assert not any(b"segmentation" in entry for entry in data.entries), "held in memory, once a process"


def test_a_file_in_the_place_of_the_one_that_is_trained_on_changes_nothing(scattered: Path) -> None:
    data = pictures(scattered)
    before = records(data)
    write_json(scattered, {})
    assert records(data) == before


def test_a_file_that_is_written_over_in_training_ends_in_a_line(scattered: Path) -> None:
    data = pictures(scattered)
    scattered.write_text("{}")
    with pytest.raises(InputError, match=r"scattered\.json: an annotation of image 1: not valid JSON"):
        data.record(0)
