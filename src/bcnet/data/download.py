"""Downloads that are resumed and checked, and the unpacking of archives."""

import hashlib
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import requests
from filelock import FileLock

from bcnet.files import InputError, atomic_output
from bcnet.progress import progress

MIB = 1 << 20
ATTEMPTS = 5
TIMEOUT = 60  # seconds without a byte


def download(url: str, path: Path, md5: str | None, attempts: int = ATTEMPTS) -> None:
    """Download a file, unless `path` already has the right checksum (`md5` None: nobody publishes one, any will do).

    What has come in lies in `path`.part until all of it is there and right; a broken download goes on from there, in
    this run (`attempts` times) or in a later one.

    Raises:
        InputError: the server says no, cannot be reached, or sends something with another checksum.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):  # two stages may want one file at once
        _download(url, path, md5, attempts)


def _download(url: str, path: Path, md5: str | None, attempts: int) -> None:
    if path.exists() and md5 in (None, md5_of(path)):
        return
    part = path.with_name(path.name + ".part")
    for attempt in range(attempts):
        try:
            _append(url, part)
            break
        except requests.HTTPError as error:
            raise InputError(f"{url}: {error}") from error
        except OSError as error:
            if attempt == attempts - 1:
                raise InputError(f"{url}: {error} (run it again to go on from {part})") from error
            time.sleep(attempt)
    if (got := md5_of(part)) != md5 and md5 is not None:
        part.unlink()
        raise InputError(f"{url}: md5 is {got}, expected {md5}; what was downloaded is deleted")
    part.replace(path)


def _append(url: str, part: Path) -> None:
    """Get what `part` lacks of a file; all of it when the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is left to send; the checksum tells whether `part` is the file
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        size = -(-int(response.headers["Content-Length"]) // MIB) if "Content-Length" in response.headers else None
        with part.open("ab" if resumed else "wb") as file:
            for block in progress(response.iter_content(MIB), f"download {part.stem}, MiB", size):
                file.write(block)


def md5_of(path: Path) -> str:
    """Hex MD5 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def unzip(archive: Path, inside: str, folder: Path) -> None:
    """Unpack the files below a folder of an archive; those that are there at their full size are left alone.

    Args:
        inside: the folder in the archive, such as "val2017".
        folder: where its files go, each written atomically.

    Raises:
        InputError: no zip archive, a broken one, none with such a folder, or a member that would lie outside `folder`.
    """
    with _opened(archive) as file:
        members = [m for m in file.infolist() if m.filename.startswith(f"{inside}/") and not m.is_dir()]
        if not members:
            raise InputError(f"{archive}: holds no folder {inside!r}")
        for member in progress(members, f"unzip {archive.name}"):
            target = folder / _safe_name(archive, member, inside)
            if not target.exists() or target.stat().st_size != member.file_size:
                _write(file, member, target)


def unzip_file(archive: Path, member: str, target: Path) -> None:
    """Unpack one member of an archive to `target`, atomically.

    Raises:
        InputError: no zip archive, a broken one, or one without that member.
    """
    with _opened(archive) as file:
        if member not in file.namelist():
            raise InputError(f"{archive}: holds no file {member!r}")
        _write(file, file.getinfo(member), target)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{archive}: not a sound zip archive: {error}") from error


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with atomic_output(target) as temporary, archive.open(member) as source, temporary.open("wb") as sink:
        shutil.copyfileobj(source, sink, MIB)


def _safe_name(archive: Path, member: zipfile.ZipInfo, inside: str) -> PurePosixPath:
    name = PurePosixPath(member.filename).relative_to(inside)
    if ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{archive}: member {member.filename!r} leads out of the archive")
    return name
