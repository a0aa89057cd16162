"""The report page in a real browser: tables are sorted, filtered and copied, objects are chosen."""

import csv
import io

import browser_factory
from browser_factory import HOSTILE, shown, table, unfold
from playwright.sync_api import Locator, Page

address, browser = browser_factory.address, browser_factory.browser  # fixtures
context, page = browser_factory.context, browser_factory.page


def test_a_table_is_sorted_by_keyboard_and_its_groups_stay_apart(page):
    comparison = table(page, "comparison of all methods")
    given = shown(comparison, 2)
    button = comparison.get_by_role("button", name="AP", exact=True)
    head = comparison.get_by_role("columnheader", name="AP", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = shown(comparison, 2)
    assert [text.partition("\n")[0] for text in falling[:3]] == ["val", "44.50", "43.50"]
    assert sorted(falling) == sorted(given)
    assert [text for text in falling if "." not in text] == ["val", "occluded"]
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown(comparison, 2) == given
    comparison.get_by_role("button", name="Method", exact=True).click()
    assert head.get_attribute("aria-sort") is None
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert comparison.locator("[aria-sort]").count() == 0
    assert shown(comparison, 2) == given


def test_numbers_are_sorted_as_numbers_with_their_sign_and_empty_cells_last(page):
    """-9.50 and 12.00 are neither in the order of their characters nor in that of their digits."""
    page.evaluate(
        """() => {
            const rows = [...document.querySelectorAll("#occlusion .tables tbody")[0].rows];
            const texts = ["9.50", "12.00", "\\u22129.50", "—"];
            texts.forEach((text, row) => { rows[row + 1].cells[1].textContent = text; });
        }"""
    )
    unfold(page)
    recall = table(page, "recall and AP by box_cover on val")
    button = recall.get_by_role("button", name="AR", exact=True).first
    button.click()
    assert shown(recall, 1)[1:5] == ["12.00", "9.50", "\u22129.50", "—"]
    button.click()
    assert shown(recall, 1)[1:5] == ["\u22129.50", "9.50", "12.00", "—"]


def test_rows_are_filtered_by_all_words_also_those_of_their_group(page):
    comparison = table(page, "comparison of all methods")
    box = comparison.get_by_role("searchbox", name="Filter the rows of: comparison of all methods")
    box.fill("OCCLUDED mask")
    assert shown(comparison, 0) == ["occluded", "mask-rcnn"]
    assert comparison.get_by_role("status").inner_text() == "1 of 8 rows"
    box.fill("")
    assert len(shown(comparison, 0)) == 8 + 2
    assert comparison.get_by_role("status").inner_text() == ""


def copied(page: Page, table: Locator, name: str) -> str:
    table.get_by_role("button", name=f"Copy as {name}").click()
    table.get_by_text(f"Copied as {name}").wait_for()
    return page.evaluate("navigator.clipboard.readText()")


def test_what_is_shown_is_copied_as_csv_latex_and_markdown(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    comparison = table(page, "comparison of all methods")
    comparison.get_by_role("searchbox").fill("occluded")
    comparison.get_by_role("button", name="AP", exact=True).click()
    rows = list(csv.reader(io.StringIO(copied(page, comparison, "CSV"))))
    heads = [
        "Group",
        "Method",
        "Origin",
        *(f"{name}{end}" for name in ("AP", "AP50") for end in ("", ", low", ", high")),
    ]
    assert rows[0][:9] == heads
    assert {"APs", "box AP", "box AP, low"} < set(rows[0])
    assert any(name.endswith(", n") for name in rows[0])
    label = f"BCNet $x$ {HOSTILE}"
    own = {row[1]: row for row in rows[1:]}
    for name, numbers in ((label, ["42.60 ± 0.14", "62.60 ± 0.14"]), ("mask-rcnn", ["41.60 ± 0.14", "61.60 ± 0.14"])):
        assert own[name][:3] == ["occluded", name, "measured here"]
        assert own[name][3:7:3] == numbers
        ends = [float(cell) for cell in own[name][4:6]]  # numbers, as a program reads them
        assert ends == sorted(ends)
        assert own[name][rows[0].index("APs")] == ""
    assert len(rows) == 5
    columns = 1 + comparison.locator("thead th:not([hidden])").count()
    latex = copied(page, comparison, "LaTeX").splitlines()
    assert latex[:2] == [rf"\begin{{tabular}}{{lll{'r' * (columns - 3)}}}", r"\toprule"]
    assert latex[-2:] == [r"\bottomrule", r"\end{tabular}"]
    name = r""""'$>$$<$img src=x onerror=alert(1)$>$\{\{ 7*7 \}\}$|$\&amp;"""
    name += r"\textbackslash{}\textasciicircum{}\textasciitilde{}$<$script$>$alert(2)"
    (line,) = (line for line in latex if line.startswith(rf"occluded & BCNet \$x\$ {name}"))
    low, high = own[label][4:6]
    assert rf"& measured here & 42.60 $\pm$ 0.14 {{\scriptsize [{low}, {high}]}} & 62.60 $\pm$ 0.14" in line
    assert line.endswith(r" \\")
    markdown = copied(page, comparison, "Markdown").splitlines()
    assert markdown[1] == f"| --- | --- | --- |{' ---: |' * (columns - 3)}"
    assert any(r"\<img src=x onerror=alert(1)\>{{ 7\*7 }}\|&amp;\\^\~\<script\>alert(2)" in line for line in markdown)
    unfold(page)
    differences = copied(page, table(page, "differences to mask-rcnn"), "Markdown").splitlines()
    assert "| +10.00 ± 0.00" in differences[2]
    assert table(page, "recall and AP by box_cover on val").get_by_role("button", name="Copy as CSV").count() == 1
    heads = next(csv.reader(io.StringIO(copied(page, table(page, "recall and AP by box_cover on val"), "CSV"))))
    assert heads == ["Group", "Method", "AR", "AR, low", "AR, high", "AR50", "AR75", "AP", "APn"]


def test_the_reader_picks_the_columns_and_what_is_copied(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    comparison = table(page, "comparison of all methods")
    head = comparison.get_by_role("columnheader", name="found separated")
    assert head.count() == 0
    comparison.get_by_text("Columns", exact=True).click()
    comparison.get_by_role("checkbox", name="found, separated").or_(
        comparison.get_by_role("checkbox", name="found separated")
    ).check()
    assert head.is_visible()
    notes = page.locator("#comparison .notes li")
    before = notes.evaluate_all("all => all.filter((note) => note.checkVisibility()).map((note) => note.value)")
    comparison.get_by_role("checkbox", name="AP50", exact=True).uncheck()
    heads = next(csv.reader(io.StringIO(copied(page, comparison, "CSV"))))
    assert "AP50" not in heads
    assert any("separated" in name for name in heads)
    comparison.get_by_role("button", name="All columns").click()
    after = notes.evaluate_all("all => all.filter((note) => note.checkVisibility()).map((note) => note.value)")
    assert after == list(range(1, notes.count() + 1))  # numbered as in the cells
    assert set(before) < set(after)  # without those of columns that are not shown
    rows = list(csv.reader(io.StringIO(copied(page, comparison, "CSV"))))
    assert {"AP50", "detector", "images"} <= set(rows[0])
    assert rows[1][rows[0].index("detector")] == "Faster R-CNN"


def test_a_name_that_is_a_formula_is_none_in_a_spreadsheet(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    comparison = table(page, "comparison of all methods")
    for formula in ("=1+1", "+1+1", "-1+1", "@x"):
        page.evaluate("name => { document.querySelector('#comparison th[scope=row]').textContent = name; }", formula)
        assert next(row for row in csv.reader(io.StringIO(copied(page, comparison, "CSV"))) if row[0] == "val")[1] == (
            "'" + formula
        )


def test_without_a_clipboard_the_text_is_there_to_be_copied(page):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    unfold(page)
    table(page, "recall and AP by box_cover on val").get_by_role("button", name="Copy as CSV").click()
    dialog = page.get_by_role("dialog")
    area = dialog.get_by_role("textbox", name="The table as CSV")
    assert area.input_value().startswith("Group,Method,")
    assert page.evaluate("getSelection().toString()") == area.input_value().replace("\r\n", "\n")
    page.keyboard.press("Escape")
    assert dialog.count() == 0
