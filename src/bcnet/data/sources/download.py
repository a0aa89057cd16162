"""Downloads that go on where they broke off, turn to another server where one fails for good, and are checked."""

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

import requests
from filelock import FileLock
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from tqdm import tqdm
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

from bcnet.files import InputError
from bcnet.progress import byte_progress, note

BLOCK = 1 << 16  # bytes; what of a block has come in when the connection breaks is lost
TIMEOUT = (30, 60)  # seconds: to connect, and without a byte
# 6 attempts in a row that bring nothing; urllib3 could repeat requests itself, but neither resume a body that broke
# off nor count anew after progress, so that only its counting and its pauses are used
RETRIES = Retry(total=5, backoff_factor=2, retry_after_max=300)
BUSY = {408, 429, 500, 502, 503, 504}  # HTTP statuses that pass
PASSING = (requests.HTTPError, requests.ConnectionError, requests.Timeout, ChunkedEncodingError, ContentDecodingError)


@dataclass(frozen=True)
class RemoteFile:
    """A file that servers offer."""

    urls: tuple[str, ...]  # of the same file on several servers, tried in turn
    md5: str | None = None  # None: nobody publishes one, any file will do
    size: int | None = None  # bytes, None: unknown


class _RefusedError(Exception):
    """A server does not give the file, and asking again would not help."""


class _StoppedError(Exception):
    """Another download failed, or the user interrupted."""


def download(file: RemoteFile, path: Path, stop: Event | None = None) -> None:
    """Download a file, unless `path` already has the right checksum.

    What has come in lies in `path`.part until all of it is there and right; a broken download goes on from there, in
    this run or in a later one. `path`.part.from says which version of the file it is, so that pieces of two versions
    are never put together: without such a word of the server, and without a checksum, a download begins anew.

    Args:
        stop: once it is set, the download ends at the next block.

    Raises:
        InputError: every server says no, cannot be reached, or has another file; or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):  # two stages may want one file at once
            _download(file, path, stop or Event())
    except OSError as error:  # a full disk names no file
        raise InputError(f"{error.filename or path}: {error.strerror or error}") from error


def download_all(files: Mapping[Path, RemoteFile]) -> None:
    """Download several files at once; the first that fails stops the others, which a later run goes on with.

    Args:
        files: by the path that each goes to.

    Raises:
        InputError: as `download` does.
    """
    stop = Event()
    with ThreadPoolExecutor(len(files) or 1) as pool:
        try:
            for done in as_completed([pool.submit(download, file, path, stop) for path, file in files.items()]):
                done.result()
        finally:  # an interrupted program does not wait for 18 GB either
            stop.set()


def md5_of(path: Path) -> str:
    """Hex MD5 of a file's bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file, byte_progress(f"check {path.name.removesuffix('.part')}", path.stat().st_size) as bar:
        while block := file.read(1 << 20):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


class _Part:
    """What has come in of a file, and whose it is."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.path = path.with_name(path.name + ".part")
        self.source = path.with_name(path.name + ".part.from")  # its URL, and the server's name for the version

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def is_longer_than(self, size: int | None) -> bool:
        return size is not None and self.size > size

    def version(self, url: str) -> str:
        """The version of the file at `url` that this is a part of, "" if it is unknown or from elsewhere."""
        lines = self.source.read_text(encoding="utf-8").split("\n") if self.source.exists() else []
        return lines[1] if len(lines) == 2 and lines[0] == url else ""

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.source.unlink(missing_ok=True)


def _download(file: RemoteFile, path: Path, stop: Event) -> None:
    if path.exists() and (file.md5 is None or md5_of(path) == file.md5):
        return
    part, problems = _Part(path), []
    for url, following in zip(file.urls, (*file.urls[1:], None), strict=True):
        try:
            _from_server(url, file, part, stop)
        except _RefusedError as error:
            problems.append(f"{url}: {error}")
            if following:
                note(f"{problems[-1]}; trying {following}")
        else:
            part.path.replace(path)
            part.discard()
            return
    hint = f" (run the command again to resume from {part.path})" if part.size else ""
    raise InputError("; ".join(problems) + hint)


def _from_server(url: str, file: RemoteFile, part: _Part, stop: Event) -> None:
    """Get all that `part` lacks from one server, and check it."""
    begun_here = not part.size
    while True:
        with byte_progress(f"download {part.name}", file.size) as bar:
            _receive_all(url, file, part, bar, stop)
        if file.md5 is None or (md5 := md5_of(part.path)) == file.md5:
            return
        part.discard()
        if begun_here:
            raise _RefusedError(f"md5 is {md5}, expected {file.md5}")
        begun_here = True  # what an earlier run or another server gave may be what is wrong: once more, all of it


def _receive_all(url: str, file: RemoteFile, part: _Part, bar: tqdm, stop: Event) -> None:
    """Ask until all is there. Only attempts in a row that bring nothing count: 18 GB may break off twenty times."""
    retries, most = RETRIES, part.size
    while True:
        try:
            return _receive(url, file, part, bar, stop)
        except PASSING as error:
            if part.size > most:
                retries, most = RETRIES, part.size
            try:
                retries = retries.increment()
            except MaxRetryError:
                raise _RefusedError(f"{_reason(error)} ({len(retries.history) + 1} attempts)") from error
            if pause := _pause(retries, error):
                note(f"{url}: {_reason(error)}; again in {pause:.0f} s")
            if stop.wait(pause):
                raise _StoppedError from error
        except requests.RequestException as error:  # no legal address, too many redirects
            raise _RefusedError(_reason(error)) from error


def _pause(retries: Retry, error: requests.RequestException) -> float:
    """Seconds until the next attempt: what the server asks for, up to a limit, or longer each time."""
    try:
        asked = retries.get_retry_after(error.response.raw) if error.response is not None else None
    except (InvalidHeader, ValueError, OverflowError):  # neither seconds nor a date
        asked = None
    return asked or retries.get_backoff_time()


def _reason(error: BaseException) -> str:
    """What lies at the root of an error, which requests and urllib3 wrap in several others."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return str(error) or type(error).__name__


