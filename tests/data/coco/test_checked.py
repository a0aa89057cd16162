"""A file of the project's own data is checked once, as long as neither its bytes nor the rules change."""

import json
from pathlib import Path

import pytest
from coco_factory import like_coco

from bcnet.data.coco import annotation_file, checked
from bcnet.files import InputError
from bcnet.layout import DATA


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """An empty working directory; gets an entry for each file that is checked."""
    monkeypatch.chdir(tmp_path)
    noted: list[int] = []
    problems = annotation_file.problems
    monkeypatch.setattr(annotation_file, "problems", lambda data: noted.append(1) or problems(data))
    return noted


def put(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = like_coco(seed)
    for annotation in content["annotations"]:
        del annotation["bbox"]
    path.write_text(json.dumps(content))
    return path


def test_the_same_bytes_are_checked_once(checks: list[int]) -> None:
    first = annotation_file.read(put(DATA / "demo/a.json"))
    assert annotation_file.read(DATA / "demo/a.json") == first
    assert annotation_file.read(put(Path("data/demo/copy.json"))) == first
    assert len(checks) == 1
    annotation_file.read(put(DATA / "demo/a.json", seed=1))
    assert len(checks) == 2


def test_a_file_of_a_users_is_always_checked(checks: list[int], tmp_path: Path) -> None:
    annotation_file.read(put(DATA / "demo/a.json"))
    for _ in range(2):
        annotation_file.read(put(Path("own/a.json")))
    (DATA / "linked.json").symlink_to(tmp_path / "own/a.json")
    annotation_file.read(DATA / "linked.json")
    assert len(checks) == 4
    assert list(Path("own").iterdir()) == [Path("own/a.json")]


def test_other_rules_check_anew(checks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    annotation_file.read(put(DATA / "a.json"))
    monkeypatch.setattr(checked, "_digest", lambda: b"other code")
    annotation_file.read(DATA / "a.json")
    assert len(checks) == 2


def test_what_is_wrong_is_wrong_every_time(checks: list[int]) -> None:
    path = put(DATA / "a.json")
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 7', 1))
    for _ in range(2):
        with pytest.raises(InputError, match="iscrowd is 7"):
            annotation_file.read(path)
    assert len(checks) == 2


def test_a_record_that_cannot_be_written_does_not_matter(checks: list[int]) -> None:
    path = put(DATA / "a.json")
    (DATA / "checked").write_text("no folder")
    for _ in range(2):
        annotation_file.read(path)
    assert len(checks) == 2
