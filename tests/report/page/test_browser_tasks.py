"""What people come to the page for, done in a real browser, in few steps."""

import re
import time
from collections.abc import Iterator

import browser_factory
import pytest
from browser_factory import shown, table
from playwright.sync_api import Page, expect

address, browser = browser_factory.address, browser_factory.browser  # fixtures
context, page = browser_factory.context, browser_factory.page

SCREEN = 800
SCREENS = 6  # high at most, before anything is opened


@pytest.fixture(autouse=True)
def seconds(request, page) -> Iterator[None]:
    """Prints how long a task took from the opened page on: a figure, no limit."""
    start = time.perf_counter()
    yield
    print(f"{request.node.name.removeprefix('test_').replace('_', ' ')}: {time.perf_counter() - start:.2f} s")


def in_first_screen(page: Page, selector: str) -> bool:
    box = page.locator(selector).first.bounding_box()
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= SCREEN


def test_who_is_best_is_read_on_the_first_screen_without_a_click(page):
    page.set_viewport_size({"width": 1280, "height": SCREEN})
    assert in_first_screen(page, ".lead")
    assert in_first_screen(page, "#summary .answers")
    assert in_first_screen(page, "#summary figure svg")
    sentences = page.locator(".answers li").all_inner_texts()
    assert len(sentences) == 4
    values = [float(re.search(r"(\d+\.\d\d)\s%", text)[1]) for text in sentences]
    assert values == sorted(values, reverse=True)


def test_how_sure_a_difference_is_stands_in_the_sentence(page):
    zoo = page.locator(".answers li", has_text="The zoo's").inner_text()
    assert re.search(
        r"(better than|worse than|no clear difference to) mask-rcnn \([+\u2212]?\d+\.\d\d, .* to .*\)", zoo
    )


def test_three_objects_on_which_two_methods_part_are_seen_after_one_click(page):
    page.get_by_role("link", name="Missed objects").first.click()
    cards = page.locator(".thumbs li")
    assert cards.count() >= 3
    for card in cards.all()[:3]:
        assert card.locator(".outcome").count() == 2


def test_the_table_is_copied_into_latex_in_two_clicks(context, page):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="All numbers").click()
    comparison = table(page, "comparison of all methods")
    comparison.get_by_role("button", name="Copy as LaTeX").click()
    comparison.get_by_text("Copied as LaTeX").wait_for()
    latex = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert latex[1] == r"\toprule"
    assert len(latex) == 6 + len([name for name in shown(comparison, 0) if name not in ("val", "occluded")])


def test_a_method_that_is_pressed_stands_out_in_every_chart(page):
    button = page.get_by_role("button", name="The zoo's", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    apart = page.locator(".lines .apart").evaluate_all("parts => parts.map(part => part.dataset.method)")
    assert apart
    assert set(apart) == {"2"}


def test_a_link_into_a_folded_section_opens_it(page):
    provenance = page.locator("#provenance > details")
    assert provenance.get_attribute("open") is None
    page.get_by_role("link", name="All settings").click()
    expect(provenance).to_have_attribute("open", "")  # a script opens it, soon after the click
    assert page.locator("#provenance dl").first.is_visible()


def test_the_page_is_few_screens_high(page):
    page.set_viewport_size({"width": 1280, "height": SCREEN})
    assert page.evaluate("document.documentElement.scrollHeight") <= SCREENS * SCREEN