def _receive(url: str, file: RemoteFile, part: _Part, bar: tqdm, stop: Event) -> None:
    """Ask once for what `part` lacks; return when all is there."""
    version = part.version(url)
    if (file.md5 is None and not version) or part.is_longer_than(file.size):
        part.discard()
    have = part.size
    if have and have == file.size:
        return
    with requests.get(url, headers=_headers(have, version), stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            if file.md5 and md5_of(part.path) == file.md5:
                return  # all was there
            part.discard()
            raise requests.ConnectionError(f"HTTP 416 for the bytes from {have} on")
        body = _body(response, part, have, version)
        total = file.size if body.size is None else body.size
        if file.size not in (None, total):
            raise _RefusedError(f"a file of {total} bytes, expected {file.size}")
        if not body.start:  # bytes of one version must never lie beside the name of another, not even after a kill
            part.discard()
        part.source.write_text(f"{url}\n{body.version}", encoding="utf-8")
        _write(response, part, body.start, total, bar, stop)
    if total is not None and part.size < total:
        raise requests.ConnectionError(f"ended after {part.size} of {total} bytes")


def _headers(have: int, version: str) -> dict[str, str]:
    """Those that ask for the bytes from `have` on, of that version if one is known."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    return headers


class _Body(NamedTuple):
    """What a response brings of a file."""

    start: int  # where its first byte belongs
    size: int | None  # of the whole file in bytes, None: unknown
    version: str  # the server's name for it, "" for none


def _body(response: requests.Response, part: _Part, have: int, version: str) -> _Body:
    """What a response brings to a request for the bytes from `have` on, of that version if one is known."""
    if response.status_code in BUSY:
        raise requests.HTTPError(f"HTTP {response.status_code} {response.reason}", response=response)
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    match response.status_code:
        case requests.codes.partial_content:
            size = _size_of_the_whole(response, have)
            same = not version or _version(response) in (version, "")  # with If-Range, a server may leave it out
            if size is None or encoded or not same:
                part.discard()
                raise requests.ConnectionError(f"no continuation from byte {have} on")
            return _Body(have, size, _version(response) or version)
        case requests.codes.ok:  # all of it: the server cannot resume, or has another version now
            return _Body(0, None, "") if encoded else _Body(0, response.raw.length_remaining, _version(response))
    raise _RefusedError(f"HTTP {response.status_code} {response.reason}")


def _size_of_the_whole(response: requests.Response, have: int) -> int | None:
    """Bytes of the whole file, from a Content-Range that fits what was asked and what is sent; None if it does not."""
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if not span:
        return None
    first, last, whole = map(int, span.groups())
    fits = first == have <= last < whole and response.raw.length_remaining in (None, last - first + 1)
    return whole if fits else None


def _version(response: requests.Response) -> str:
    """The server's name for the version of the file, of the kind that If-Range takes; "" if it gives none."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")  # W/"…" is not byte for byte


def _write(response: requests.Response, part: _Part, have: int, total: int | None, bar: tqdm, stop: Event) -> None:
    """Write a body behind the first `have` bytes."""
    bar.total = total
    bar.n = bar.initial = bar.last_print_n = have
    with part.path.open("r+b" if have else "wb") as sink:
        sink.seek(have)
        for block in response.iter_content(BLOCK):
            sink.write(block)
            bar.update(len(block))
            if total is not None and sink.tell() > total:
                part.discard()
                raise _RefusedError(f"more than {total} bytes")
            if stop.is_set():
                raise _StoppedError
