"""The tables of the report page: each number of the CSV files, why a cell is empty, and what is defined."""

import csv
import html
import json
import re

import pytest
from evaluation_factory import write_tables
from page_factory import Page, cells, rows_of, section
from report_factory import SCRIPT, run_parameters

from bcnet.files import InputError
from bcnet.params.results import BINNED
from bcnet.report.page.grid import origin_words
from bcnet.report.page.page import report
from bcnet.report.page.sections.differences import beyond_chance, difference_cell, signed
from bcnet.report.tables import compare
from bcnet.report.tables.differences import NUMBERS
from bcnet.report.tables.occlusion import BENCHMARK, IN_BINS
from bcnet.report.tables.rows import Method, methods


def test_origins_are_told_apart_in_the_main_table(page):
    measured = ("measured here", "imported model", "imported predictions")
    groups = [f"{split}|{origin}" for split in ("val", "occluded") for origin in measured]
    assert list(page.groups)[:6] == groups
    assert [row[0] for row in page.groups["val|measured here"]] == ["mask-rcnn", f"BCNet $x$ {SCRIPT}"]
    row = page.groups["occluded|measured here"][1]
    assert row[0] == f"BCNet $x$ {SCRIPT}"
    shown = [re.fullmatch(r"(\S+ ± \d+\.\d\d)(\d+\.\d\d to \d+\.\d\d)", cell) for cell in (row[1], row[2], row[4])]
    assert [cell[1] for cell in shown] == ["42.60 ± 0.14", "62.60 ± 0.14", "45.00 ± 0.00"]
    assert row[3] == "—1"
    assert row[5:] == ["Faster R-CNN", "efficientnet_lite0", "2", "600", "10", "30"]
    own = page.groups["val|imported model"][0]
    assert (own[0], own[1][:5], own[2][:5]) == ("The zoo's", "43.50", "63.50")
    assert page.groups["val|imported predictions"][0][1].startswith("44.50")


def test_an_empty_cell_says_why(page):
    """Detector and backbone of imported predictions, APs without small objects."""
    assert page.groups["val|imported model"][0][5:9] == ["FCOS", "resnet50", "—2", "—2"]
    assert page.groups["val|imported predictions"][0][5:9] == ["—3", "—3", "—4", "—4"]
    reasons = ["no object of this size in the split", "trained elsewhere", "not stated"]
    reasons.append("imported predictions do not say")
    assert page.items[:4] == reasons
    assert {("title", reason) for reason in reasons} <= set(page.attributes)


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


