"""CSV files of tables. No cell is a formula: a spreadsheet would run a name that begins like one.

Text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets a `'` in front, and so does text that begins
with such quotes before one of these. So reading takes just that quote away, and every name is what it was.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FORMULA = re.compile(r"'*[=+\-@\t\r]")
SPECIAL = re.compile(r'[",\r\n]')
QUOTED = re.compile(r"'+[=+\-@\t\r]")


def write_csv(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], formats: Mapping[str, str]
) -> None:
    """Write a table.

    Args:
        path: of the file.
        rows: of texts, which are defused, numbers, and None, an empty cell.
        columns: the keys of the rows that are written, in this order.
        formats: how the numbers of a column are written; others as Python writes them.
    """
    cells = [[_cell(row.get(column), formats.get(column, "")) for column in columns] for row in rows]
    lines = (",".join(map(_field, line)) for line in [columns, *cells])
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a file that `write_csv` wrote: texts as they were given, numbers as they stand there."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [{key: _original(text) for key, text in row.items()} for row in reader]
    return list(reader.fieldnames or ()), rows


def _cell(value: Any, form: str) -> str:
    if value is None or value != value:  # nan
        return ""
    if isinstance(value, str):
        return f"'{value}" if FORMULA.match(value) else value
    return format(value, form)


def _field(text: str) -> str:
    """As RFC 4180 has it. (The csv module does not quote a carriage return where lines end without one.)"""
    return '"{}"'.format(text.replace('"', '""')) if SPECIAL.search(text) else text


def _original(text: Any) -> Any:
    return text[1:] if isinstance(text, str) and QUOTED.match(text) else text
