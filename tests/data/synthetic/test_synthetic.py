"""Synthetic occlusion: what is pasted hides exactly what the annotations say."""

from pathlib import Path

import numpy as np
import pytest
from coco_factory import like_coco, write_folder
from PIL import Image
from synthetic_factory import HEIGHT, WIDTH, annotation, made, polygon, rectangle, settings

from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.masks.crops import Crop
from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.sources.fetch import fetch
from bcnet.data.synthetic.cutpaste import blend, resized_mask, whole_objects
from bcnet.data.synthetic.synthesize import synthesize
from bcnet.params.data import Coco, Shapes, Synthetic


def masks(rows: list[dict], key: str, size: tuple[int, int]) -> list[np.ndarray]:
    return [decode(row[key], *size) for row in rows]


def eroded(mask: np.ndarray) -> np.ndarray:
    """Pixels all of whose eight neighbours are of the mask; independent of the filter that softens edges."""
    padded = np.pad(mask, 1)
    shifts = [(y, x) for y in range(3) for x in range(3)]
    return np.all([padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y, x in shifts], 0)


def check(folder: Path, settings: Synthetic) -> None:
    """All that must be true of a picture, from the files alone."""
    data, train = made(folder), made(folder, "train")
    annotation_file.read(folder / "annotations/instances_sod.json")
    sources = {row["id"]: row for row in train["annotations"]}
    images = {image["id"]: image for image in train["images"]}
    drawn = [image for image in data["images"] if not image["file_name"].startswith("real/")]
    assert len(drawn) == settings.pictures
    for image in drawn:
        size = image["height"], image["width"]
        rows = [row for row in data["annotations"] if row["image_id"] == image["id"]]
        pasted = [row for row in rows if "target_annotation" in row]
        base = [row for row in rows if "target_annotation" not in row]
        before = [row for row in train["annotations"] if row["image_id"] == image["source_image"]]
        assert settings.pasted[0] <= len(pasted) <= settings.pasted[1]
        assert [row["depth"] for row in pasted] == list(range(len(pasted)))
        assert [row["source_annotation"] for row in base] == [row["id"] for row in before]

        # visible is amodal minus everything in front, pixel by pixel
        visible, amodal = masks(rows, "segmentation", size), masks(rows, "amodal_segmentation", size)
        for row, seen, whole in zip(rows, visible, amodal, strict=True):
            nearer = [other for other, mask in zip(rows, amodal, strict=True) if other["depth"] < row["depth"]]
            hiding = np.any([np.zeros(size, bool), *masks(nearer, "amodal_segmentation", size)], 0)
            assert (seen == (whole & ~hiding)).all()

        union = np.any(amodal[: len(pasted)], 0)
        for row, source in zip(base, before, strict=True):
            was, is_now = decode(source["segmentation"], *size), decode(row["segmentation"], *size)
            assert row["depth"] == len(pasted) + source.get("depth", 0)
            assert (row["category_id"], row["iscrowd"]) == (source["category_id"], source["iscrowd"])
            assert row["amodal_segmentation"] == source.get("amodal_segmentation", source["segmentation"])
            assert row["amodal_bbox"] == source.get("amodal_bbox", source["bbox"])
            lost = was.sum() - is_now.sum()
            assert lost <= settings.hidden[1] * was.sum()
            assert is_now.any() or not was.any()
            if lost:
                check_numbers(row, is_now)
            else:
                assert all(row[key] == source[key] for key in ("segmentation", "bbox", "area"))

        picture = read_image(folder / "images/sod" / image["file_name"], size)
        plain = images[image["source_image"]]
        untouched = read_image(folder / "images/train" / plain["file_name"], size)
        assert (picture[~union] == untouched[~union]).all()

        for row, seen, whole in zip(pasted, visible[: len(pasted)], amodal[: len(pasted)], strict=True):
            check_numbers(row, seen)
            source = sources[row["source_annotation"]]
            assert source["image_id"] != image["source_image"]
            assert (row["category_id"], row["iscrowd"], source["iscrowd"]) == (source["category_id"], 0, 0)
            target = decode(sources[row["target_annotation"]]["segmentation"], *size)
            assert settings.hidden[0] <= (whole & target).sum() / target.sum() <= settings.hidden[1]
            assert whole.sum() - seen.sum() <= settings.hidden[1] * whole.sum()
            assert seen.any()
            assert target.sum() >= settings.min_pixels


