"""The report page in a real browser, whatever the reader's fonts, the size of the text, and the length of names.

A machine has the fonts that it has: letters spaced out are as wide as those of any font, drawn together as narrow.
"""

from collections.abc import Iterator

import browser_factory
import pytest
import report_factory
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

browser = browser_factory.browser  # fixture

WORD = ("Donaudampfschifffahrtsgesellschaft" * 3)[:100]  # which breaks nowhere; labels have no more letters
WORDS = "a method of many words whose name is a sentence, and a long one, and more."
WIDTHS = (320, 375, 768, 1280)
FONTS = {
    "as it is": "* {}",
    "narrow": "* { font-family: sans-serif !important; letter-spacing: -.1em !important; }",
    "serif": "* { font-family: serif !important; letter-spacing: .15em !important; }",
    "wide": "* { font-family: monospace !important; letter-spacing: .15em !important; }",
    "wider than any": "* { font-family: monospace !important; letter-spacing: .5em !important; }",
    "large": "html { font-size: 130%; } * { font-family: sans-serif !important; letter-spacing: .15em !important; }",
    "very large": "html { font-size: 200%; } * { font-family: monospace !important; }",
}

# What is wrong with the layout, a line a fault; what is in a box that scrolls may be as wide as it likes.
FAULTS = """() => {
    const faults = [];
    const say = (fault, element) => faults.push(
        `${fault}: ${element.tagName} ${element.getAttribute("class") ?? ""} ${element.textContent.trim().slice(0, 40)}`
    );
    const page = document.documentElement;
    if (page.scrollWidth > innerWidth) faults.push(`the page is ${page.scrollWidth} pixels wide of ${innerWidth}`);
    const seen = [...document.querySelectorAll("body *")].filter((each) => each.getClientRects().length > 0);
    const boxes = new Map(seen.map((each) => [each, each.getBoundingClientRect()]));
    const scrolls = new Set(document.querySelectorAll(".scroll, .formula"));
    for (const [each, box] of boxes) {
        const parent = each.parentElement.closest(".scroll, .formula");
        if (parent) {
            const name = each.matches("th[scope=row]");
            if (name && box.width > 0.6 * parent.clientWidth) say("a name hides what it names", each);
            continue;
        }
        if (box.width > 0 && (box.right > innerWidth + 1 || box.left < -1)) say("out of the page", each);
        const drawing = each.closest("svg") && each.ownerSVGElement && each.closest("figure > svg");
        if (drawing && each.tagName === "text") {
            const frame = boxes.get(drawing);
            const wide = box.left < frame.left - 1 || box.right > frame.right + 1;
            if (wide || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) say("out of its drawing", each);
        }
        if (!drawing && !scrolls.has(each) && each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1) {
            say("out of its box", each);
        }
    }
    for (const drawing of seen.filter((each) => each.matches("figure > svg"))) {
        const texts = [...drawing.querySelectorAll("text")].map((each) => [each, boxes.get(each)]);
        texts.forEach(([one, a], place) => texts.slice(place + 1).forEach(([, b]) => {
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            // boxes of letters are higher than letters
            if (wide > 1 && high > 0.35 * Math.min(a.height, b.height)) say("over another text", one);
        }));
    }
    for (const parent of seen.filter((each) => /grid|flex/.test(getComputedStyle(each).display))) {
        const parts = [...parent.children].filter((each) => boxes.has(each)).map((each) => [each, boxes.get(each)]);
        parts.forEach(([one, a], place) => parts.slice(place + 1).forEach(([, b]) => {
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (wide > 1 && high > 1) say("over what is beside it", one);
        }));
    }
    return [...new Set(faults)];
}"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory) -> Iterator[Page]:
    """The page of a run whose methods, categories and pictures have long names, with nothing folded."""
    made = report_factory.run_parameters()
    variants = {name: each.model_dump(exclude_unset=True) for name, each in made.variants.items()}
    variants["mask-rcnn"]["label"] = WORD  # the baseline too
    variants["bcnet"]["label"] = WORDS
    params = report_factory.run_parameters(
        variants=variants,
        imported={"zoo": {"file": "https://a.b/model.pkl", "label": "W" * 60}},
        predictions={"theirs": {"file": "theirs.json", "label": "很长的名字" * 12}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_factory, "SCRIPT", WORD)
        patch.setattr(report_factory, "run_parameters", lambda: params)
        address = report_factory.write_page(tmp_path_factory.mktemp("fonts")).as_uri()
    context = browser_factory.new_context(browser)
    page = context.new_page()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    yield page
    context.close()


@pytest.mark.parametrize("font", FONTS)
def test_no_font_moves_anything_out_of_its_place(page, font):
    """The page does not scroll sideways, nothing is cut off or over anything else, and keys reach what scrolls."""
    style = page.add_style_tag(content=FONTS[font])
    try:
        for place, width in enumerate(WIDTHS):
            page.emulate_media(color_scheme="dark" if place % 2 else "light")
            page.set_viewport_size({"width": width, "height": 800})
            assert (width, page.evaluate(FAULTS)) == (width, [])
        page.set_viewport_size({"width": WIDTHS[0], "height": 800})
        found = Axe().run(page, options={"runOnly": ["scrollable-region-focusable"]})
        assert found.violations_count == 0, found.generate_report()
    finally:
        style.evaluate("style => style.remove()")
