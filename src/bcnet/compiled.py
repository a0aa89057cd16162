"""Functions compiled by numba, and where their machine code is kept between two processes.

Left alone, numba compiles a function anew only where its own file has changed: it would go on with the old code of the
functions in other files that it calls. Where the package's folder cannot be written, numba would keep the code in a
folder of the user's that knows each file by its own text only; without any such folder it would end in an error.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

PACKAGE = Path(__file__).parent
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
        settings["CACHE_DIR"] = str(folder)
        try:
            return numba.njit(**options)(function)
        finally:
            settings["CACHE_DIR"] = others

    return decorate


@cache
def cache_folder() -> Path | None:
    """The folder of compiled code, named by the text of all that is compiled, so that a change of any file is in force.

    It is in the package, else in the user's cache; where neither can be written, it is a temporary one that is deleted
    when the process ends. None: no folder can be written, and each process compiles for itself.
    """
    sources = (path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")))
    compiled = b"".join(text for text in sources if b"@njit" in text)
    name = f"numba-{hashlib.sha256(compiled).hexdigest()[:16]}"
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    places = [PACKAGE / "__pycache__" / name, *([users / "bcnet" / name] if users.is_absolute() else [])]
    return next(filter(_is_writable, places), None) or _temporary()


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
