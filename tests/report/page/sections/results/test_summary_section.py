"""The page's first section: what it says is what the tables say."""

import csv
import re
from pathlib import Path

import pytest
from page_factory import Page, section
from report_factory import SCRIPT, run_parameters

from bcnet.report.page.context import Context
from bcnet.report.page.page import report
from bcnet.report.page.sections.results.comparison import NO_METRICS
from bcnet.report.page.sections.results.summary import StatedDifference, summary
from bcnet.report.tables import compare, intervals
from bcnet.report.tables.ablation_steps import SWITCH
from bcnet.report.tables.differences import KEYS, NUMBERS

BASE = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}
MINUS = "\N{MINUS SIGN}"
BILAYER = f"BCNet $x$ {SCRIPT}"


def said(text: str) -> str:
    """The section's text, each run of white space one space."""
    return re.sub(r"\s+", " ", Page(section(text, "summary")).text)


def rows(folder: Path, name: str) -> list[dict]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_ap_of(row: dict, other: dict) -> bool:
    return row["metric"] == "AP" and all(row[key] == other[key] for key in ("origin", "label", "split"))


def test_what_is_said_is_what_the_tables_say(made_run, text):
    """The numbers of the other sections' tables, found anew."""
    folder = made_run / "reports/demo/tables"
    found = said(text)
    whole = [row for row in rows(folder, "comparison") if row["split"] == "val"]
    best = max(whole, key=lambda row: float(row["AP"]))
    assert best["origin"] == "brought"
    sure = next(row for row in rows(folder, "intervals") if is_ap_of(row, best))
    ends = f"{sure['low']} to {sure['high']}"
    (row,) = [row for row in rows(folder, "differences") if is_ap_of(row, best) and not row["measure"]]
    assert (row["baseline"], row["verdict"]) == ("mask-rcnn", "few objects")  # the only one that it is compared with
    difference = f"{float(row['difference']):+.2f}".replace("-", MINUS)
    highest = f"{best['label']} (imported predictions) has the highest AP of 4 methods: {best['AP']} % ({ends})"
    assert f"Of all {best['objects']} objects, {highest}, with no clear difference to mask-rcnn ({difference})" in found
    assert "most covered" not in found  # the run has no objects in the last bin
    for row in rows(folder, "differences"):
        if row["split"] == "val" and (row["metric"] == "AP" and not row["measure"]) and row["label"] == BILAYER:
            side = {"higher": "better than", "lower": "worse than"}.get(row["verdict"], "no clear difference to")
            numbers = [f"{float(row[key]):+.2f}".replace("-", MINUS) for key in ("difference", "low", "high")]
            assert f"{side} mask-rcnn ({numbers[0]}, {numbers[1]} to {numbers[2]})" in found
            break
    else:
        raise AssertionError("the run has such a difference")


def test_labels_are_text(text):
    part = section(text, "summary")
    assert BILAYER in said(text)
    assert SCRIPT not in part


def test_an_occluder_layer_that_nothing_tells_from_the_rest_is_said_to_be_so(text):
    unknown = "The effect of the occluder layer alone: unknown."
    assert f"{unknown} Any gain of BCNet may have another cause" in said(text)


@pytest.mark.parametrize("single_first", [True, False])
def test_an_occluder_layer_by_itself_is_told(copied, single_first):
    variants = {"mask-rcnn": {**BASE, "structure": "single"}, "bcnet": BASE}
    if not single_first:
        variants = {"mask-rcnn": BASE, "bcnet": {**BASE, "structure": "single"}}
    params = run_parameters(variants=variants)
    compare.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    found = said((copied / "reports/demo/index.html").read_text(encoding="utf-8"))
    layer = found[found.index("The effect of the occluder layer alone, in heads that are otherwise equal:") :]
    step = next(row for row in rows(copied / "reports/demo/tables", "ablations") if row["split"] == "val")
    assert (step["switch"], step["before"]) == ("structure", "single" if single_first else "bilayer")
    difference = f"{float(step['difference']):+.2f}".replace("-", MINUS)
    ends = ("single", "bilayer") if single_first else ("bilayer", "single")
    assert "mask-rcnn ({}) to bcnet ({}): AP {} (".format(*ends, difference) in layer


