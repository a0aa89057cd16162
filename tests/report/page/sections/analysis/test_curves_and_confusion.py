"""The sections of curves and of confusions: their numbers are those of the tables beside the metrics."""

import re

import pandas as pd
from page_factory import section
from report_factory import run_parameters

from bcnet.report.page.context import Context
from bcnet.report.page.sections.analysis.confusion import confusions
from bcnet.report.page.sections.analysis.curves import curves


def context_of(made_run) -> Context:
    return Context(run_parameters(), made_run / "data/demo", made_run / "reports/demo")


def test_the_best_threshold_is_that_of_the_highest_f1(made_run):
    """All detections of the made run have a score of .5."""
    found = curves(context_of(made_run))
    assert [chart.name for chart in found.charts] == [
        *("precision-recall-0.5", "precision-recall-0.75", "precision-score", "recall-score", "f1-score")
    ]
    (group,) = found.grid.groups
    assert group.lines[0].name == "mask-rcnn"
    for line in group.lines:
        threshold, precision, recall, _ = (float(cell.text) for cell in line.cells)
        assert threshold <= 0.5
        assert precision == recall == 100.0  # each of as many detections as objects is right at .5


def test_confusions_are_those_of_the_tables(made_run):
    found = confusions(context_of(made_run))
    table = pd.read_parquet(made_run / "reports/demo/metrics/theirs/brought/val.parquet")
    method, (whole, heavy, by_bin) = found.methods[3]
    assert method.name == "theirs"
    assert whole.heads[-1] == "nothing"
    (_, objects, cells), *_ = whole.rows
    assert objects == len(table)
    assert cells[0].count == table["taken_for"].notna().sum()
    assert cells[-1].count == table["taken_for"].isna().sum()
    assert sum(count for _, count, _ in heavy.rows) == (table["box_cover"] >= 0.3).sum() == 0
    (_, _, in_bins), *_ = by_bin.rows
    assert [cell.objects for cell in in_bins] == [20, 10, 0]
    found_at = table["failure"] == 0
    assert [cell.count for cell in in_bins][:2] == [
        (found_at & (table["box_cover"] < 0.1)).sum(),
        (found_at & (table["box_cover"] >= 0.1)).sum(),
    ]


def test_a_number_names_its_objects(text):
    part = section(text, "confusion")
    shown = [each.split() for each in re.findall(r'data-show="([^"]*)"', part)]
    assert shown
    assert all(len(each) == 4 and all(re.fullmatch(r"-1|-|\d+", choice) for choice in each) for each in shown)


def test_boxes_have_neither_curves_nor_confusions(copied):
    for path in copied.glob("reports/demo/metrics/*/*/val.json"):
        path.write_text(path.read_text().replace('"segm"', '"bbox"'))
    context = Context(run_parameters(), copied / "data/demo", copied / "reports/demo")
    assert curves(context) is None
    assert confusions(context) is None
