"""Unfinished work: folders of checkpoints and of predictions so far, named by all that determines the result."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bcnet import layout
from bcnet.files import InputError, read_json, sha256, write_json
from bcnet.unfinished.code import code_digest

NAME = "about.json"
RESULTS = "results.json"  # beside it, when all is done and the results are kept: their hashes
COMPUTE = ("torch", "torchvision", "numpy", "pillow", "timm")  # packages whose versions determine numbers
DETECTRON2 = ("detectron2", "sal-detectron2")  # it comes under either name
SETTINGS = ("processes", "device", "packages", "versions")  # in which one training may differ: it is rounded otherwise


@dataclass(frozen=True)
class About:
    """A note in the folder of unfinished work.

    Attributes:
        makes: the file that the work ends with.
        inputs: SHA-256 by path of the files that it reads.
        key: all that determines the result: parameters, inputs, versions, and under `code` the hash of the code.
        modules: whose code that is.
    """

    makes: str
    inputs: Mapping[str, str]
    key: Mapping[str, Any]
    modules: Sequence[str]


def begin(
    data: Path,
    makes: Path,
    inputs: Sequence[Path],
    key: Mapping[str, Any],
    modules: Sequence[str],
    tell: bool = True,
) -> Path:
    """The folder of a piece of work, with its note; the work goes on from what lies there.

    Where nothing lies there, but work on the same file in other folders, a line on stderr says what has changed.

    Args:
        data: the folder of all datasets.
        makes: the file that the work ends with.
        inputs: files that it reads.
        key: all that determines the result but versions and code: parameters, hashes of inputs, the machine.
        modules: the code that computes, with all that it imports.
        tell: say what has changed.
    """
    whole = {**key, "packages": packages(), "code": code_digest(modules)}
    name = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
    folder = layout.checkpoints(data) / name
    note = About(str(makes), {str(path): sha256(path) for path in inputs}, whole, list(modules))
    write_json(folder / NAME, asdict(note), keep_equal=True)
    if tell and not _has_work(folder):
        for other, before in _others(folder):
            changes = list(differing_keys(before.key, whole))
            anyway = ""
            if _only_settings(changes) and any(other.glob("[0-9]*.pt")):
                anyway = "; --resume-anyway goes on from it"
            print(f"{makes}: cannot resume from {other}: {', '.join(changes)} changed{anyway}", file=sys.stderr)
    return folder


def of_other_settings(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The folder of the same training with the newest checkpoint, if its `SETTINGS` alone were others.

    Returns:
        The folder, and what differed, as it was there; None: there is none.
    """
    now = about(folder)
    usable = []
    for other, before in _others(folder):
        changes = list(differing_keys(before.key, now.key if now else {}))
        checkpoints = sorted(other.glob("[0-9]*.pt"))
        if checkpoints and _only_settings(changes):
            usable.append((checkpoints[-1].name, other, {key: _value(before.key, key) for key in changes}))
    return max(usable)[1:] if usable else None


def _others(folder: Path) -> Iterator[tuple[Path, About]]:
    """Folders of other work on the same file, with their notes."""
    own = about(folder)
    for path in sorted(folder.parent.glob(f"*/{NAME}")):
        note = about(path.parent)
        if own and note and path.parent != folder and note.makes == own.makes:
            yield path.parent, note


def _has_work(folder: Path) -> bool:
    return (folder / RESULTS).exists() or any(folder.glob("[0-9]*"))


def _only_settings(changes: Sequence[str]) -> bool:
    return all(change.partition(".")[0] in SETTINGS for change in changes)


def _value(mapping: Mapping[str, Any], path: str) -> Any:
    """What `differing_keys` names so."""
    first, _, rest = path.partition(".")
    return _value(mapping[first], rest) if rest else mapping.get(first)


def packages() -> dict[str, str]:
    """Versions of the packages that compute."""
    versions = {name: version(name) for name in COMPUTE}
    for name in DETECTRON2:
        try:
            versions["detectron2"] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def differing_keys(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The keys whose values differ, those of nested mappings by their path with dots."""
    for key in sorted({**before, **now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differing_keys(old, new, f"{above}{key}.")
        elif old != new:
            yield above + key


def about(folder: Path) -> About | None:
    """The note in a folder; None: there is none that can be read, as of an earlier version."""
    try:
        return About(**read_json(folder / NAME))
    except (InputError, TypeError):
        return None