def test_a_run_without_bcnet_has_no_word_of_its_layer(copied):
    params = run_parameters(variants={"mask-rcnn": {**BASE, "method": "mask_rcnn"}})
    compare.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    found = said((copied / "reports/demo/index.html").read_text(encoding="utf-8"))
    assert "Of all 30 objects, " in found
    assert "occluder layer" not in found


def test_of_a_run_that_has_measured_nothing_on_val_nothing_is_said(copied):
    for path in copied.glob("reports/demo/metrics/*/*/val.json"):
        path.unlink()
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    assert "<h2>In short</h2>" not in (copied / "reports/demo/index.html").read_text(encoding="utf-8")


def test_of_methods_that_have_not_learnt_none_is_named_the_best(copied):
    table = copied / "reports/demo/tables/comparison.csv"
    lines = list(csv.reader(table.open(encoding="utf-8", newline="")))
    place = lines[0].index("AP")
    few = [[*line[:place], "0.40", *line[place + 1 :]] for line in lines[1:]]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([lines[0], *few])
    report(run_parameters(), copied / "data", copied / "reports")
    found = said((copied / "reports/demo/index.html").read_text(encoding="utf-8"))
    assert "No method has learnt to find objects: AP is below 1 %, and the other numbers mean nothing yet." in found
    assert "has the highest" not in found
    assert found.count("has not learnt, AP 0.40 %") == 4


def test_one_method_is_not_the_most_of_any(copied):
    for path in copied.glob("reports/demo/metrics/*/*/*.json"):
        if "zoo" not in str(path):
            path.unlink()
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    found = said((copied / "reports/demo/index.html").read_text(encoding="utf-8"))
    assert re.search(
        r"Of all 30 objects, The zoo's \(imported model\) has AP: 4\d\.\d\d % \(\d+\.\d\d to \d+\.\d\d\)\. ", found
    )


