"""The tables of the report page: each number of the CSV files, why a cell is empty, and what is defined."""

import csv
import html
import json
import re

import pytest
from page_factory import cells, main_table, rows_of, section
from report_factory import SCRIPT, run_parameters

from bcnet.files import InputError
from bcnet.params.results import BINNED
from bcnet.report.page.grid import origin_words
from bcnet.report.page.page import report
from bcnet.report.tables import compare
from bcnet.report.tables.occlusion import BENCHMARK, IN_BINS
from bcnet.report.tables.rows import Method, methods

BCNET = f"BCNet $x$ {SCRIPT}"


def test_origins_are_told_apart_in_the_main_table(text):
    table = main_table(text)
    assert list(table) == ["val", "occluded"]
    assert [(name, row["Origin"]) for name, row in table["val"].items()] == [
        ("mask-rcnn", "measured here"),
        (BCNET, "measured here"),
        ("The zoo's", "imported model"),
        ("_Theirs", "imported predictions"),
    ]
    row = table["occluded"][BCNET]
    shown = [re.fullmatch(r"(\S+ ± \d+\.\d\d)(\d+\.\d\d to \d+\.\d\d)", row[name]) for name in ("AP", "AP50", "box AP")]
    assert [cell[1] for cell in shown] == ["42.60 ± 0.14", "62.60 ± 0.14", "45.00 ± 0.00"]
    assert row["APs"] == "—1"
    last = ("detector", "backbone", "seeds", "iterations", "images", "objects")
    assert [row[name] for name in last] == ["Faster R-CNN", "efficientnet_lite0", "2", "600", "10", "30"]
    zoo, theirs = table["val"]["The zoo's"], table["val"]["_Theirs"]
    assert (zoo["AP"][:5], zoo["AP50"][:5], theirs["AP"][:5]) == ("43.50", "63.50", "44.50")


def test_an_empty_cell_says_why(text, page):
    """Detector and backbone of imported predictions, APs without small objects."""
    notes = re.findall("<li>(.*?)</li>", section(text, "comparison"))
    assert len(notes) == len(set(notes)) == 8
    rows, last = main_table(text)["val"], ("detector", "backbone", "seeds", "iterations")
    reasons = {
        ("The zoo's", "seeds"): "trained elsewhere",
        ("_Theirs", "detector"): "not stated",
        ("_Theirs", "seeds"): "imported predictions do not say",
        ("_Theirs", "APs"): "no object of this size in the split",
    }
    for (name, column), reason in reasons.items():
        assert rows[name][column] == f"—{notes.index(reason) + 1}"
    assert [rows["The zoo's"][name] for name in last[:2]] == ["FCOS", "resnet50"]
    assert {("title", reason) for reason in reasons.values()} <= set(page.attributes)


def test_published_numbers_are_shown_beside_ours_with_the_verdict(text):
    escaped = html.escape(SCRIPT)
    assert cells(text, "published") == [
        *("Published", "Here", "AP", "AP50", "Source"),
        *("BCNet Faster R-CNN, R50-FPN", "mask-rcnn on val", "38.40 41.60 ± 0.14 +3.20 not reproduced"),
        *("61.70 61.60 ± 0.14 \N{MINUS SIGN}0.10 reproduced", f"README {escaped}, primary, schedule 3x"),
        *("Other FCOS, R50-FPN", "not run no method of this run is to reproduce it", "30.00 not run", "— 1"),
        "a survey, secondary",
    ]
    assert "test-dev: 1 not reproduced, 1 reproduced, 1 not run" in text


