"""COCO 2017 from its server or a mirror: annotations and pictures of train, val and test."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bcnet import layout
from bcnet.data.coco import annotation_file
from bcnet.data.sources.archive import unzip, unzip_file
from bcnet.data.sources.download import RemoteFile, download_all
from bcnet.data.sources.image_folders import link_pictures, own_folder
from bcnet.files import InputError, atomic_output, need_space
from bcnet.layout import DatasetFiles
from bcnet.params.data import Coco

FILES: dict[str, tuple[str, int | None]] = {  # MD5 and bytes, as several independent projects give them
    "annotations/annotations_trainval2017.zip": ("f4bbac642086de4f52a3fdda2de5fa2c", 252_907_541),
    "annotations/image_info_test2017.zip": ("85da7065e5e600ebfee8af1edb634eb5", None),
    "zips/train2017.zip": ("cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798),
    "zips/val2017.zip": ("442b8da7639aecaf257c1dceb8ba8c80", 815_585_330),
    "zips/test2017.zip": ("77ad2c53ac5d0aea611d422c0938fb35", 6_646_970_404),
}
ANNOTATIONS = {  # archive, and the file in it, which has this path below COCO's folder too
    "train": ("annotations/annotations_trainval2017.zip", "annotations/instances_train2017.json"),
    "val": ("annotations/annotations_trainval2017.zip", "annotations/instances_val2017.json"),
    "test": ("annotations/image_info_test2017.zip", "annotations/image_info_test-dev2017.json"),
}
CATEGORY_IDS = frozenset(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # the 80 that have annotations


def download_parts(dataset: Coco, folder: Path, parts: Sequence[str]) -> None:
    """Download and unpack what is lacking of some parts.

    The archives stay in the folder of downloads beside `folder`. A part's pictures are not downloaded when all of them
    are there.

    Args:
        dataset: from params.yaml, with the addresses.
        folder: data/NAME, where annotations and images go.
        parts: of train, val, test.

    Raises:
        InputError: no server has a file, or the disk has not enough room for archives and pictures.
    """
    files, downloads = DatasetFiles(folder), layout.downloads(folder.parent)

    def get(archives: Iterable[str], pictures: Iterable[str]) -> None:
        """Archives, and those of the pictures of some parts, all at once."""
        archives = (*archives, *(_zip(part) for part in pictures))
        wanted = {downloads / Path(archive).name: _remote(dataset, archive) for archive in archives}
        room = sum(max((file.size or 0) - _size(path), 0) for path, file in wanted.items())
        unpacked = sum(FILES[_zip(part)][1] or 0 for part in empty)  # JPEGs are as large in the archive
        need_space({downloads: room, folder: unpacked})
        download_all(wanted)

    for part in parts:
        own_folder(files.images(part))
    empty = [part for part in parts if not any(files.images(part).iterdir())]
    get({ANNOTATIONS[part][0] for part in parts}, empty)
    for part in parts:
        archive, member = ANNOTATIONS[part]
        unzip_file(downloads / Path(archive).name, member, _annotations(files, part))
    lacking = [part for part in parts if not _all_there(files, part)]
    get((), set(lacking) - set(empty))
    for part in lacking:
        unzip(downloads / Path(_zip(part)).name, f"{part}2017", files.images(part))


def own_part(root: Path, part: str) -> tuple[Path, Path]:
    """The annotations and the image folder of a part of a COCO folder that is there."""
    return root / ANNOTATIONS[part][1], root / f"{part}2017"


def link_test(root: Path, folder: Path) -> None:
    """Check and link the test pictures of a COCO folder that is there, and copy their list.

    Args:
        root: the user's folder, with annotations/image_info_test-dev2017.json and test2017/; nothing in it is changed.
        folder: data/NAME.

    Raises:
        InputError: the first thing that is wrong with the list or the pictures.
    """
    files, (own, pictures) = DatasetFiles(folder), own_part(root, "test")
    link_pictures(files.images("test"), pictures, annotation_file.read_images(own))
    with atomic_output(files.test_list) as temporary:
        shutil.copyfile(own, temporary)


def test_dev_images(folder: Path) -> list[dict[str, Any]]:
    """The image entries of test-dev, whose pictures are those of the part test.

    Args:
        folder: data/NAME.

    Raises:
        InputError: the list is not there, or wrong.
    """
    files = DatasetFiles(folder)
    if not files.test_list.exists():
        raise InputError(f"{files.test_list}: no such file (`{files.fetch_test_command}` downloads it, for COCO only)")
    return annotation_file.read_images(files.test_list)


def _zip(part: str) -> str:
    return f"zips/{part}2017.zip"


def _remote(dataset: Coco, file: str) -> RemoteFile:
    md5, size = FILES[file]
    return RemoteFile(tuple(f"{base.rstrip('/')}/{file}" for base in (dataset.url, *dataset.mirrors)), md5, size)


def _size(path: Path) -> int:
    """Bytes of a download that are there already."""
    return sum(p.stat().st_size for p in (path, path.with_name(path.name + ".part")) if p.exists())


def _annotations(files: DatasetFiles, part: str) -> Path:
    return files.test_list if part == "test" else files.annotations(part)


def _all_there(files: DatasetFiles, part: str) -> bool:
    """Whether every picture is there that the annotations name: each is unpacked in one step, so then it is whole."""
    images = annotation_file.read_images(_annotations(files, part))
    names = (files.images(part) / image["file_name"] for image in images)
    return all(name.exists() and name.stat().st_size for name in names)