def written(folder: Path, name: str, columns: list[str], rows: list[dict]) -> None:
    with (folder / "tables" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_methods_from_elsewhere_are_said_to_be_so(tmp_path):
    """Wherever the section names one: the best, those close to it, the next one, a baseline."""
    params = run_parameters(
        variants={"a": BASE},
        imported={name: {"file": f"{name}.pth", "label": name.upper()} for name in "mn"},
        predictions={"p": {"file": "p.json", "label": "P"}},
        tables={"metrics": ["AP"], "compare_to": ["n"]},
    )
    (tmp_path / "tables").mkdir()
    values = {("measured here", "a"): 40, ("imported", "M"): 43, ("imported", "N"): 42, ("brought", "P"): 44}
    whose = [{"origin": origin, "label": label, "split": "val"} for origin, label in values]
    comparison = [row | {"objects": "20", "AP": value} for row, value in zip(whose, values.values(), strict=True)]
    written(tmp_path, "comparison", [*sorted(NO_METRICS), "AP"], comparison)
    recall = ("measure", "from", "to", "objects", "AR", "AR50", "AR75", "AP", "APn", "occluder", "why")
    written(
        tmp_path, "recall", ["origin", "label", "split", *recall], [row | {"measure": "box_cover"} for row in whose]
    )
    written(tmp_path, "intervals", ["origin", "label", "split", *intervals.COLUMNS], [])
    numbers = {"metric": "AP", "difference": "2.00", "low": "-1.00", "high": "5.00", "verdict": "not clear"}
    row = whose[-1] | numbers | {"baseline_origin": "imported", "baseline": "N"}
    written(tmp_path, "differences", [*KEYS, *NUMBERS, "verdict", "why"], [row])
    written(tmp_path, "ablations", [*SWITCH, *KEYS, *NUMBERS, "verdict", "why"], [])
    found = summary(Context(params, tmp_path / "data", tmp_path))
    (finding,) = found.findings
    assert finding.best == "P (imported predictions)"
    assert finding.close == "N (imported model) (+2.00)"
    assert finding.unknown == "M (imported model)"
    (change,) = [number.change for answer in found.answers for number in answer.numbers if number.change]
    assert (change.label, change.baseline) == ("P (imported predictions)", "N (imported model)")


def test_the_sentence_of_a_method_from_elsewhere_says_so(text):
    sentences = re.findall("<li data-method.*?</li>", section(text, "summary"), re.DOTALL)
    names = [re.sub(r"\s+", " ", Page(sentence).text).partition(": ")[0].partition(" ")[2] for sentence in sentences]
    assert sorted(names) == sorted(
        ["mask-rcnn", BILAYER, "The zoo's (imported model)", "_Theirs (imported predictions)"]
    )


def test_differences_are_those_of_the_number_in_the_order_of_their_size(tmp_path):
    """By hand: of val, of the first metric, of the last bin; the side is the interval's, zero at its end counts."""
    params = run_parameters(
        variants={name: {**BASE, "label": name.upper()} for name in "abcde"}, imported={}, predictions={}
    )
    whose = [{"origin": "measured here", "label": name, "split": "val"} for name in "ABCDE"]
    (tmp_path / "tables").mkdir()
    values = ["40.00", "41.00", "", "43.50", "0.99"]
    comparison = [each | {"objects": "20", "AP": value} for each, value in zip(whose, values, strict=True)]
    written(tmp_path, "comparison", [*sorted(NO_METRICS), "AP"], comparison)
    bins = [("box_cover", "0.0", "0.5", "70"), ("box_cover", "0.5", "1.0", "20"), ("max_box_iou", "0.5", "1.0", "90")]
    keys = ("measure", "from", "to", "AR")
    more = {"occluder": "", "AR50": "", "AR75": "", "AP": "", "APn": ""}
    recall = [
        each | more | {"objects": "4"} | dict(zip(keys, each_bin, strict=True)) for each in whose for each_bin in bins
    ]
    recall[4]["AR"], recall[4]["AR_std"] = "20.01", "1.50"  # B's
    whole = {"label": "D", "split": "val", "metric": "AP", "low": "42.00", "high": "44.00"}
    of_bin = {"label": "B", "split": "val", "metric": "AR", "measure": "box_cover", "from": "0.5", "to": "1.0"}
    sure = [whole, of_bin | {"low": "17.00", "high": "23.00"}, of_bin | {"split": "occluded", "low": "1", "high": "2"}]
    sure = [row | {"origin": "measured here"} for row in sure]
    written(tmp_path, "intervals", ["origin", "label", "split", *intervals.COLUMNS], sure)
    written(tmp_path, "recall", ["origin", "label", "split", *keys, *more, "objects", "AR_std", "why"], recall)

    def row(label: str, difference: str, low: str, high: str, **other: str) -> dict:
        base = {"origin": "measured here", "label": label, "baseline_origin": "measured here", "baseline": "A"}
        numbers = {"split": "val", "metric": "AP", "difference": difference, "low": low, "high": high}
        side = "higher" if low and float(low) > 0 else "lower" if low and float(high) < 0 else "not clear"
        return base | numbers | {"verdict": side} | other

    last = {"metric": "AR", "measure": "box_cover", "from": "0.5", "to": "1.0"}
    differences = [
        row("B", "1.00", "0.00", "2.00"),
        row("C", "", "", ""),
        row("D", "3.50", "0.01", "7.00"),
        row("E", "-2.00", "-3.00", "-0.01"),
        row("B", "9.00", "8.00", "10.00", split="occluded"),
        row("B", "8.00", "7.00", "10.00", metric="AP50"),
        row("D", "-5.00", "-6.00", "1.00", **last),
        row("D", "7.00", "6.00", "8.00", **last | {"from": "0.0", "to": "0.5"}),
        row("B", "0.40", "-1.00", "1.10", baseline="C", **last),
        row("C", "-0.50", "-1.00", "1.00", baseline="B", **last),
        row("D", "-0.50", "-1.00", "-0.10", baseline="B", **last),
        row("C", "-9.00", "-9.50", "-8.00", baseline="B", baseline_origin="brought", **last),  # another B
        row("B", "0.50", "-1.00", "1.10", baseline="D", **last),  # the other way it is clear
        row("B", "0.50", "-1.00", "1.10", baseline="E", **last),
        row("D", "6.00", "6.00", "8.00", **last | {"measure": "max_box_iou"}),
        row("B", "1.50", "-1.00", "4.00", metric="AR_equal_size_gap", measure="box_cover"),
        row("D", "2.50", "1.00", "4.00", metric="AR_equal_size_gap", measure="box_cover"),
        row("B", "3.50", "1.00", "4.00", metric="AR_gap", measure="box_cover"),
    ]
    written(tmp_path, "differences", [*KEYS, *NUMBERS, "verdict", "why"], differences)
    steps = [
        row("D", "-0.50", "-1.00", "-0.10", switch="structure", before="x", after="y"),
        row("E", "-0.70", "-1.00", "-0.10", switch="depth"),
        row("D", "0.40", "-1.00", "1.10", switch="structure", before="x", after="y", **last),
    ]
    written(tmp_path, "ablations", [*SWITCH, *KEYS, *NUMBERS, "verdict", "why"], steps)
    found = summary(Context(params, tmp_path / "data", tmp_path))
    whole, occluded = found.findings
    assert (whole.what, whole.best, whole.methods) == ("all 20 objects", "D", 4)
    assert whole.value == "43.50 % (42.00 to 44.00)"
    assert occluded.what == "the 4 most covered objects (box_cover 0.5 to 1.0)"
    assert (occluded.best, occluded.value, occluded.methods) == ("B", "20.01 % (17.00 to 23.00)", 5)
    assert (whole.close, whole.unknown) == ("", "B")
    assert (occluded.close, occluded.unknown) == ("C (+0.50)", "A")  # E has not learnt
    assert (whole.few, occluded.few) == (False, True)
    assert found.fall == StatedDifference("B", "A", f"+1.50 ({MINUS}1.00 to +4.00)", 1.5, 0)
    assert [answer.method.label for answer in found.answers if not answer.learnt] == ["E"]
    assert [(answer.key, answer.method.label) for answer in found.answers] == list(
        zip((1, 0, 2, 3, 4), "BACDE", strict=True)  # the highest recall first, of equals in the run's order
    )
    numbers = {answer.method.label: answer.numbers for answer in found.answers}
    assert {label: of_whole and of_whole.change for label, (of_whole, _) in numbers.items()} == {
        "A": None,
        "B": StatedDifference("B", "A", "+1.00 (0.00 to +2.00)", 1.0, 0),
        "C": None,
        "D": StatedDifference("D", "A", "+3.50 (+0.01 to +7.00)", 3.5, 1),
        "E": StatedDifference("E", "A", f"{MINUS}2.00 ({MINUS}3.00 to {MINUS}0.01)", -2.0, -1),
    }
    assert numbers["C"][0] is None
    assert (numbers["B"][1].value, numbers["B"][1].between) == ("20.01", "17.00 to 23.00")
    assert numbers["D"][1].change.text == f"{MINUS}5.00 ({MINUS}6.00 to +1.00)"
    assert {pair: [(each.short, change.side) for each, change in both] for pair, both in found.layer.items()} == {
        ("A (x)", "D (y)"): [("AP", -1), ("AR of the most covered", 0)]
    }
