"""The page's section about provenance: every field of every method's metrics."""

import re
from typing import Any

from bcnet.files import read_json
from bcnet.params.variants import flat
from bcnet.report.page.context import Context
from bcnet.report.tables.rows import Method

HASH = re.compile(r"[0-9a-f]{40,}")
Fields = dict[str, list[tuple[str, str, str]]]


def provenance(context: Context) -> dict[Method, Fields]:
    """Of each method every provenance field of its metrics that are there.

    Returns:
        By dotted key the field's values as (in full, shortened, where if there are several).
    """
    return {method: _fields(method, context) for method in context.looks}


def _fields(method: Method, context: Context) -> Fields:
    fields: dict[str, dict[str, list[str]]] = {}
    for run in method.runs:
        for split in context.params.splits:
            path = context.metrics(method, run, split)
            if not path.exists():
                continue
            where = f"{split}, seed {run}" if method.origin == "measured here" else split
            for key, value in flat(read_json(path)["provenance"]).items():
                fields.setdefault(key, {}).setdefault(_text(value), []).append(where)
    return {
        key: [
            (value, f"{value[:12]}…" if HASH.fullmatch(value) else value, "; ".join(where) if len(values) > 1 else "")
            for value, where in values.items()
        ]
        for key, values in fields.items()
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
