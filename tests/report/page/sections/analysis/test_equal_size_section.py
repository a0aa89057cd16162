"""The section about recall under occlusion at equal size: its sentences and its table are those of intervals.csv."""

import csv
from pathlib import Path

from report_factory import run_parameters

from bcnet.report.page.context import Context
from bcnet.report.page.sections.analysis.equal_size import equal_size
from bcnet.report.tables.intervals import COLUMNS

WHOSE = ["origin", "label", "split"]


def write(path: Path, columns: list[str], rows: list[dict]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def section(tmp_path: Path, few: str = "no", ap: str = "30.00"):
    params = run_parameters(imported={}, predictions={"theirs": {"file": "theirs.json", "label": "Theirs"}})
    labels = "mask-rcnn", params.variants["bcnet"].label
    whose = [{"origin": "measured here", "label": label, "split": "val"} for label in labels]
    whose.append({"origin": "brought", "label": "Theirs", "split": "val"})
    main = [*WHOSE, "detector", "backbone", "seeds", "box_AP", "objects", "images", "iterations", "why", "source"]
    numbers = {"AP": ap, "AP50": "50.00", "APs": "9.00", "box_AP": "31.00"}
    write(tmp_path / "tables/comparison.csv", [*main, "AP", "AP50", "APs"], [own | numbers for own in whose])
    rows = []
    for own in whose:
        rows.append(own | {"metric": "AR", "measure": "box_cover", "from": "0.3", "to": "1.0", "value": "20.00"})
        for metric, value, low, high in (
            ("AR_gap", "-15.00", "-20.00", "-10.00"),
            ("AR_equal_size_gap", "-17.00", "-23.00", "-9.00"),
            ("AR_kept", "66.40", "55.00", "78.00"),
        ):
            known = {"value": value, "low": low, "high": high, "objects": "276", "few": few}
            if own["label"] == "Theirs":
                known = {"why": "value, low, high: the predictions are boxes"}
            rows.append(own | {"metric": metric, "measure": "box_cover"} | known)
    write(tmp_path / "tables/intervals.csv", [*WHOSE, *COLUMNS], rows)
    return equal_size(Context(params, tmp_path / "data", tmp_path))


def test_each_method_that_is_known_has_its_sentence_and_all_have_their_row(tmp_path):
    shown = section(tmp_path)
    keeps = (
        "It keeps 66 % (55 to 78) of its recall where others cover 30 % or more of an object's box, compared at equal "
        "size."
    )
    assert [words for _, words in shown.sentences] == [keeps, keeps]
    first, _, theirs = shown.grid.groups[0].lines
    assert [cell.text for cell in first.cells] == ["-15.00", "-17.00", "66.40"]
    assert first.cells[1].below == ("-23.00 to -9.00", "n 276")
    assert {cell.why for cell in theirs.cells} == {"the predictions are boxes"}


def test_few_objects_are_grey_and_have_no_sentence(tmp_path):
    shown = section(tmp_path, few="yes")
    assert shown.sentences == ()
    assert all(cell.few for cell in shown.grid.groups[0].lines[0].cells)


def test_a_method_that_has_not_learnt_has_no_sentence(tmp_path):
    assert section(tmp_path, ap="0.99").sentences == ()
