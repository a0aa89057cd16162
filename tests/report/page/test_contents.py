"""A section of the page is one entry in its list of contents."""

import pytest
from page_factory import section
from report_factory import run_parameters

from bcnet.drawing.figures import Dot, dots
from bcnet.report.figures.figure_files import Figure
from bcnet.report.page import contents, page
from bcnet.report.page.context import Context
from bcnet.report.page.section import Section


def lines(context: Context) -> list[str]:
    """What the template of missing files can show."""
    return [f"of {method.name}" for method in context.looks]


def charts(data: list[str], context: Context):
    look = next(iter(context.looks.values()))
    yield Figure("toy", "A toy", dots("toy", [Dot(look, 1, 2)], "x", "y"), tuple(context.looks), tuple(data))


def test_an_entry_puts_a_section_on_the_page_in_its_contents_and_its_charts_in_files(copied, monkeypatch):
    toy = Section("toy", "A toy & more", "runs/missing", lines, charts)
    absent = Section("absent", "Nothing to show", "runs/missing", lambda context: None)
    monkeypatch.setattr(page, "SECTIONS", (toy, absent, *contents.SECTIONS))
    page.report(run_parameters(), copied / "data", copied / "reports")
    text = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    assert '<li><a href="#toy">A toy &amp; more</a></li>' in text[: text.index("</nav>")]
    assert "of mask-rcnn" in section(text, "toy")
    assert "Nothing to show" not in text
    assert "of mask-rcnn" in (copied / "reports/demo/figures/toy.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", [contents.SUMMARY, contents.MISSING, *contents.SECTIONS], ids=lambda each: each.id)
def test_every_section_has_its_template(entry):
    assert page.TEMPLATES.joinpath("sections", f"{entry.template}.html.j2").is_file()


def test_no_template_is_left_over():
    written = {
        f"{path.parent.name}/{path.name.partition('.')[0]}"
        for path in page.TEMPLATES.joinpath("sections").glob("*/*.html.j2")
    }
    assert written == {entry.template for entry in (contents.SUMMARY, contents.MISSING, *contents.SECTIONS)}
