"""Whole params files to run instead of the present one."""

import subprocess
from pathlib import Path

from bcnet import params
from bcnet.files import InputError, atomic_output
from bcnet.params import PRESETS
from bcnet.suggest import legal


def put_preset(name: str) -> None:
    """Make presets/NAME.yaml the params.yaml.

    Raises:
        InputError: there are no presets here or none of that name, it is not legal, or params.yaml has edits that
            neither git nor a preset holds.
    """
    if not PRESETS.is_dir():
        raise InputError(f"{PRESETS}: no such folder: run this in a clone of bcnet's repository, which has the presets")
    source = PRESETS / f"{name}.yaml"
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in names:
        raise InputError(f"{PRESETS}: no {name!r}{legal(name, names)}")
    params.load(source)
    if params.PARAMS.exists() and not _held(params.PARAMS, [PRESETS / f"{other}.yaml" for other in names]):
        raise InputError(f"{params.PARAMS}: has changes that are not in git: commit them or move the file away first")
    with atomic_output(params.PARAMS) as temporary:
        temporary.write_text(as_params(source), "utf-8")


def as_params(preset: Path) -> str:
    """A preset's text as it reads one folder up: the path of the schema, which editors follow, is another there."""
    return preset.read_text("utf-8").replace("$schema=../workflow", "$schema=workflow", 1)


def _held(path: Path, presets: list[Path]) -> bool:
    """Whether the file's content is a preset's, or an object in git's store (so that it can be had back)."""
    if path.read_bytes() in [as_params(preset).encode() for preset in presets]:
        return True
    name = subprocess.run(["git", "hash-object", path], capture_output=True, text=True)
    stored = subprocess.run(["git", "cat-file", "-e", name.stdout.strip()], capture_output=True)
    return name.returncode == 0 and stored.returncode == 0
