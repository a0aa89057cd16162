"""The name that was probably meant by one that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of an error's line: ", did you mean 'x'?" of the most similar of the legal names, or nothing.

    Args:
        name: what was given; capitals do not count, nor does whether it has `_` or `-`.
        names: the legal ones.
    """
    plain = {_plain(legal): legal for legal in names}
    close = get_close_matches(_plain(name), plain, n=1)
    return f", did you mean {plain[close[0]]!r}?" if close else ""


def legal(name: str, names: Iterable[str], said: str = "there are") -> str:
    """The end of an error's line: the legal names, after the one that was probably meant.

    Args:
        name, names: as of `did_you_mean`.
        said: what stands before the list.
    """
    names = list(names)
    meant = did_you_mean(name, names)
    return f"{meant} {said.capitalize()}: {', '.join(names)}" if meant else f", {said}: {', '.join(names) or 'none'}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
