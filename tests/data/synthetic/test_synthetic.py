"""Synthetic occlusion: what is pasted hides exactly what the annotations say; the same seed gives the same bytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from coco_factory import like_coco, write_folder
from PIL import Image
from places import ROOT
from ruamel.yaml import YAML

from bcnet.cli import main
from bcnet.data.coco import annotation_file
from bcnet.data.coco.images import read_image
from bcnet.data.masks.crops import Crop, crop
from bcnet.data.masks.segmentation import decode, encode, to_rle
from bcnet.data.sources.fetch import fetch
from bcnet.data.synthetic.cutpaste import blend, resized_mask, whole_objects
from bcnet.data.synthetic.synthesize import synthesize
from bcnet.files import InputError, sha256
from bcnet.params.data import Coco, Files, Part, Shapes, Synthetic
from bcnet.params.models import Schedule
from bcnet.training.loader import TrainingPictures

HEIGHT, WIDTH = 90, 120
REACHES_ALL_SIDES = ((0, 0), (30, 0), (30, 12), (14, 12), (14, 26), (0, 26))  # an L: it fills its box's sides


def polygon(x: float, y: float, scale: float = 1.0) -> list[list[float]]:
    return [[number for dx, dy in REACHES_ALL_SIDES for number in (x + scale * dx, y + scale * dy)]]


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def annotation(segmentation: object, **values: object) -> dict:
    rle = to_rle(segmentation, HEIGHT, WIDTH)
    window, pixels = crop(decode(rle, HEIGHT, WIDTH))
    box = [window[1].start, window[0].start, pixels.shape[1], pixels.shape[0]]
    return {"segmentation": segmentation, "bbox": box, "area": int(pixels.sum()), "iscrowd": 0, **values}


def make_data(root: Path, pictures: list[list[dict]]) -> Path:
    """A user's data with those annotations, fetched: data/mine."""
    content: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 4, "name": "four"}, {"id": 9, "name": "nine"}],
    }
    content["info"] = {"year": 2026}
    (root / "own").mkdir(parents=True)
    for number, rows in enumerate(pictures):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"own/{number}.png")
        image = {"id": 7 * number, "height": HEIGHT, "width": WIDTH, "file_name": f"{number}.png"}
        content["images"].append(image)
        for row in rows:
            own = {"id": 100 + len(content["annotations"]), "image_id": image["id"], "category_id": (4, 9)[number % 2]}
            content["annotations"].append(own | row)
    (root / "own.json").write_text(json.dumps(content))
    part = Part(annotations=root / "own.json", images=root / "own")
    fetch(Files(source="files", train=part, val=part), "mine", root / "data/mine")
    return root / "data/mine"


def pictures() -> list[list[dict]]:
    """Pictures with one or two whole objects among a crowd, an occluded pair, one at the border and a tiny one."""
    crowd = annotation(encode(rectangle(90, 50, 20, 30)), iscrowd=1)
    pair = [annotation(encode(rectangle(70, 3, 20, 15))), annotation(encode(rectangle(80, 8, 20, 15)))]
    border = annotation(encode(rectangle(0, 70, 20, 15)))
    tiny = annotation(
        [[30.0, 80.0, 30.2, 80.0, 30.2, 80.2]], bbox=[30, 80, 0.2, 0.2], area=0.02
    )  # rasterises to nothing
    return [
        [annotation(polygon(10, 10)), crowd, tiny],
        [annotation(polygon(20, 30, 1.5)), *pair],
        [border],
        [annotation(polygon(5, 5)), annotation(polygon(60, 30, 1.3)), border],
        [],
        [annotation(encode(decode(polygon(40, 20, 2), HEIGHT, WIDTH)))],
    ]


def settings(**values: object) -> Synthetic:
    return Synthetic.model_validate({"pictures": 12, "seed": 3, "min_pixels": 100, "hidden": [0.1, 0.6], **values})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_data(tmp_path, pictures())


def made(folder: Path, name: str = "sod") -> dict:
    return json.loads((folder / f"annotations/instances_{name}.json").read_text())


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


# ---- files


