"""The page's section of confusions: what objects of each category are taken for, and found by category and cover."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bcnet.evaluation.metrics.confusion import NOTHING, confusion, found_by_bin
from bcnet.evaluation.metrics.failures import FOUND
from bcnet.files import read_json
from bcnet.report.page.context import Context
from bcnet.report.page.object_tables import bin_labels, bin_places, chosen_two, object_tables
from bcnet.report.tables.rows import Method

CHOICES = ("method", "category", "taken", "bin")  # of the browser of objects
FALSE = "nothing (false detections)"
MOST = 12  # categories of a matrix, of more those that are confused most


@dataclass(frozen=True)
class Count:
    """A cell: how many, of how many, and which objects the browser shows for it."""

    count: int
    objects: int
    show: dict[str, str]

    @property
    def shown(self) -> str:
        """`show` as the page's script reads it: the choices of CHOICES in their order, -: any."""
        return " ".join(self.show.get(name, "-") for name in CHOICES)

    @property
    def percent(self) -> float:
        """0 to 100; of no objects 0."""
        return 100 * self.count / self.objects if self.objects else 0.0


@dataclass(frozen=True)
class CountTable:
    """Rows of counts: `label` says of what, `heads` name the columns, and each row has its name and its objects."""

    label: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[Count, ...]], ...]


@dataclass(frozen=True)
class Confusions:
    """Of each method two matrices, of all and of the most covered objects, and what it finds; two are shown first."""

    methods: tuple[tuple[Method, tuple[CountTable, CountTable, CountTable]], ...]
    first: tuple[Method, ...]
    categories: int
    bin: str


def confusions(context: Context) -> Confusions | None:
    """Confusions of each method's first run on val; None without masks.

    Raises:
        InputError: tables do not fit together.
    """
    tables = context.once(object_tables)
    if not tables:
        return None
    names = {category["id"]: category["name"] for category in context.val["categories"]}
    bins = bin_labels(context.params.evaluate.cover_bins)
    table = next(iter(tables.values()))
    ids = np.unique(np.concatenate([table["category_id"], *(_taken(own) for own in tables.values())]))
    ids = ids[ids != NOTHING]
    false = {method: _false_detections(method, context) for method in tables}
    ids = np.union1d(ids, [category for counts in false.values() for category, count in counts.items() if count])
    ids = ids.astype(np.int64)
    counts = np.sum([confusion(own["category_id"].to_numpy(), _taken(own), ids) for own in tables.values()], axis=0)
    square = counts[:, :-1] * (1 - np.eye(len(ids), dtype=int))
    order = np.argsort(-(square.sum(axis=0) + square.sum(axis=1)), kind="stable")[:MOST]
    shown = np.sort(order)
    places = bin_places(table["box_cover"].to_numpy(float), context.params.evaluate.cover_bins)
    index = {category: str(place) for place, category in enumerate(np.unique(table["category_id"]))}
    methods = []
    for key, (method, own) in enumerate(tables.items()):
        heavy = own[places == len(bins) - 1]
        matrices = (
            _matrix(f"all objects, {method.label}", own, ids, shown, names, {"method": str(key)}, index, false[method]),
            _matrix(
                f"the most covered objects, {method.label}",
                heavy,
                ids,
                shown,
                names,
                {"method": str(key), "bin": str(len(bins) - 1)},
                index,
                {},
            ),
        )
        methods.append((method, (*matrices, _by_bin(method, key, own, places, bins, names, index))))
    two = chosen_two(context, list(tables)) if len(tables) > 1 else (0,)
    first = tuple(list(tables)[place] for place in two)
    return Confusions(tuple(methods), first, len(ids), bins[-1])


def _taken(table: pd.DataFrame) -> np.ndarray:
    return table["taken_for"].fillna(NOTHING).to_numpy(np.int64)


def _matrix(
    label: str,
    table: pd.DataFrame,
    ids: np.ndarray,
    shown: np.ndarray,
    names: dict[int, str],
    show: dict[str, str],
    index: dict[int, str],
    false: dict[int, int],
) -> CountTable:
    """A matrix of some of the categories; the last columns: another category, nothing; the last row: of nothing."""
    counts = confusion(table["category_id"].to_numpy(), _taken(table), ids)
    rows = []
    for row in shown:
        objects = int(counts[row].sum())
        of_row = {**show, "category": index.get(ids[row], "")}
        cells = [Count(int(counts[row, column]), objects, {**of_row, "taken": str(ids[column])}) for column in shown]
        others = int(counts[row, :-1].sum() - counts[row, shown].sum())
        if len(shown) < len(ids):
            cells.append(Count(others, objects, {}))
        cells.append(Count(int(counts[row, -1]), objects, {**of_row, "taken": str(NOTHING)}))
        rows.append((names[int(ids[row])], objects, tuple(cells)))
    if false:
        rows.append((FALSE, sum(false.values()), _false_row(false, ids, shown)))
    another = ("another",) if len(shown) < len(ids) else ()
    return CountTable(label, (*(names[int(ids[column])] for column in shown), *another, "nothing"), tuple(rows))


def _false_row(false: dict[int, int], ids: np.ndarray, shown: np.ndarray) -> tuple[Count, ...]:
    """Of all false detections, how many are of each column's category."""
    everything = sum(false.values())
    own = [false.get(int(ids[column]), 0) for column in shown]
    others = [everything - sum(own)] if len(shown) < len(ids) else []
    return (*(Count(count, everything, {}) for count in (*own, *others)), Count(0, 0, {}))


def _false_detections(method: Method, context: Context) -> dict[int, int]:
    """How many detections of each category are of nothing; empty where the metrics, of an older version, lack it."""
    metrics = read_json(context.metrics(method, method.runs[0], "val"))
    return {row["id"]: row["count"] for row in metrics.get("false_detections", ())}


def _by_bin(
    method: Method,
    key: int,
    table: pd.DataFrame,
    places: np.ndarray,
    bins: list[str],
    names: dict[int, str],
    index: dict[int, str],
) -> CountTable:
    """The share that is found of the objects of each category in each bin of box_cover."""
    found = table["failure"].to_numpy() == FOUND
    counts = found_by_bin(table["category_id"].to_numpy(), places, found, len(bins))
    rows = tuple(
        (
            names[category],
            int(objects.sum()),
            tuple(
                Count(int(right[k]), int(objects[k]), {"method": str(key), "category": index[category], "bin": str(k)})
                for k in range(len(bins))
            ),
        )
        for category, (objects, right) in counts.items()
    )
    return CountTable(f"found by category and box_cover, {method.label}", tuple(bins), rows)