def test_differences_are_shown_with_interval_and_p(made_run, text):
    """Every cell has what its row of differences.csv says; recall by `box_cover` is in the first table."""
    section = text[text.index('<section id="differences">') : text.index('<section id="occlusion">')]
    main, others = (re.findall(r"<td.*?</td>", part, re.DOTALL) for part in section.split("<details>"))
    with (made_run / "reports/demo/tables/differences.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        cell = "".join(f"{row[key]:>9}" for key in ("difference", "std", "low", "high", "objects"))
        expected[row["measure"] in ("", "box_cover")].append(cell)

    def plain(cell: str) -> str:
        words = " ".join(re.sub("<[^>]*>", " ", cell.replace("\N{MINUS SIGN}", "-").replace("+", "")).split())
        found = re.fullmatch(r"(\S+) ± (\S+) (\S+) to (\S+) p .*, corrected \S+ n (\S+)", words)
        return "".join(f"{text:>9}" for text in found.groups()) if found else f"{'':45}"

    assert [plain(cell) for cell in main] == expected[True]
    assert [plain(cell) for cell in others] == expected[False]
    assert (len(main), len(others)) == (2 * 3 * 14, 2 * 3 * 11)
    assert "+10.00<small> ± 0.00</small>" in main[0]  # BCNet finds each object at one threshold more
    assert "\N{MINUS SIGN}10.00" in main[8]  # and leaks a tenth less
    assert section.count("<strong>") == 0  # of ten images nothing is clear
    assert {row["verdict"] for row in rows} == {"few objects", ""}
    assert "Compared with mask-rcnn" in section
    assert "images and seeds (100 draws)" in " ".join(section.split())
    assert "<li>no object in this bin</li>" in section
    labels = re.findall(r'aria-label="Difference of each method to mask-rcnn on (\S+):', text)
    assert labels == ["val", "occluded"]


@pytest.mark.parametrize(
    ("verdict", "bold", "few"),
    [
        ("higher", True, False),
        ("lower", True, False),
        ("not clear", False, False),
        ("few objects", False, True),
        ("", False, False),
    ],
)
def test_only_a_difference_that_the_corrected_p_makes_clear_is_bold(verdict, bold, few):
    """Whatever its interval; p, corrected p and n stand beside it."""
    row = dict.fromkeys(NUMBERS, "1.00") | {"p": "1.2e-07", "p_corrected": "0.03", "objects": "41", "verdict": verdict}
    cell = difference_cell(row)
    assert (beyond_chance(row), cell.bold, cell.few) == (bold, bold, few)
    assert cell.below == ("+1.00 to +1.00", "p < 0.0001, corrected 0.03", "n 41")


def test_a_difference_has_its_sign():
    assert [signed(text) for text in ("1.50", "-1.50", "0.00", "-0.00")] == [
        "+1.50",
        "\N{MINUS SIGN}1.50",
        "0.00",
        "0.00",
    ]


def test_with_one_seed_the_page_says_what_the_interval_leaves_out(copied, page):
    assert "not training again" not in " ".join(page.text.split())
    params = run_parameters(seeds=[0])
    compare.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    text = " ".join(Page((copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")).text.split())
    assert "With one seed, the interval covers other images, but not training again with another seed." in text


def test_recall_is_shown_as_in_the_table(text, page):
    rows = rows_of(section(text, "occlusion") + section(text, "same-category"))
    places = [index for index, row in enumerate(rows) if row[0] == "box_cover: 0.1 to 0.3, 10 objects"]
    assert len(places) == 2
    assert [row[0] for row in rows[places[0] + 1 : places[0] + 5]] == [*map(label, methods(run_parameters()))]
    assert rows[places[0] + 2] == [f"BCNet $x$ {SCRIPT}", *4 * ["50.50 ± 0.00"], "25.25 ± 0.00"]
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


def test_the_benchmark_and_the_kinds_of_errors_are_tables(text):
    main, errors = rows_of(section(text, "occlusion")), rows_of(section(text, "errors"))
    heads = ["boundary AP", "found", "found\noccluded", "found\nseparated"]
    heads += ["AR\nno occluder", "AR\nother category", "AR\nsame category", "ECE (lower is better)"]
    counts = ["occluded", "separated", "leak objects"]
    counts += [f"{name} objects" for name in ("no occluder", "other category", "same category")]
    assert main[0] == ["Method", *heads, *counts]
    numbers = ["32.60 ± 0.14", "60.00 ± 0.00", "60.00 ± 0.00n 20", "—1", "80.00 ± 0.00n 20"]
    numbers += ["50.50 ± 0.00n 10", "—2", "25.00 ± 0.00", *("20", "0", "15", "20", "10", "0")]
    assert main[3] == [f"BCNet $x$ {SCRIPT}", *numbers]
    assert [row[0] for row in main if len(row) == 1][:2] == ["val", "occluded"]
    kinds = ["wrong class\noccluded", "badly localised\noccluded", "both\noccluded", "missed\noccluded", "TIDE Cls"]
    assert errors[0][1:6] == kinds
    assert errors[4][:3] == ["The zoo'simported model", "1.00n 20", "10.00n 20"]
    assert errors[4][-1] == "7.00"


def test_leak_stands_beside_its_difference_to_each_baseline(made_run, text):
    rows = rows_of(section(text, "leak"))
    assert rows[0] == ["Method", "leak", "difference to mask-rcnn"]
    assert [row[0] for row in rows if len(row) == 1] == ["val", "occluded"]
    assert rows[2][:2] == ["mask-rcnn", "7.00 ± 0.00n 15"]
    with (made_run / "reports/demo/tables/differences.csv").open(newline="", encoding="utf-8") as file:
        expected = [row for row in csv.DictReader(file) if row["metric"] == "leak"]
    mine = [row for row in rows[1:] if len(row) > 1 and row[0] != "mask-rcnn"]
    assert len(mine) == len(expected) == 6
    for shown, row in zip(mine, expected, strict=True):
        assert shown[0].startswith(row["label"])
        assert f"n {row['objects']}" in shown[2]


def test_invisible_parts_and_order_are_there_if_any_method_has_them(text, copied):
    rows = rows_of(section(text, "order"))
    heads = ["invisible AP", "invisible IoU", "order decided", "order right of decided", "order right"]
    assert rows[0] == ["Method", *heads, "order right by masks alone"]
    assert rows[3] == [f"BCNet $x$ {SCRIPT}", "5.00 ± 0.00", "6.00 ± 0.00", *4 * ["—1"]]
    assert "<dt>order</dt>" in text
    for path in (copied / "reports/demo/metrics").glob("*/*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"amodal": None}), encoding="utf-8")
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    without = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    assert "Invisible parts" not in without
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


def test_predictions_that_are_boxes_are_not_drawn_and_every_table_says_so(copied):
    path = copied / "data/demo/predictions/theirs/brought/val.json"
    boxes = [
        {key: each[key] for key in ("image_id", "category_id", "score")}
        for each in json.loads(path.read_text(encoding="utf-8"))
    ]
    path.write_text(json.dumps([each | {"bbox": [1, 2, 30, 40]} for each in boxes]), encoding="utf-8")
    for split in ("val", "occluded"):
        path = copied / f"reports/demo/metrics/theirs/brought/{split}.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        metrics["provenance"]["iou_type"] = "bbox"
        metrics |= dict.fromkeys(("segm", "boundary"), dict.fromkeys(metrics["segm"]))
        metrics |= dict.fromkeys(("failures", "leak", "amodal", "order"))
        metrics["categories"] = [
            {key: each[key] for key in ("id", "name", "objects", "bbox")} for each in metrics["categories"]
        ]
        path.write_text(json.dumps(metrics), encoding="utf-8")
        write_tables(path, 10, [3] * 30, [0.0] * 20 + [0.2] * 10, "bbox")
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    text = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.text.count("_Theirs: predictions without masks are not drawn") == 8
    assert len(re.findall("The zoo's: . of 3 objects found", page.text)) == 8
    places = ("comparison", "differences", "occlusion", "same-category", "leak", "errors", "order")
    found = {place: [row for row in rows_of(section(text, place)) if row[0].startswith("_Theirs")] for place in places}
    # of two splits: main table; AP and AR; the benchmark and three measures of three bins; the fourth; one table each
    assert [len(rows) for rows in found.values()] == [2, 4, 2 + 18, 6, 2, 2, 2]
    assert [row[1:4] for row in found["comparison"]] == 2 * [["—3", "—3", "—3"]]
    assert all(row[4].startswith("45.00") for row in found["comparison"])
    assert [[index for index, cell in enumerate(row) if index and cell[0] != "—"] for row in found["differences"]] == [
        *([4], [4]),  # box AP
        *([], []),
    ]
    assert {cell[0] for place in places[2:] for row in found[place] for cell in row[1:]} == {"—"}
    for place in places:
        assert "<li>the predictions are boxes</li>" in section(text, place)


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
