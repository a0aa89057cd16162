"""The page's section about what its numbers mean."""

from dataclasses import dataclass

from bcnet.report.page.context import Context
from bcnet.report.page.sections.occlusion import has_amodal


@dataclass(frozen=True)
class Definitions:
    """Whether the numbers of invisible parts and order are among those explained."""

    amodal: bool


def definitions(context: Context) -> Definitions:
    """The meaning of the numbers that are on the page."""
    return Definitions(context.once(has_amodal))
