"""The report page in a real browser: sorting, filtering, copying, colours, print, phone, and hostile names."""

import csv
import io
import re
import shutil
from collections.abc import Iterator

import pytest
import report_factory
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright
from report_factory import write_run

from bcnet.report import rois
from bcnet.report.page import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: chromium)")

# In a category, a label and file names: out of an attribute, a text, a template, a script, Markdown, LaTeX.
HOSTILE = """"'><img src=x onerror=alert(1)>{{ 7*7 }}|&amp;\\^~<script>alert(2)</script>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """The page of a run whose names are hostile."""
    root = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_factory, "SCRIPT", HOSTILE)
        patch.setattr(rois, "load_model", report_factory.load_model)
        patch.setattr(rois, "detect", report_factory.detect)
        report(write_run(root), root / "data", root / "reports")
        yield (root / "reports" / "demo" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def context(browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context
    context.close()


def opened(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    """The page, and what it does that it must not: errors, a word on the console, dialogs, requests for more."""
    page = context.new_page()
    complaints: list[str] = []
    for event, told in {"console": "text", "pageerror": "message", "dialog": "message"}.items():
        page.on(event, lambda what, told=told: complaints.append(getattr(what, told)))
    page.on("request", lambda request: request.url == address or complaints.append(request.url))
    page.goto(address)
    return page, complaints


@pytest.fixture
def page(context, address) -> Iterator[Page]:
    page, complaints = opened(context, address)
    yield page
    assert complaints == []


def table(page: Page, label: str) -> Locator:
    return page.locator(".table").filter(has=page.get_by_role("region", name=label, exact=True))


def shown(table: Locator, column: int) -> list[str]:
    """A column of the rows that are shown, from top to bottom; headings of groups are rows of one cell."""
    rows = table.locator("tbody tr:visible").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return [row[column] if column < len(row) else row[0] for row in cells]


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


def objects(page: Page) -> list[str]:
    """The objects shown, as their category and the numbers of the methods shown."""
    cards = page.locator(".object:visible").all()
    return [" ".join(card.locator("h3, figcaption:visible").all_inner_texts()) for card in cards]


def differences(page: Page) -> list[float]:
    """Of each object shown how much the two methods shown differ."""
    pairs = [
        [float(panel.get_attribute("data-iou")) for panel in card.locator("[data-method]:visible").all()]
        for card in page.locator(".object:visible").all()
    ]
    assert all(len(pair) == 2 for pair in pairs)
    return [abs(one - other) for one, other in pairs]


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
    page.get_by_label("One of the two").select_option("badly localised")
    assert 0 < int(fitting.inner_text().split()[2]) < before
    assert all("badly localised" in text for text in objects(page))


def paper(page: Page) -> int:
    """How light the page's ground is, 0 to 255."""
    return page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")


def test_colours_are_those_of_the_system_until_one_chooses(page):
    assert paper(page) > 240
    page.emulate_media(color_scheme="dark")
    assert paper(page) < 40
    page.get_by_label("Colours").select_option("light")
    assert paper(page) > 240
    page.emulate_media(color_scheme="light")
    page.get_by_label("Colours").select_option("dark")
    assert paper(page) < 40


def test_printed_it_is_light_without_tools_and_nothing_is_folded(page):
    folded = page.locator("details:not([open])").count()
    assert folded > 0
    page.get_by_label("Colours").select_option("dark")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert paper(page) == 255
    assert page.locator("nav:visible, .tools:visible, select:visible").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (768, "light"), (1440, "dark"), (1440, "light")])
def test_nobody_is_shut_out(page, width, scheme):
    """axe-core finds no violation of any kind, and the page itself never scrolls sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_the_page_is_whole_without_its_script(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page, _ = opened(context, address)
    assert len(shown(table(page, "comparison of all methods"), 0)) == 8 + 6
    assert page.locator(".tools, .theme").count() == 0
    assert len(objects(page)) == 12
    context.close()


def test_hostile_names_are_text(page):
    """They are shown letter by letter, the scripts are the page's, and none of what they would have done is done."""
    assert page.locator("script").count() == 2
    assert page.locator("img:not([src^='data:'])").count() == 0
    assert page.get_by_text(f"BCNet $x$ {HOSTILE}", exact=True).first.is_visible()
    assert page.locator("#pictures").get_by_text(f"{HOSTILE.partition('/')[0]}10.png").first.is_visible()
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap((element) => element.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]


def test_a_script_that_got_in_all_the_same_does_not_run(context, address):
    page, complaints = opened(context, address)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.setAttribute("onclick", "window.ran = true");
        document.body.click();
    }""")
    assert page.evaluate("window.ran") is None
    assert ["Content Security Policy" in line for line in complaints] == [True, True]
