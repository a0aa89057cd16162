"""Write what a run's tables say into a page of the documentation, between its two marks.

.venv/bin/python benchmarks/results_text.py reports/shapes/tables docs/shapes.md

The page has a line `<!-- results -->` and further down a line `<!-- end of results -->`; what stands between them is
replaced: numbers and intervals of every method on val, differences to the methods of `tables.compare_to`, who differs
for sure, and what each switch of the ablations changes. No number of the page is typed.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bcnet.files import InputError, atomic_output
from bcnet.report.tables.csv_file import read_csv

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
SPLIT = "val"
KEPT = "box_cover"  # the measure whose last bin holds the most covered objects
UNCLEAR = "not clear"
WIDTH = 100  # letters of a line
NUMBERS = ("value", "difference", "low", "high", "from", "to", "objects", "images", "iterations", "seeds")  # columns


@dataclass(frozen=True)
class Told:
    """A number that the text tells of each method: where its rows stand in the tables, and its name here."""

    name: str
    metric: str
    bin: int | None = None  # of `KEPT`: 0 the first, -1 the last
    better: str = "higher"  # the verdict of a method that is better


TOLD = (
    Told("AP", "AP"),
    Told("boundary AP", "boundary_AP"),
    Told("AR, hardly covered", "AR", 0),
    Told("AR, most covered", "AR", -1),
    Told("leak", "leak", better="lower"),
)
OF_PAIRS = tuple(told for told in TOLD if told.bin != 0)  # what a difference is told of


def rows_of(table: pd.DataFrame, told: Told) -> pd.DataFrame:
    """A number's rows on val.

    Args:
        table: `intervals.csv`, `differences.csv` or `ablations.csv`.
        told: the number.
    """
    rows = table[(table["split"] == SPLIT) & (table["metric"] == told.metric)]
    if told.bin is None:
        return rows[rows["measure"].isna()]
    rows = rows[rows["measure"] == KEPT]
    bins = sorted(rows["from"].unique())
    return rows[rows["from"] == bins[told.bin]] if bins else rows


def signed(row: pd.Series) -> str:
    """A difference with its interval; bold if it is sure."""
    if pd.isna(row["difference"]):
        return "-"
    text = f"{row['difference']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"
    return text if row["verdict"] == UNCLEAR else f"**{text}**"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def numbers(intervals: pd.DataFrame) -> str:
    """The table of all methods, each number with its interval."""
    columns = [rows_of(intervals, told).set_index("label") for told in TOLD]

    def cell(column: pd.DataFrame, label: str) -> str:
        row = column.loc[label]
        if pd.isna(row["value"]):
            return "-"
        return f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"

    labels = list(dict.fromkeys(intervals["label"]))
    return markdown(
        ["method", *(told.name for told in TOLD)],
        ([label, *(cell(column, label) for column in columns)] for label in labels),
    )


def differences(table: pd.DataFrame) -> str:
    """For each baseline: the table of differences to it, and who differs for sure in the recall of occluded objects."""
    parts = []
    for baseline, of_baseline in table.groupby("baseline", sort=False):
        columns = [rows_of(of_baseline, told).set_index("label") for told in OF_PAIRS]
        labels = list(dict.fromkeys(of_baseline["label"]))
        parts.append(f"Differences to {baseline}, bold where they are sure:\n")
        parts.append(
            markdown(
                ["method", *(told.name for told in OF_PAIRS)],
                ([label, *(signed(column.loc[label]) for column in columns)] for label in labels),
            )
        )
        parts.append("".join(item(sentence) for sentence in sentences(of_baseline, str(baseline))))
    return "\n".join(parts)


def item(sentence: str) -> str:
    """An item of a list, in lines of the docs' width."""
    return textwrap.fill(f"- {sentence}", WIDTH, subsequent_indent="  ", break_on_hyphens=False) + "\n"


def sentences(table: pd.DataFrame, baseline: str) -> list[str]:
    """Who is better, worse, or neither for sure, a sentence for each number."""
    told_of = []
    for told in OF_PAIRS:
        rows = rows_of(table, told).dropna(subset="difference")
        sure = rows[rows["verdict"] != UNCLEAR]
        groups = (
            ("Better", sure[sure["verdict"] == told.better]),
            ("Worse", sure[sure["verdict"] != told.better]),
            ("Not to be told apart", rows[rows["verdict"] == UNCLEAR]),
        )
        parts = [f"{word}: {'; '.join(group['label'])}." for word, group in groups if len(group)]
        if parts:
            told_of.append(f"{told.name} against {baseline}. {' '.join(parts)}")
    return told_of


def steps(table: pd.DataFrame) -> str:
    """What each switch changes between two variants that differ in nothing else."""
    pairs = ["switch", "before", "after", "baseline", "label"]
    columns = [rows_of(table, told).set_index(pairs) for told in OF_PAIRS]
    keys = list(dict.fromkeys(table[pairs].itertuples(index=False, name=None)))
    rows = (
        [f"`{switch}`: {before} → {after}", f"{first} → {second}", *(signed(column.loc[key]) for column in columns)]
        for key in keys
        for switch, before, after, first, second in [key]
    )
    return markdown(["switch", "variants", *(told.name for told in OF_PAIRS)], rows)


def text_of(tables: Path) -> str:
    """All that stands between the marks.

    Args:
        tables: the folder with a run's tables.

    Raises:
        InputError: a table is missing.
    """
    intervals, comparison = _read(tables / "intervals.csv"), _read(tables / "comparison.csv")
    pairs, changes = _read(tables / "differences.csv"), _read(tables / "ablations.csv")
    first = comparison[comparison["split"] == SPLIT].iloc[0]
    cover = rows_of(intervals, TOLD[3]).iloc[0]
    seeds = int(first["seeds"])
    parts = [
        f"{int(first['images']):,} images with {int(first['objects']):,} objects; {int(first['iterations']):,} "
        f"iterations; {seeds} {'seed' if seeds == 1 else 'seeds'}; in brackets 95 % intervals.\n"
        f"Most covered: others cover {100 * cover['from']:.0f} % or more of the box, "
        f"{int(cover['objects']):,} objects.\n",
        numbers(intervals),
    ]
    if seeds == 1:
        parts.append("One seed: the intervals tell what other images would change, not what another training would.\n")
    if len(pairs):
        parts.append(differences(pairs))
    if len(changes):
        parts += ["What one switch changes, all else equal, bold where it is sure:\n", steps(changes)]
    return "\n".join(parts)


def _read(path: Path) -> pd.DataFrame:
    try:
        columns, rows = read_csv(path)
        table = pd.DataFrame(rows, columns=columns).replace("", None)
        return table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS if name in columns})
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path}: is missing, or no table: `bcnet compare` makes it") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, help="the folder with a run's tables")
    parser.add_argument("page", type=Path, help="the page to write into")
    args = parser.parse_args()
    try:
        page = args.page.read_text(encoding="utf-8")
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            raise InputError(f"{args.page}: has no line {BEGIN.strip()} with a line {END.strip()} after it")
        text = f"{before}{BEGIN}\n{text_of(args.tables)}\n{END}{after}"
        with atomic_output(args.page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
