"""The image folders of a dataset: links to a user's, or the project's own."""

from pathlib import Path
from typing import Any

from bcnet.data.coco.annotation_file import names_a_file
from bcnet.data.coco.images import read_image
from bcnet.files import InputError
from bcnet.layout import DatasetFiles
from bcnet.progress import in_threads


def link_pictures(link: Path, pictures: Path, images: list[dict[str, Any]]) -> None:
    """Check a user's pictures, and link their folder.

    Args:
        link: where the link goes; nothing happens when the user's folder itself lies there.
        pictures: the user's folder, in which nothing is changed.
        images: COCO's entries of them; each must be there, readable, and of the size that its entry says.

    Raises:
        InputError: a picture or the folder is missing or wrong, or a folder lies where the link belongs.
    """
    need_folder(pictures, images)
    target = pictures.resolve()
    if link.resolve() != target and link.exists() and not link.is_symlink():
        raise InputError(f"{link}: is a folder, expected a link to {pictures}: move it away")

    def check(image: dict[str, Any]) -> None:
        read_image(pictures / image["file_name"], (image["height"], image["width"]))

    in_threads(check, images, f"check {pictures}")
    if link.resolve() != target:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)


def need_folder(folder: Path, images: list[dict[str, Any]], key: str = "") -> None:
    """See that a user's folder is there, and is the one that file names start in, not the one around it.

    Args:
        folder: of the pictures.
        images: COCO's entries of them.
        key: what names the folder, for the line.

    Raises:
        InputError: it is no folder, or has none of the pictures, while folders in it have them all.
    """
    if not folder.is_dir():
        raise InputError(f"{key}{folder}: no such image folder")
    names = [image["file_name"] for image in images if names_a_file(image)]
    if not names or any((folder / name).exists() for name in names):
        return
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and all((path / name).exists() for name in names))
    if inner:
        raise InputError(f"{key}{folder}: has none of the images, all are in: {', '.join(map(str, inner))}")


def need_images(files: DatasetFiles, part: str) -> None:
    """See that the images of a part are on this machine. They are no stage's output, so no `dvc pull` brings them.

    Raises:
        InputError: the folder is missing; the line names the command that makes it.
    """
    folder = files.images(part)
    if not folder.is_dir():
        command = files.images_command(part)
        raise InputError(f"{folder}: no such image folder: `{command}` makes it (DVC remotes hold no images)")


def own_folder(folder: Path) -> None:
    """Make a folder for pictures of ours. A link to a user's gives way, so that ours are not written into theirs."""
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
