"""Copies that a test can change, also of a clone that may only be read."""

import shutil
from pathlib import Path


def copy_of(source: Path, target: Path) -> Path:
    """A copy of a file or of a folder with all below it but what Python compiled."""
    if source.is_file():
        return shutil.copyfile(source, target / source.name if target.is_dir() else target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # shutil gives it the rights of the one that it copies
    return target
