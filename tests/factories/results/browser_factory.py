"""The report page in a real browser, for tests that use it."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import report_factory
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE = 300_000  # milliseconds: a machine may be slow, and nothing is waited for that does not come

# In a category, a label and file names: out of an attribute, a text, a template, a script, Markdown, LaTeX.
HOSTILE = """"'><img src=x onerror=alert(1)>{{ 7*7 }}|&amp;\\^~<script>alert(2)</script>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """The page of a run whose names are hostile, which no test changes."""
    return _address(tmp_path_factory.getbasetemp() / "hostile")


@cache
def _address(folder: Path) -> str:
    """Made once for all modules of a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_factory, "SCRIPT", HOSTILE)
        return report_factory.write_page(folder).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: `apt install chromium`, or put another one on the PATH as `chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def context(browser) -> Iterator[BrowserContext]:
    context = new_context(browser)
    yield context
    context.close()


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A window of its own, the same on every machine: its size, language, time and colours are not the system's."""
    same = {"locale": "en-US", "timezone_id": "UTC", "color_scheme": "light", "forced_colors": "none"}
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **{**same, **options})
    context.set_default_timeout(PATIENCE)
    return context


@pytest.fixture
def page(context, address) -> Iterator[Page]:
    page, complaints = opened(context, address)
    yield page
    assert complaints == []


def opened(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    """The page, and what it does that it must not: errors, a word on the console, dialogs, requests for more."""
    page = context.new_page()
    complaints: list[str] = []
    for event, told in {"console": "text", "pageerror": "message", "dialog": "message"}.items():
        page.on(event, lambda what, told=told: complaints.append(getattr(what, told)))
    page.on("request", lambda request: request.url == address or complaints.append(request.url))
    page.goto(address)
    return page, complaints


def table(page: Page, label: str) -> Locator:
    return page.locator(".table").filter(has=page.get_by_role("region", name=label, exact=True))


def shown(table: Locator, column: int) -> list[str]:
    """A column of the rows that are shown, from top to bottom; headings of groups are rows of one cell."""
    rows = table.locator("tbody tr:visible").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return [row[column] if column < len(row) else row[0] for row in cells]


def unfold(page: Page) -> None:
    """Open all that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