def test_without_published_numbers_there_is_no_section_of_them(copied):
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    assert 'id="published"' not in (copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")


def test_recall_is_shown_as_in_the_table_with_the_intervals_that_there_are(made_run, text, page):
    rows = rows_of(section(text, "occlusion") + section(text, "same-category"))
    places = [index for index, row in enumerate(rows) if row[0] == "box_cover: 0.1 to 0.3, 10 objects"]
    assert len(places) == 2
    assert [row[0] for row in rows[places[0] + 1 : places[0] + 5]] == [*map(label, methods(run_parameters()))]
    with (made_run / "reports/demo/tables/intervals.csv").open(newline="", encoding="utf-8") as file:
        (ends,) = [
            f"{row['low']} to {row['high']}"
            for row in csv.DictReader(file)
            if [row[key] for key in ("label", "split", "metric", "measure", "from")]
            == [BCNET, "val", "AR", "box_cover", "0.1"]
        ]
    shown = [f"50.50 ± 0.00{ends}", *3 * ["50.50 ± 0.00"], "25.25 ± 0.00"]
    assert rows[places[0] + 2] == [f"BCNet $x$ {SCRIPT}", *shown]
    assert rows[places[0] + 7] == [f"BCNet $x$ {SCRIPT}", *5 * ["—1"]]
    assert ("title", "no object in this bin") in page.attributes
    heads = [row[0] for row in rows if len(row) == 1]
    assert [heads.count(f"occluder: {name} objects") for name in ("none, 20", "other category, 10")] == [2, 2]
    assert [heads.count(f"mask_cover: 0.02 to 0.1, {n} objects") for n in (10, 20)] == [2, 0]
    assert "n = 20" in page.text
    charts = re.findall(r"Line chart: AR against (\S+) on (\S+),", text)
    measures = ("box_cover", "mask_cover", "max_box_iou", "occluder")
    assert charts == [(measure, split) for measure in measures for split in ("val", "occluded")]


def label(method: Method) -> str:
    return method.label + ("" if method.origin == "measured here" else origin_words(method.origin))


def test_the_benchmark_and_the_kinds_of_errors_are_columns_of_the_main_table(made_run, text):
    """Those that have an interval have that of intervals.csv."""
    row = main_table(text)["val"][BCNET]
    with (made_run / "reports/demo/tables/intervals.csv").open(newline="", encoding="utf-8") as file:
        ends = {
            (each["metric"], each["from"] or each["occluder"]): f"{each['low']} to {each['high']}"
            for each in csv.DictReader(file)
            if (each["label"], each["split"]) == (BCNET, "val") and each["measure"] in ("", "box_cover", "occluder")
        }
    expected = {
        "boundary AP": f"32.60 ± 0.14{ends['boundary_AP', '']}",
        "found": f"60.00 ± 0.00{ends['found', '']}",
        "found\noccluded": f"60.00 ± 0.00n 20{ends['found_occluded', '']}",
        "AR\nno occluder": "80.00 ± 0.00n 20",
        "AR\nother category": "50.50 ± 0.00n 10",
        "leak (lower is better)": f"6.00 ± 0.00n 15{ends['leak', '']}",
        "ECE (lower is better)": "25.00 ± 0.00",
        "occluded": "20",
        "separated": "0",
        "leak objects": "15",
        **{
            f"{name} objects": n
            for name, n in (("no occluder", "20"), ("other category", "10"), ("same category", "0"))
        },
    }
    assert {name: row[name] for name in expected} == expected
    assert {row[name][0] for name in ("found\nseparated", "AR\nsame category")} == {"—"}
    assert row["AR\nbox_cover 0.0 to 0.1"].endswith(ends["AR", "0.0"])
    assert row["missed\noccluded"].endswith(f"n 20{ends['missed_occluded', '']}")
    zoo = main_table(text)["val"]["The zoo's"]
    kinds = ["wrong class\noccluded", "badly localised\noccluded", "both\noccluded", "missed\noccluded", "TIDE Cls"]
    heads = list(zoo)
    assert heads[heads.index(kinds[0]) :][:5] == kinds
    assert [zoo[kinds[0]][:8], zoo[kinds[1]][:9], zoo["TIDE FN"]] == ["1.00n 20", "10.00n 20", "7.00"]


def test_invisible_parts_and_order_are_there_if_any_method_has_them(text, copied):
    row = main_table(text)["val"][BCNET]
    heads = ["invisible AP", "invisible IoU", "order decided", "order right of decided", "order right"]
    assert [row[name] for name in heads[:2]] == ["5.00 ± 0.00", "6.00 ± 0.00"]
    assert {row[name][0] for name in (*heads[2:], "order right by masks alone")} == {"—"}
    assert "<dt>order</dt>" in text
    for path in (copied / "reports/demo/metrics").glob("*/*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"amodal": None}), encoding="utf-8")
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    without = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    assert not set(heads) & set(main_table(without)["val"][BCNET])
    assert "<dt>order</dt>" not in without


def test_categories_are_a_column_a_method(text):
    section = text[text.index("<summary>AP of each category") : text.index('<section id="training">')]
    rows = rows_of(section)
    labels = [method.label for method in methods(run_parameters())]
    assert rows[0] == ["Category", "objects", *labels]
    assert rows[2] == [SCRIPT, "10", *2 * ["20.00 ± 0.00"], *2 * ["20.00"]]
    assert rows[3][:2] == ["ring", "20"]


TERMS = {  # how a number's name begins: where it is defined
    **{name: name for name in (*BINNED, "occluder", "found", "leak", "ECE")},
    "AP": "AP",
    "AR": "recall in a bin",
    "APn": "AP, APn in a bin",
    "box_AP": "box AP",
    "boundary": "boundary AP",
    **dict.fromkeys(("wrong_class", "badly_localised", "both", "missed"), "wrong class, badly localised, both, missed"),
    "tide_": "TIDE",
    "invisible_": "invisible AP, IoU",
    "order_": "order",
}


def test_every_number_of_the_tables_is_defined_with_its_formula(text):
    section = text[text.index('<section id="metrics">') : text.index('<section id="provenance">')]
    entries = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section, re.DOTALL)
    defined = {term.replace("<br>", " "): entry for term, entry in entries}
    for name in (*run_parameters().tables.metrics, "box_AP", *BENCHMARK, *BINNED, *IN_BINS, "occluder"):
        term = TERMS[max((start for start in TERMS if name.startswith(start)), key=len)]
        in_words = term in ("AP", "occluder", "box AP", TERMS["both"])
        assert ("<math" in defined[term]) is not in_words, name
    assert "<math" in section[: section.index("<dl>")]  # IoU, before all


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("comparison", "AP"),
        ("recall", "AR"),
        ("recall", "AR_std"),
        ("differences", "difference"),
        ("differences", "low"),
        ("ablations", "high"),
    ],
)
def test_a_number_of_a_table_that_is_none_is_named_with_its_row(copied, table, column):
    """Beyond the first row, and nothing of the page is lost."""
    base = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}
    params = run_parameters(variants={"mask-rcnn": {**base, "structure": "single"}, "bcnet": base})
    compare.compare(params, copied / "reports")
    path, page = copied / f"reports/demo/tables/{table}.csv", copied / "reports/demo/index.html"
    before = page.read_bytes()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[1][column] = "1,5"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=re.escape(f"{path}: row 2, {column}: '1,5': expected a number")) as error:
        report(params, copied / "data", copied / "reports")
    assert "\n" not in str(error.value)
    assert page.read_bytes() == before
