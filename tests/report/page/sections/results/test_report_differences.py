"""The differences between methods on the report page: interval, p, sign, and what is clear."""

import csv
import re

import pytest
from page_factory import Page, main_table, rows_of, section
from report_factory import run_parameters

from bcnet.report.page.page import report
from bcnet.report.page.sections.results.differences import beyond_chance, difference_cell, signed
from bcnet.report.tables import compare
from bcnet.report.tables.differences import NUMBERS


def test_differences_are_shown_with_interval_and_p(made_run, text):
    """Every cell has what its row of differences.csv says; recall by `box_cover` is in the first table."""
    shown = section(text, "differences")
    main, others = (re.findall(r"<td.*?</td>", part, re.DOTALL) for part in shown.split("<table>")[1:])
    with (made_run / "reports/demo/tables/differences.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        cell = "".join(f"{row[key]:>9}" for key in ("difference", "std", "low", "high", "objects"))
        expected[row["measure"] in ("", "box_cover")].append(cell)

    def plain(cell: str) -> str:
        words = " ".join(re.sub("<[^>]*>", " ", cell.replace("\N{MINUS SIGN}", "-").replace("+", "")).split())
        found = re.fullmatch(r"(\S+) ± (\S+) n (\S+) (\S+) to (\S+) p .*, corrected \S+", words)
        return "".join(f"{found[place]:>9}" for place in (1, 2, 4, 5, 3)) if found else f"{'':45}"

    assert [plain(cell) for cell in main] == expected[True]
    assert [plain(cell) for cell in others] == expected[False]
    assert (len(main), len(others)) == (2 * 3 * 14, 2 * 3 * 11)
    assert "+10.00<small> ± 0.00</small>" in main[0]  # BCNet finds each object at one threshold more
    assert "\N{MINUS SIGN}10.00" in main[8]  # and leaks a tenth less
    assert shown.count("<strong>") == 0  # of ten images nothing is clear
    assert {row["verdict"] for row in rows} == {"few objects", ""}
    assert "<summary>Table: differences to mask-rcnn</summary>" in shown
    assert "images and seeds (100 draws)" in " ".join(shown.split())
    assert "<li>no object in this bin</li>" in shown
    labels = re.findall(r'aria-label="AP: difference of each method to mask-rcnn on (\S+),', text)
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
    assert (cell.count, cell.below) == ("41", ("+1.00 to +1.00", "p < 0.0001, corrected 0.03"))


def test_a_difference_has_its_sign():
    assert [signed(text) for text in ("1.50", "-1.50", "0.00", "-0.00")] == [
        "+1.50",
        "\N{MINUS SIGN}1.50",
        "0.00",
        "0.00",
    ]


def test_with_one_seed_the_page_says_what_the_interval_leaves_out(copied, page):
    assert "not that of training" not in " ".join(page.text.split())
    params = run_parameters(seeds=[0])
    compare.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    text = " ".join(Page((copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")).text.split())
    assert "With one seed, they cover the chance of the images, not that of training." in text


def test_leak_has_a_column_among_the_numbers_and_among_the_differences(made_run, text):
    assert main_table(text)["val"]["mask-rcnn"]["leak (lower is better)"].startswith("7.00 ± 0.00n 15")
    heads, *rows = rows_of(section(text, "differences").split("</table>")[0])
    with (made_run / "reports/demo/tables/differences.csv").open(newline="", encoding="utf-8") as file:
        expected = [row for row in csv.DictReader(file) if row["metric"] == "leak"]
    shown = [row for row in rows if len(row) > 1]
    assert len(shown) == len(expected) == 6
    for cells_of, row in zip(shown, expected, strict=True):
        assert cells_of[0].startswith(row["label"])
        assert f"n {row['objects']}" in cells_of[heads.index("leak (lower is better)")]
