"""COCO 2017 from its server or a mirror: annotations and pictures of train, val and test."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bcnet.data.coco import annotation_file
from bcnet.data.sources.archive import unzip, unzip_file
from bcnet.data.sources.download import RemoteFile, download_all
from bcnet.data.sources.image_folders import link_pictures, own_folder
from bcnet.files import InputError, atomic_output, need_space
from bcnet.params.data import Coco

FILES: dict[str, tuple[str, int | None]] = {  # MD5 and bytes, as several independent projects give them
    "annotations/annotations_trainval2017.zip": ("f4bbac642086de4f52a3fdda2de5fa2c", 252_907_541),
    "annotations/image_info_test2017.zip": ("85da7065e5e600ebfee8af1edb634eb5", None),
    "zips/train2017.zip": ("cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798),
    "zips/val2017.zip": ("442b8da7639aecaf257c1dceb8ba8c80", 815_585_330),
    "zips/test2017.zip": ("77ad2c53ac5d0aea611d422c0938fb35", 6_646_970_404),
}
ANNOTATIONS = {  # archive, member of its annotations/, and that file's name in the project
    "train": ("annotations/annotations_trainval2017.zip", "instances_train2017.json", "instances_train.json"),
    "val": ("annotations/annotations_trainval2017.zip", "instances_val2017.json", "instances_val.json"),
    "test": ("annotations/image_info_test2017.zip", *["image_info_test-dev2017.json"] * 2),
}
CATEGORY_IDS = frozenset(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # the 80 that have annotations


def download_parts(dataset: Coco, folder: Path, parts: Sequence[str]) -> None:
    """Download and unpack what is lacking of some parts.

    The archives stay in downloads/ beside `folder`. A part's pictures are not downloaded when all of them are there.

    Args:
        dataset: from params.yaml, with the addresses.
        folder: data/NAME, where annotations/ and images/ go.
        parts: of train, val, test.

    Raises:
        InputError: no server has a file, or the disk has not enough room for archives and pictures.
    """
    downloads = folder.parent / "downloads"

    def get(files: Iterable[str], pictures: Iterable[str]) -> None:
        """Archives, and those of the pictures of some parts, all at once."""
        files = (*files, *(_zip(part) for part in pictures))
        wanted = {downloads / Path(file).name: _remote(dataset, file) for file in files}
        room = sum(max((file.size or 0) - _size(path), 0) for path, file in wanted.items())
        unpacked = sum(FILES[_zip(part)][1] or 0 for part in empty)  # JPEGs are as large in the archive
        need_space({downloads: room, folder: unpacked})
        download_all(wanted)

    for part in parts:
        own_folder(folder / "images" / part)
    empty = [part for part in parts if not any((folder / "images" / part).iterdir())]
    get({ANNOTATIONS[part][0] for part in parts}, empty)
    for part in parts:
        archive, member, name = ANNOTATIONS[part]
        unzip_file(downloads / Path(archive).name, f"annotations/{member}", folder / "annotations" / name)
    lacking = [part for part in parts if not _all_there(folder, part)]
    get((), set(lacking) - set(empty))
    for part in lacking:
        unzip(downloads / Path(_zip(part)).name, f"{part}2017", folder / "images" / part)


def link_test(root: Path, folder: Path) -> None:
    """Check and link the test pictures of a COCO folder that is there, and copy their list.

    Args:
        root: the user's folder, with annotations/image_info_test-dev2017.json and test2017/; nothing in it is changed.
        folder: data/NAME.

    Raises:
        InputError: the first thing that is wrong with the list or the pictures.
    """
    _, member, name = ANNOTATIONS["test"]
    listed = root / "annotations" / member
    link_pictures(folder / "images/test", root / "test2017", annotation_file.read_images(listed))
    with atomic_output(folder / "annotations" / name) as temporary:
        shutil.copyfile(listed, temporary)


def test_dev_images(folder: Path) -> list[dict[str, Any]]:
    """The image entries of test-dev, whose pictures lie in images/test.

    Args:
        folder: data/NAME.

    Raises:
        InputError: the list is not there, or wrong.
    """
    listed = folder / "annotations" / ANNOTATIONS["test"][2]
    if not listed.exists():
        raise InputError(f"{listed}: no such file (`bcnet fetch {folder.name} --test` gets it: COCO only)")
    return annotation_file.read_images(listed)


def _zip(part: str) -> str:
    return f"zips/{part}2017.zip"


def _remote(dataset: Coco, file: str) -> RemoteFile:
    md5, size = FILES[file]
    return RemoteFile(tuple(f"{base.rstrip('/')}/{file}" for base in (dataset.url, *dataset.mirrors)), md5, size)


def _size(path: Path) -> int:
    """Bytes of a download that are there already."""
    return sum(p.stat().st_size for p in (path, path.with_name(path.name + ".part")) if p.exists())


def _all_there(folder: Path, part: str) -> bool:
    """Whether every picture is there that the annotations name: each is unpacked in one step, so then it is whole."""
    pictures, annotations = folder / "images" / part, folder / "annotations" / ANNOTATIONS[part][2]
    names = (pictures / image["file_name"] for image in annotation_file.read_images(annotations))
    return all(name.exists() and name.stat().st_size for name in names)