def bytes_below(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "images/sod").iterdir(), *(folder / "annotations").glob("*_sod.json")]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def test_the_bytes_do_not_depend_on_the_number_of_processes(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    first = bytes_below(folder)
    assert len(first) == 13
    synthesize(settings(), "sod", folder, jobs=3)
    assert bytes_below(folder) == first


def test_a_picture_is_a_function_of_seed_and_number(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    many, rows = bytes_below(folder), made(folder)["annotations"]
    synthesize(settings(pictures=5), "sod", folder, jobs=1)
    few, fewer_rows = bytes_below(folder), made(folder)["annotations"]
    del few["instances_sod.json"]
    assert len(few) == 5
    assert few.items() <= many.items()
    assert fewer_rows == rows[: len(fewer_rows)]
    synthesize(settings(pictures=5, seed=4), "sod", folder, jobs=1)
    assert not set(bytes_below(folder).values()) & set(many.values())


def test_only_pictures_of_its_own_are_removed(folder: Path) -> None:
    synthesize(settings(pictures=4), "sod", folder, jobs=1)
    others = {"notes.txt": b"mine", "photo.png": b"mine", "00000001.png": b"mine"}
    for name, content in others.items():
        (folder / "images/sod" / name).write_bytes(content)
    synthesize(settings(pictures=2), "sod", folder, jobs=1)
    left = bytes_below(folder)
    assert left.keys() == {"000001.png", "000002.png", "instances_sod.json", *others}
    assert others.items() <= left.items()


def test_real_pictures_are_part_of_the_set(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    data, train = made(folder), made(folder, "train")
    assert (folder / "images/sod/real").readlink() == Path("../train")
    assert data["info"] == {"year": 2026, "synthetic": {"name": "sod", **settings().model_dump(mode="json")}}
    assert data["categories"] == train["categories"]
    for image in data["images"]:
        assert sha256(folder / "images/sod" / image["file_name"]) == image["sha256"]
    for section in ("images", "annotations"):
        ids = [entry["id"] for entry in data[section]]
        assert len(set(ids)) == len(ids)
    real = data["images"][: len(train["images"])]
    assert [(image["id"], image["file_name"]) for image in real] == [
        (image["id"], f"real/{image['file_name']}") for image in train["images"]
    ]
    for row, own in zip(data["annotations"], train["annotations"], strict=False):
        unknown = {"amodal_segmentation": own["segmentation"], "amodal_bbox": own["bbox"], "depth": 0}
        assert row == own | unknown

    synthesize(settings(keep_real=False), "sod", folder, jobs=1)
    alone = made(folder)
    assert not (folder / "images/sod/real").is_symlink()
    assert alone["images"] == data["images"][len(train["images"]) :]
    assert alone["annotations"] == data["annotations"][len(train["annotations"]) :]
    assert sorted(path.name for path in (folder / "images/train").iterdir()) == [f"{i}.png" for i in range(6)]


def test_the_result_is_converted_and_trained_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verbs, one after the other, as both tools call them."""
    monkeypatch.chdir(folder.parents[1])
    yaml = YAML()
    params = yaml.load(ROOT / "presets/demo.yaml")
    part = {"annotations": "own.json", "images": "own"}
    params |= {"dataset": "mine", "datasets": {"mine": {"source": "files", "train": part, "val": part}}}
    params |= {"synthetic": {"sod": settings().model_dump(mode="json")}, "train_on": "sod"}
    yaml.dump(params, Path("params.yaml"))
    assert main(["synthesize", "sod", "--jobs", "1"]) == 0
    out = "data/mine/bilayer/sod.json"
    assert main(["convert", "--annotations", "data/mine/annotations/instances_sod.json", "--out", out]) == 0
    pasted = [row for row in json.loads(Path(out).read_text())["annotations"] if "target_annotation" in row]
    assert any(row["occluder"] for row in pasted)

    schedule = Schedule.model_validate({**params["schedule"], "short_side": [HEIGHT], "max_side": WIDTH})
    loaded = TrainingPictures(Path(out), folder / "images/sod", schedule, 0, "RGB", "visible")
    assert len(loaded) == 12 + 5  # of the six real pictures one has no object
    assert all(len(loaded[0, 0, index]["instances"]) for index in range(len(loaded)))
    shutil.copy(folder / "images/sod/000001.png", folder / "images/sod/000002.png")
    place = next(i for i, entry in enumerate(loaded.entries) if b"000002.png" in entry)
    with pytest.raises(InputError, match=r"images/sod/000002\.png: expected sha256 [0-9a-f]{64}: not the image"):
        loaded[0, 0, place]


# ---- what cannot be done


@pytest.mark.parametrize(
    ("rows", "change", "line"),
    [
        (
            pictures(),
            {"min_pixels": 5000},
            r"instances_train\.json: no object to paste: no image has a complete one \(not ",
        ),
        (pictures()[:1], {}, r"instances_train\.json: no object to paste over: no second image has a complete one"),
        ([], {}, r"instances_train\.json: no object to paste: no image"),
        (
            pictures(),
            {"hidden": [0.999, 1.0]},
            r"params\.yaml: synthetic\.sod: image \d+: tried 20 images, in none .*",
        ),
    ],
)
def test_no_object_and_no_place(tmp_path: Path, rows: list[list[dict]], change: dict, line: str) -> None:
    folder = make_data(tmp_path, rows)
    with pytest.raises(InputError, match=line) as raised:
        synthesize(settings(**change), "sod", folder, jobs=1)
    assert "\n" not in str(raised.value)
    assert not (folder / "annotations/instances_sod.json").exists()


def test_a_table_of_hashes_stands_for_the_pictures_of_a_set(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    header, *lines = (folder / "images_sod.tsv").read_text().splitlines()
    assert header == "file\tbytes\tsha256"
    images = json.loads((folder / "annotations/instances_sod.json").read_text())["images"]
    assert any(image["file_name"].startswith("real/") for image in images)
    for image, line in zip(sorted(images, key=lambda image: image["file_name"]), lines, strict=True):
        path = folder / "images/sod" / image["file_name"]
        assert line.split("\t") == [f"sod/{image['file_name']}", str(path.stat().st_size), sha256(path)]


def test_annotations_never_stand_for_pictures_of_another_run(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    (folder / "images/train/0.png").unlink()
    with pytest.raises(InputError, match=r"images/train/0\.png: "):
        synthesize(settings(seed=1), "sod", folder, jobs=1)
    assert not (folder / "annotations/instances_sod.json").exists()


def test_wrong_input_leaves_everything_as_it_was(folder: Path) -> None:
    synthesize(settings(), "sod", folder, jobs=1)
    before = bytes_below(folder)
    with pytest.raises(InputError, match="--jobs 0: expected 1 or more"):
        synthesize(settings(), "sod", folder, jobs=0)
    digests = folder / "images_train.tsv"
    lines = digests.read_text()
    digests.write_text("".join(line for line in lines.splitlines(True) if not line.startswith("train/3.png")))
    with pytest.raises(InputError, match=r"images_train\.tsv: no line of train/3\.png, run `bcnet fetch mine`"):
        synthesize(settings(), "sod", folder, jobs=1)
    digests.write_text("file\n3.png\n")
    with pytest.raises(InputError, match=r"images_train\.tsv: expected lines of file, bytes and sha256"):
        synthesize(settings(), "sod", folder, jobs=1)
    digests.unlink()
    with pytest.raises(InputError, match=r"images_train\.tsv: cannot be read"):
        synthesize(settings(), "sod", folder, jobs=1)
    assert bytes_below(folder) == before


def test_nothing_of_a_users_is_overwritten(folder: Path, tmp_path: Path) -> None:
    (folder / "images/sod/real").mkdir(parents=True)
    with pytest.raises(InputError, match=r"images/sod/real: is a folder, expected a link to \.\./train"):
        synthesize(settings(), "sod", folder, jobs=1)
    shutil.rmtree(folder / "images/sod")
    (folder / "images/sod").symlink_to(tmp_path / "own")
    with pytest.raises(InputError, match=r"images/sod: is a link, expected a folder of synthetic images"):
        synthesize(settings(), "sod", folder, jobs=1)
    assert len(list((tmp_path / "own").iterdir())) == 6


def test_an_unknown_name_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "presets/demo.yaml", "params.yaml")
    assert main(["synthesize", "sod"]) == 2
    assert capsys.readouterr().err == "bcnet synthesize: params.yaml: synthetic: no 'sod', there are: none\n"
