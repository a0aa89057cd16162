"""Predictions of different pictures never have one image_id."""

from pathlib import Path

import pytest

from bcnet.files import InputError
from bcnet.inference.image_ids import image_ids


@pytest.mark.parametrize(
    ("pictures", "ids"),
    [
        (["a.jpg", "b/c.jpg"], ["a.jpg", "c.jpg"]),
        (["x/a.jpg", "y/a.jpg", "y/b.jpg"], ["x/a.jpg", "y/a.jpg", "y/b.jpg"]),
        (["/d/x/a.jpg", "/d/x/y/a.jpg"], ["a.jpg", "y/a.jpg"]),
        (["../a.jpg", "a.jpg"], ["a.jpg", "here/a.jpg"]),
    ],
)
def test_names_or_paths(pictures: list[str], ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert image_ids([Path(picture) for picture in pictures]) == ids


def test_a_picture_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.jpg: given 2 times, expected different images"):
        image_ids([Path("x/a.jpg"), Path("x/../x/a.jpg")])