def check_numbers(row: dict, mask: np.ndarray) -> None:
    y, x = np.nonzero(mask)
    assert row["area"] == mask.sum()
    assert row["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


# ---- what is whole


def test_whole_is_what_nothing_hides() -> None:
    def whole(*rows: dict, min_pixels: int = 100) -> list[int]:
        return whole_objects(rows, HEIGHT, WIDTH, min_pixels)

    one = annotation(polygon(10, 10))
    assert whole(one) == [0]
    assert whole(one, min_pixels=one["area"]) == [0]
    assert whole(one, min_pixels=one["area"] + 1) == []
    assert whole({**one, "iscrowd": 1}) == []
    for x, y in ((0, 10), (WIDTH - 30, 10), (10, 0), (10, HEIGHT - 26)):
        assert whole(annotation(polygon(x, y))) == []
    in_its_box = annotation(encode(rectangle(30, 30, 30, 30)))  # in the L's corner: it covers none of its pixels
    assert whole(one, in_its_box) == [1]  # no pixel of the L lies in the box of the other
    assert whole(one, {**in_its_box, "iscrowd": 1}) == []
    assert whole(one, annotation(encode(rectangle(41, 10, 20, 30)))) == [0, 1]
    assert whole(annotation(polygon(10, 10) + polygon(60, 10))) == []  # two pieces: something in front divides it
    assert whole({**one, "amodal_segmentation": polygon(10, 10, 1.2)}) == []
    assert whole({**one, "amodal_segmentation": one["segmentation"]}) == [0]
    assert whole() == []


# ---- pictures


@pytest.mark.parametrize("pasted", [[1, 1], [2, 3]])
def test_masks_and_pixels_are_exact(folder: Path, pasted: list[int]) -> None:
    chosen = settings(pasted=pasted, pictures=30)
    synthesize(chosen, "sod", folder, jobs=1)
    check(folder, chosen)


def test_pasted_pixels_are_those_of_the_source(folder: Path) -> None:
    """Every source is an L that fills its box's sides, so that the amodal box tells the size that it was brought to."""
    synthesize(settings(pictures=30), "sod", folder, jobs=1)
    data, train = made(folder), made(folder, "train")
    sources = {row["id"]: row for row in train["annotations"]}
    files = {image["id"]: image["file_name"] for image in train["images"]}
    flips = set()
    for row in (row for row in data["annotations"] if "target_annotation" in row):
        source = sources[row["source_annotation"]]
        x, y, width, height = map(int, row["amodal_bbox"])
        place = np.s_[y : y + height, x : x + width]
        sx, sy, sw, sh = source["bbox"]
        whole = read_image(folder / "images/train" / files[source["image_id"]])[sy : sy + sh, sx : sx + sw]
        pixels = np.asarray(Image.fromarray(whole).resize((width, height), Image.Resampling.BICUBIC))
        amodal = decode(row["amodal_segmentation"], HEIGHT, WIDTH)
        own = [other for other in data["annotations"] if other["image_id"] == row["image_id"]]
        nearer = [other for other in own if other["depth"] < row["depth"]]
        hidden = np.any([np.zeros_like(amodal), *masks(nearer, "amodal_segmentation", (HEIGHT, WIDTH))], 0)
        inner = (eroded(amodal) & ~hidden)[place]
        image = next(image for image in data["images"] if image["id"] == row["image_id"])
        picture = read_image(folder / "images/sod" / image["file_name"])[place]
        assert inner.any()
        assert (picture[inner] == (pixels[:, ::-1] if row["flipped"] else pixels)[inner]).all()
        flips.add(row["flipped"])

        # the mask, from the L's corners alone: a pixel is inside where its centre is
        ys, xs = (np.mgrid[:height, :width] + 0.5) * [[[26 / height]], [[30 / width]]]
        inside = (ys < 12) | (xs < 14)
        drawn = amodal[place][:, ::-1] if row["flipped"] else amodal[place]
        assert (inside != drawn).mean() < 0.05
        target = sources[row["target_annotation"]]["area"]
        assert 0.4 < amodal.sum() / target < 2.2
    assert flips == {True, False}


def test_an_edge_is_soft_for_one_pixel_inside_the_mask() -> None:
    picture, pixels = np.full((9, 9, 3), 30, np.uint8), np.full((6, 9, 3), 240, np.uint8)
    blend(picture, pixels, Crop((slice(3, 9), slice(0, 9)), np.ones((6, 9), bool)))
    assert picture[:, 4, 0].tolist() == [30, 30, 30, 170, 240, 240, 240, 240, 170]  # two thirds at the edge


def test_a_mask_of_the_same_size_is_not_changed() -> None:
    mask = decode(polygon(10, 10), HEIGHT, WIDTH)
    assert (resized_mask(mask, mask.shape, flip=False) == mask).all()
    assert (resized_mask(mask, mask.shape, flip=True) == mask[:, ::-1]).all()
    assert (resized_mask(mask, (2 * HEIGHT, 2 * WIDTH), flip=False)[::2, ::2] == mask).mean() > 0.98


def test_amodal_masks_and_depth_of_the_data_are_kept(tmp_path: Path) -> None:
    fetch(Shapes(source="shapes", train=20, val=1, size=160), "mine", tmp_path)
    chosen = settings(min_pixels=300)
    synthesize(chosen, "sod", tmp_path, jobs=1)
    check(tmp_path, chosen)
    rows = {row["id"]: row for row in made(tmp_path)["annotations"]}
    assert all(rows[row["id"]] == row for row in made(tmp_path, "train")["annotations"])


def test_a_folder_like_cocos_own(tmp_path: Path) -> None:
    """JPEGs of many sizes, one without colours; overlapping outlines of fractions, crowds."""
    parts = {f"{part}2017": like_coco(seed, 10, 4, (240, 320)) for seed, part in enumerate(("train", "val"))}
    write_folder(tmp_path / "own", **parts)
    fetch(Coco(source="coco", folder=tmp_path / "own"), "coco", tmp_path)
    chosen = settings(pictures=8, min_pixels=1000, hidden=[0.1, 0.7])
    synthesize(chosen, "sod", tmp_path, jobs=2)
    check(tmp_path, chosen)
