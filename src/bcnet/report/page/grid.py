"""A table as the page shows it: what stands in a cell, and why nothing does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bcnet.evaluation.statistics.samples import FEW
from bcnet.files import InputError
from bcnet.report.tables.csv_file import read_csv
from bcnet.report.tables.occlusion import COUNT_OF, IN_BINS
from bcnet.report.tables.rows import UNSAID, Method

TextRow = dict[str, str]  # of a CSV file
ORIGINS = {"imported": "imported model", "brought": "imported predictions"}  # as readers of the page see them
REASONS = {UNSAID["brought"]: "imported predictions do not say"}  # of tables, as readers see them


def origin_words(origin: str) -> str:
    """The origin of numbers as the page calls it."""
    return ORIGINS.get(origin, origin)


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what stands small beside and below it, and of how many objects it is; of an empty one `why`."""

    text: str
    beside: str = ""
    count: str = ""
    below: tuple[str, ...] = ()
    why: str = ""
    bold: bool = False
    few: bool = False  # of so few objects that it says little


@dataclass(frozen=True)
class Line:
    """A row: its name, what stands small below that, whose numbers it has if not the group says it, and its cells."""

    name: str
    cells: tuple[Cell, ...]
    below: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a title of their own; without a title there is no line for it."""

    title: str
    lines: tuple[Line, ...]
    origin: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: `label` says what it is, `heads` name its columns, the first that of the rows' names.

    `words`: which of the heads are over texts, not numbers. `sets`: what each column that readers may take away is
    about, by its head; `first`: those of them that a reader with scripts sees first, else all.
    """

    label: str
    heads: tuple[str, ...]
    groups: tuple[Group, ...]
    words: frozenset[str] = frozenset()
    caption: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)
    first: frozenset[str] = frozenset()

    @property
    def notes(self) -> list[str]:
        """Why cells are empty, each reason once."""
        cells = (cell for group in self.groups for line in group.lines for cell in line.cells)
        return list(dict.fromkeys(cell.why for cell in cells if not cell.text))


def read_table(path: Path, columns: Iterable[str], numbers: Iterable[str] = ()) -> list[TextRow]:
    """The rows of a CSV that `bcnet compare` wrote, values as text, so that the page shows just what the file says.

    Args:
        columns: that it must have.
        numbers: columns whose cells, where there are any, are computed with.

    Raises:
        InputError: it is missing, lacks one of `columns`, or a cell of `numbers` is neither empty nor a number.
    """
    if not path.exists():
        raise InputError(f"{path}: missing, `bcnet compare` makes it")
    present, rows = read_csv(path)
    if missing := set(columns) - set(present):
        raise InputError(f"{path}: no column {min(missing)!r}: run `bcnet compare` again")
    for place, row in enumerate(rows, 1):
        for column in numbers:
            try:
                float(row.get(column) or 0)
            except ValueError:
                raise InputError(f"{path}: row {place}, {column}: {row[column]!r}: expected a number") from None
    return rows


def reasons(row: TextRow) -> dict[str, str]:
    """Why a row's empty cells are empty, by column, from its `why`: `column, column: reason; column: reason`."""
    parts = [part.partition(": ") for part in row["why"].split("; ") if part]
    return {column: REASONS.get(reason, reason) for columns, _, reason in parts for column in columns.split(", ")}


def cells(row: TextRow, columns: Iterable[str]) -> tuple[Cell, ...]:
    """The cells of these columns, with their spread over seeds, their intervals, and how many objects they are of."""
    stated = reasons(row)
    return tuple(
        _cell(row, column) if row[column] else Cell("", why=stated.get(column, "not stated")) for column in columns
    )


def _cell(row: TextRow, column: str) -> Cell:
    spread, low, high = (row.get(f"{column}_{end}") for end in ("std", "low", "high"))
    below = (f"{low} to {high}",) if low and high else ()
    count = row.get(COUNT_OF.get(column, "objects" if column in IN_BINS and "measure" in row else "")) or ""
    few = count.isdecimal() and int(count) < FEW
    return Cell(row[column], f"± {spread}" if spread else "", count if column in COUNT_OF else "", below, few=few)


def rows_of(rows: Iterable[TextRow], method: Method, split: str, path: Path) -> list[TextRow]:
    """The rows of a method on a split.

    Args:
        path: of the file that they are from, for the error.

    Raises:
        InputError: there is none.
    """
    own = [row for row in rows if (row["origin"], row["label"], row["split"]) == (method.origin, method.label, split)]
    if not own:
        raise InputError(f"{path}: no row of {method.label!r}, split {split!r}: run `bcnet compare` again")
    return own


def named(row: TextRow, cells: tuple[Cell, ...]) -> Line:
    """A row that says whose it is."""
    return Line(row["label"], cells, origin="" if row["origin"] == "measured here" else row["origin"])


def splits(rows: Iterable[TextRow]) -> list[str]:
    """The splits of rows, in their order."""
    return list(dict.fromkeys(row["split"] for row in rows))
