"""The report page in a real browser: tables are sorted, filtered and copied, objects are chosen."""

import csv
import io
import re

import browser_factory
from browser_factory import HOSTILE, differences, objects, shown, table
from playwright.sync_api import Locator, Page

address, browser = browser_factory.address, browser_factory.browser  # fixtures
context, page = browser_factory.context, browser_factory.page


def test_a_table_is_sorted_by_keyboard_and_its_groups_stay_apart(page):
    comparison = table(page, "comparison of all methods")
    given = shown(comparison, 1)
    button = comparison.get_by_role("button", name="AP", exact=True)
    head = comparison.get_by_role("columnheader", name="AP", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = shown(comparison, 1)
    assert falling[:3] == ["valmeasured here", "42.60 ± 0.14", "41.60 ± 0.14"]
    assert sorted(falling) == sorted(given)
    assert [text for text in falling if "measured" in text] == [text for text in given if "measured" in text]
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown(comparison, 1) == given
    comparison.get_by_role("button", name="Method", exact=True).click()
    assert head.get_attribute("aria-sort") is None
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert comparison.locator("[aria-sort]").count() == 0
    assert shown(comparison, 1) == given


def test_numbers_are_sorted_as_numbers_with_their_sign_and_empty_cells_last(page):
    """-9.50 and 12.00 are neither in the order of their characters nor in that of their digits."""
    page.evaluate(
        """() => {
            const rows = [...document.querySelectorAll("#occlusion .tables tbody")[0].rows];
            const texts = ["9.50", "12.00", "\\u22129.50", "—"];
            texts.forEach((text, row) => { rows[row + 1].cells[1].textContent = text; });
        }"""
    )
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
    assert shown(comparison, 0) == ["occludedmeasured here", "mask-rcnn"]
    assert comparison.get_by_role("status").inner_text() == "1 of 8 rows"
    box.fill("")
    assert len(shown(comparison, 0)) == 8 + 6
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
    assert rows[0][:6] == ["Group", "Method", "AP", "AP50", "APs", "box AP"]
    label = f"BCNet $x$ {HOSTILE}"
    assert [row[:5] for row in rows[1:3]] == [
        ["occluded, measured here", label, "42.60 ± 0.14", "62.60 ± 0.14", ""],
        ["occluded, measured here", "mask-rcnn", "41.60 ± 0.14", "61.60 ± 0.14", ""],
    ]
    assert len(rows) == 5
    latex = copied(page, comparison, "LaTeX").splitlines()
    assert latex[:2] == [r"\begin{tabular}{llrrrrllrrrr}", r"\toprule"]
    assert latex[-2:] == [r"\bottomrule", r"\end{tabular}"]
    name = r""""'$>$$<$img src=x onerror=alert(1)$>$\{\{ 7*7 \}\}$|$\&amp;"""
    name += r"\textbackslash{}\textasciicircum{}\textasciitilde{}$<$script$>$alert(2)"
    assert latex[4].startswith(rf"occluded, measured here & BCNet \$x\$ {name}")
    numbers = r"42.60 $\pm$ 0.14 & 62.60 $\pm$ 0.14 & --- & 45.00 $\pm$ 0.00"
    numbers += r" & Faster R-CNN & efficientnet\_lite0 & 2 & 600 & 10 & 30"
    assert latex[4].endswith(rf"& {numbers} \\")
    markdown = copied(page, comparison, "Markdown").splitlines()
    assert markdown[1] == "| --- | --- | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |"
    assert r"\<img src=x onerror=alert(1)\>{{ 7\*7 }}\|&amp;\\^\~\<script\>alert(2)" in markdown[2]
    differences = copied(page, table(page, "differences to mask-rcnn"), "Markdown").splitlines()
    assert "| **+10.00** ± 0.00" in differences[2]
    assert table(page, "recall and AP by box_cover on val").get_by_role("button", name="Copy as CSV").count() == 1
    heads = next(csv.reader(io.StringIO(copied(page, table(page, "recall and AP by box_cover on val"), "CSV"))))
    assert heads == ["Group", "Method", "AR", "AR50", "AR75", "AP", "APn"]


def test_a_name_that_is_a_formula_is_none_in_a_spreadsheet(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    comparison = table(page, "comparison of all methods")
    for formula in ("=1+1", "+1+1", "-1+1", "@x"):
        page.evaluate("name => { document.querySelector('#comparison th[scope=row]').textContent = name; }", formula)
        assert next(row for row in csv.reader(io.StringIO(copied(page, comparison, "CSV"))) if "val," in row[0])[1] == (
            "'" + formula
        )


def test_without_a_clipboard_the_text_is_there_to_be_copied(page):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    table(page, "recall and AP by box_cover on val").get_by_role("button", name="Copy as CSV").click()
    dialog = page.get_by_role("dialog")
    area = dialog.get_by_role("textbox", name="The table as CSV")
    assert area.input_value().startswith("Group,Method,")
    assert page.evaluate("getSelection().toString()") == area.input_value().replace("\r\n", "\n")
    page.keyboard.press("Escape")
    assert dialog.count() == 0


def test_objects_are_those_on_which_the_two_chosen_methods_differ_most(page):
    assert len(objects(page)) == 12
    assert all("mask-rcnn:" in text and "BCNet" in text for text in objects(page))
    page.get_by_label("differs from").select_option("The zoo's")
    assert all("mask-rcnn:" in text and "The zoo's:" in text and "BCNet" not in text for text in objects(page))
    assert differences(page) == sorted(differences(page), reverse=True)
    panels = [card.locator("[data-method]").all() for card in page.locator(".object").all()]
    ious = [[float(panel.get_attribute("data-iou")) for panel in each] for each in panels]
    assert differences(page)[0] == max(abs(each[0] - each[2]) for each in ious)
    page.get_by_label("differs from").select_option("mask-rcnn")
    assert objects(page) == []
    assert page.locator("#objects").get_by_role("status").inner_text() == "0 of 0 shown"


def test_objects_are_filtered_by_category_cover_and_failure(page):
    page.get_by_label("differs from").select_option("_Theirs")
    page.get_by_label("Category").select_option("ring")
    assert objects(page)
    assert all(text.startswith("ring") for text in objects(page))
    page.get_by_label("Category").select_option(HOSTILE)
    assert objects(page)
    assert all(text.startswith(HOSTILE) for text in objects(page))
    page.get_by_role("combobox", name="box_cover").select_option("0 to 0.1")
    covers = [float(re.search("box_cover ([0-9.]+)", text)[1]) for text in objects(page)]
    assert covers
    assert max(covers) < 0.1
    page.get_by_role("combobox", name="box_cover").select_option("any")
    page.get_by_label("Category").select_option("any")
    page.get_by_label("Objects on which").select_option(f"BCNet $x$ {HOSTILE}")
    fitting = page.locator("#objects").get_by_role("status")
    before = int(fitting.inner_text().split()[2])
    page.get_by_label("Outcome of either").select_option("badly localised")
    assert 0 < int(fitting.inner_text().split()[2]) < before
    assert all("badly localised" in text for text in objects(page))
