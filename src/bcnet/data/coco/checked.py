"""A record of the annotation files that were found right: each is checked once, not by every verb that reads it.

It holds files of the project's own data only: those below `data/` of the working directory. An entry is an empty file
that is named by a hash of all the bytes that were checked and of the code that checked them: other bytes or other rules
are checked anew, whatever their file is called.
"""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from bcnet.data.masks import rle_text, segmentation
from bcnet.layout import DATA, checked

RULES = (  # the code that checks
    *(Path(__file__).with_name(name) for name in ("annotation_file.py", "annotation_rules.py")),
    *(Path(str(module.__file__)) for module in (segmentation, rle_text)),
)


def is_checked(path: Path, content: bytes) -> bool:
    """Whether this content was found right before.

    Args:
        path: where it was read.
        content: the file's bytes.
    """
    return _is_own(path) and (checked() / _name(content)).exists()


def note_checked(path: Path, content: bytes) -> None:
    """Record that this content is right; arguments as of `is_checked`. Where nothing can be written, nothing is."""
    if _is_own(path):
        with suppress(OSError):
            checked().mkdir(parents=True, exist_ok=True)
            (checked() / _name(content)).touch()


def _is_own(path: Path) -> bool:
    return path.resolve().is_relative_to(DATA.resolve())


def _name(content: bytes) -> str:
    return hashlib.sha256(_digest() + hashlib.sha256(content).digest()).hexdigest()


@cache
def _digest() -> bytes:
    return hashlib.sha256(b"".join(module.read_bytes() for module in RULES)).digest()
