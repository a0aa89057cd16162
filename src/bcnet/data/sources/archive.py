"""Zip archives, unpacked safely."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bcnet.files import InputError, atomic_output, need_space
from bcnet.progress import progress

MIB = 1 << 20


def unzip(archive: Path, inside: str, folder: Path) -> None:
    """Unpack the files below a folder of an archive; those that are there, with the right checksum, are left alone.

    No file grows beyond the size that the archive declares for it (zipfile sees to that), and all of them together
    must find room on the disk before the first is written.

    Args:
        inside: the folder in the archive, such as "val2017".
        folder: where its files go, each written atomically.

    Raises:
        InputError: no zip archive, a broken one, none with such a folder, a member that would lie outside `folder`,
            or too little free space.
    """
    with _opened(archive) as file:
        members = [m for m in file.infolist() if m.filename.startswith(f"{inside}/") and not m.is_dir()]
        if not members:
            raise InputError(f"{archive}: holds no folder {inside!r}")
        targets = [(member, folder / _safe_name(archive, member, inside)) for member in members]
        lacking = [
            (member, target)
            for member, target in progress(targets, f"check {folder}", len(targets))
            if not _is_right(target, member)
        ]
        need_space({folder: sum(member.file_size for member, _ in lacking)})
        for member, target in progress(lacking, f"unzip {archive.name}", len(lacking)):
            _write(file, member, target)


def unzip_file(archive: Path, name: str, target: Path) -> None:
    """Unpack one member of an archive to `target`, atomically, unless it is there with the right checksum.

    Raises:
        InputError: no zip archive, a broken one, one without that member, or too little free space.
    """
    with _opened(archive) as file:
        if name not in file.namelist():
            raise InputError(f"{archive}: holds no file {name!r}")
        member = file.getinfo(name)
        if not _is_right(target, member):
            need_space({target.parent: member.file_size})
            _write(file, member, target)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    unsound = f"{archive}: not a valid zip archive"
    try:
        file = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{unsound}: {error}") from error
    with file:
        try:
            yield file
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"{unsound}: {error}") from error
        except RuntimeError as error:  # zipfile's word for a password, or a compression that it does not know
            raise InputError(f"{archive}: cannot be unpacked: {error}") from error


def _is_right(target: Path, member: zipfile.ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != member.file_size:
        return False
    crc = 0
    with target.open("rb") as file:
        while block := file.read(MIB):
            crc = zlib.crc32(block, crc)
    return crc == member.CRC


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with atomic_output(target) as temporary, archive.open(member) as source, temporary.open("wb") as sink:
        shutil.copyfileobj(source, sink, MIB)


def _safe_name(archive: Path, member: zipfile.ZipInfo, inside: str) -> PurePosixPath:
    name = PurePosixPath(member.filename).relative_to(inside)
    if ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{archive}: member {member.filename!r} leads out of the archive")
    return name
