"""The page's section about provenance: every field of every method's metrics."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bcnet.files import read_json
from bcnet.layout import ReportFiles
from bcnet.report.tables.rows import Method

HASH = re.compile(r"[0-9a-f]{40,}")


def section(method: Method, splits: Iterable[str], reports: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Every provenance field of a method's metrics that are there.

    Args:
        method: whose.
        splits: of the run.
        reports: the folder of the run's dataset.

    Returns:
        By dotted key the field's values as (in full, shortened, where if there are several).
    """
    fields: dict[str, dict[str, list[str]]] = {}
    for run in method.runs:
        for split in splits:
            path = ReportFiles(reports).metrics(method.name, run, split)
            if not path.exists():
                continue
            where = f"{split}, seed {run}" if method.origin == "measured here" else split
            for key, value in _flat(read_json(path)["provenance"]):
                fields.setdefault(key, {}).setdefault(value, []).append(where)
    return {
        key: [
            (value, f"{value[:12]}…" if HASH.fullmatch(value) else value, "; ".join(where) if len(values) > 1 else "")
            for value, where in values.items()
        ]
        for key, values in fields.items()
    }


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested fields as (dotted key, text)."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + key, "none" if value is None else str(value)
