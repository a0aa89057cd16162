"""The report page in a real browser: colours, print, phone, accessibility, without its script, and hostile names."""

import browser_factory
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_factory import HOSTILE, new_context, opened, shown, table, unfold
from playwright.sync_api import Page

address, browser = browser_factory.address, browser_factory.browser  # fixtures
context, page = browser_factory.context, browser_factory.page


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
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_the_page_is_whole_without_its_script(browser, address):
    context = new_context(browser, java_script_enabled=False)
    page, _ = opened(context, address)
    assert len(shown(table(page, "comparison of all methods"), 0)) == 8 + 2
    assert page.locator(".tools, .theme").count() == 0
    assert page.locator("[data-more]").first.is_visible()  # all columns
    page.locator("#contrasts summary").click()
    assert page.locator(".object:visible").count() == 12
    context.close()


def test_hostile_names_are_text(page):
    """They are shown letter by letter, the scripts are the page's, and none of what they would have done is done."""
    assert page.locator("script").count() == 4
    assert page.locator("img:not([src^='data:'])").count() == 0
    assert page.locator("th").get_by_text(f"BCNet $x$ {HOSTILE}", exact=True).first.is_visible()
    unfold(page)
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
