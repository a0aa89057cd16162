"""Image hashes: a small table that stands for the images of a part, which no tool keeps a record of.

Each part has a table of its own, so that what reads train does not run again when an image of val changes.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from bcnet.files import InputError, atomic_output, readable, sha256
from bcnet.layout import DatasetFiles
from bcnet.progress import in_threads

HEADER = "file\tbytes\tsha256\n"


def hash_images(files: DatasetFiles, part: str, names: Iterable[str]) -> None:
    """Write the table of a part.

    Args:
        files: of the dataset.
        part: train or val.
        names: of images below the part's folder.

    Raises:
        InputError: an image cannot be read.
    """
    names = sorted(set(names))
    folder = files.images(part)
    digests = in_threads(lambda name: sha256(folder / name), names, f"hash the images of {part}")
    write_hashes(files, part, dict(zip(names, digests, strict=True)))


def write_hashes(files: DatasetFiles, part: str, digests: Mapping[str, str]) -> None:
    """Write the table of a part whose hashes are known.

    Args:
        files: of the dataset.
        part: train, val, or a set of synthetic images.
        digests: hex SHA-256 by the image's path below the part's folder.
    """
    folder = files.images(part)
    lines = [f"{part}/{name}\t{(folder / name).stat().st_size}\t{digests[name]}\n" for name in sorted(digests)]
    with atomic_output(files.image_hashes(part), keep_equal=True) as temporary:
        temporary.write_text(HEADER + "".join(lines), encoding="utf-8")


def read_hashes(path: Path) -> dict[str, str]:
    """Hex SHA-256 of every image by its path below the folder of all images, part included.

    Raises:
        InputError: the table cannot be read, or is none.
    """
    try:
        with readable(path):
            rows = [line.split("\t") for line in path.read_text("utf-8").split("\n")[1:-1]]
        return {file: digest for file, _, digest in rows}
    except ValueError as error:
        raise InputError(f"{path}: expected lines of file, bytes and sha256, as `bcnet fetch` writes them") from error
