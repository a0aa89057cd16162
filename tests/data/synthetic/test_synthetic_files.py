"""Files of synthetic occlusion: the same seed gives the same bytes, and nothing of a user's is overwritten."""

import json
import shutil
from pathlib import Path

import pytest
from places import ROOT
from ruamel.yaml import YAML
from synthetic_factory import HEIGHT, WIDTH, made, make_data, pictures, settings

from bcnet.cli import main
from bcnet.data.synthetic.synthesize import synthesize
from bcnet.files import InputError, sha256
from bcnet.params.models import Schedule
from bcnet.training.loader import TrainingPictures


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
