"""Functions compiled by numba, and where their machine code is kept between two processes.

Left alone, numba compiles a function anew only where its own file has changed: it would go on with the old code of the
functions in other files that it calls. Where the package's folder cannot be written, numba would keep the code in a
folder of the user's that knows each file by its own text only; without any such folder it would end in an error.
"""

import atexit
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

PACKAGE = Path(__file__).parent
IMPORT = re.compile(r"^from (bcnet[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)  # package, names
Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """`numba.njit` with those options, for functions of this package: with `cache=True`, kept in `cache_folder()`.

    numba reads the folder when a function is decorated. It is set for that moment only, so that functions of other
    packages are kept where they always were.
    """

    def decorate(function: Function) -> Function:
        folder = cache_folder()
        if folder is None:
            return numba.njit(**{**options, "cache": False})(function)
        settings = vars(numba.config)
        others = settings["CACHE_DIR"]
        settings["CACHE_DIR"] = str(folder / version_of(function.__module__))
        try:
            return numba.njit(**options)(function)
        finally:
            settings["CACHE_DIR"] = others

    return decorate


@cache
def cache_folder() -> Path | None:
    """The folder of compiled code.

    It is in the package, else in the user's cache, which takes over what the package has; where neither can be written,
    it is a temporary one that is deleted when the process ends. None: no folder can be written, and each process
    compiles for itself.
    """
    own = PACKAGE / "__pycache__" / "numba"
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    places = [own, *([users / "bcnet" / "numba"] if users.is_absolute() else [])]
    folder = next(filter(_is_writable, places), None) or _temporary()
    if folder and folder != own and own.is_dir():
        for version in own.iterdir():
            if not (folder / version.name).exists():
                with suppress(OSError), tempfile.TemporaryDirectory(dir=folder) as whole:  # others may be at it, too
                    shutil.copytree(version, Path(whole) / version.name)
                    os.rename(Path(whole) / version.name, folder / version.name)
    return folder


@cache
def version_of(module: str) -> str:
    """A name for the text of a module and of all others with compiled functions that it takes something from.

    Compiled code holds that of the functions that it calls, and the constants that it reads: a change of any of these
    is in force, and one elsewhere leaves compiled code as it is.
    """
    texts: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
        if name in texts or not path.is_file() or b"@njit" not in (text := path.read_bytes()):
            continue
        texts[name] = text
        for package, names in IMPORT.findall(text.decode()):
            waiting += [package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
    return hashlib.sha256(b"".join(texts[name] for name in sorted(texts))).hexdigest()[:16]


def _is_writable(folder: Path) -> bool:
    """Whether a folder is there, made if need be, and files can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # tried, for rights do not tell: a quota, a foreign server
            file.write(bytes(4096))
    except OSError:
        return False
    return True


def _temporary() -> Path | None:
    try:
        folder = tempfile.mkdtemp(prefix="bcnet-")
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
