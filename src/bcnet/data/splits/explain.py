"""`bcnet split --explain`: what every rule selects, and which rule comes nearest to a list of images or to a count."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcnet.data.splits.rules import PAIRS, image_values
from bcnet.data.splits.split import COVERS, listed_images, read_converted
from bcnet.files import InputError, atomic_output
from bcnet.progress import progress

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RULES = [*((rule, same_category) for rule in PAIRS for same_category in (False, True))]
RULES += [(rule, False) for rule in (*COVERS, "image_overlap")]
SHARES = ("share", "precision", "recall", "jaccard")  # columns of 0 to 1


def explain(annotations: Path, ids: Path | None, count: int | None, out: Path | None) -> str:
    """A table of how many images each rule selects at each of `THRESHOLDS`; rows are of one rule and threshold.

    Columns: rule, same_category, threshold, of (which threshold it is), images, share (of all images); with a list also
    listed (how many of the images are), precision, recall and jaccard (of the two sets of images).

    Args:
        annotations: a file that `convert` wrote.
        ids: a list of images (`listed_images`); adds to each rule the threshold, of all, with the highest Jaccard
            index. Rows are then sorted by it, the best first.
        count: adds to each rule the threshold, of all, that selects the number of images nearest to this one.
        out: a .csv file for the table, numbers in full; undefined ones are empty.

    Returns:
        The table as text: of each rule only up to the first of `THRESHOLDS` that selects nothing, and without `of`
        where it always says the same.

    Raises:
        InputError: a file is not right, `annotations` is not converted, or `count` or the name `out` is not legal.
    """
    if out is not None and out.suffix != ".csv":
        raise InputError(f"--out {out}: with --explain expected a .csv file")
    if count is not None and count < 1:
        raise InputError(f"--count {count}: expected 1 or more")
    data = read_converted(annotations)
    images = [image["id"] for image in data["images"]]
    if not images:
        raise InputError(f"{annotations}: no images, expected some to explain the rules on")
    listed = None if ids is None else np.isin(images, list(listed_images(ids, set(images))))
    rows = []
    for rule, same_category in progress(RULES, "measure the rules"):
        values = np.array(list(image_values(data, rule, same_category).values()))
        about = {"rule": rule, "same_category": same_category}
        rows += [about | row for row in rule_rows(values, listed, count)]
    table = pd.DataFrame(rows)
    none = (table["images"] == 0) & (table["of"] == "grid")
    beyond = table.index[none & (none.groupby([table["rule"], table["same_category"]]).cumsum() > 1)]
    if listed is not None:
        table = table.sort_values("jaccard", ascending=False, kind="stable")
    if out is not None:
        with atomic_output(out) as temporary:
            table.to_csv(temporary, index=False)
    table = table.drop(index=beyond)
    if table["of"].nunique() == 1:
        table = table.drop(columns="of")
    formats: dict[Any, Any] = {"threshold": str, **dict.fromkeys(SHARES, "{:.3f}".format)}
    return table.to_string(index=False, na_rep="", formatters=formats)


def rule_rows(values: np.ndarray, listed: np.ndarray | None, count: int | None) -> list[dict[str, Any]]:
    """The rows of one rule, by threshold.

    Args:
        values: (images,) float, each image's value; nan is never selected.
        listed: (images,) bool, or None.
        count: wanted number of images, or None.
    """
    thresholds = [(threshold, "grid") for threshold in THRESHOLDS]
    wanted = count is not None or listed is not None
    rows = [_row(values, threshold, listed) for threshold in distinct_thresholds(values) if wanted]
    if rows and count is not None:
        nearest = min(rows, key=lambda row: abs(row["images"] - count))
        thresholds.append((nearest["threshold"], f"count nearest to {count}"))
    if rows and listed is not None:
        best = max(rows, key=lambda row: row["jaccard"])
        thresholds.append((best["threshold"], "best Jaccard"))
    return [_row(values, threshold, listed) | {"of": of} for threshold, of in sorted(thresholds)]


def distinct_thresholds(values: np.ndarray) -> list[float]:
    """A threshold for every set of images that some threshold selects, from the highest to the lowest.

    Of all thresholds that select the same images, the one with the fewest decimals, the largest of these.
    """
    reached = np.unique(values[~np.isnan(values)])
    below = [-math.inf, *reached]
    return [_shortest(low, high) for low, high in zip(below, reached, strict=False)][::-1]


def _shortest(low: float, high: float) -> float:
    """The number with the fewest decimals in the interval (low, high], the largest of these; 0 <= high <= 1."""
    rounded = (math.floor(high * 10**decimals) / 10**decimals for decimals in range(16))
    return float(next((number for number in rounded if low < number <= high), high))


def _row(values: np.ndarray, threshold: float, listed: np.ndarray | None) -> dict[str, Any]:
    selected = values >= threshold
    number = int(selected.sum())
    row = {"threshold": threshold, "of": "", "images": number, "share": number / len(values)}
    if listed is None:
        return row
    both = int((selected & listed).sum())
    return row | {
        "listed": both,
        "precision": both / number if number else math.nan,
        "recall": both / int(listed.sum()),
        "jaccard": both / int((selected | listed).sum()),
    }
