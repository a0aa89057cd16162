"""The page's section about what its numbers mean."""

import textwrap
from dataclasses import dataclass

from markupsafe import Markup

from bcnet.evaluation.metrics.definitions import DEFINITIONS, IOU, RULES, Definition
from bcnet.report.page.context import Context
from bcnet.report.page.formula import mathml
from bcnet.report.page.sections.analysis.occlusion import has_amodal

NAME = 17  # letters in a line of a name


@dataclass(frozen=True)
class Entry:
    """A definition as markup: its name, of several numbers in lines, and its text around its formula."""

    label: str
    name: Markup
    text: Markup
    formula: Markup | None
    after: Markup


def definitions(context: Context) -> list[Entry]:
    """The meaning of the numbers that are on the page, what all go by first."""
    amodal = context.once(has_amodal)
    shown = [_entry(definition) for definition in DEFINITIONS if amodal or not definition.amodal]
    return [Entry("IoU", Markup(), Markup(RULES), mathml(IOU), Markup()), *shown]


def _entry(definition: Definition) -> Entry:
    formula = mathml(definition.formula) if definition.formula else None
    return Entry(definition.name, _name(definition.name), Markup(definition.text), formula, Markup(definition.after))


def _name(name: str) -> Markup:
    """A long list of names in lines."""
    return Markup("<br>").join(textwrap.wrap(name, NAME))
