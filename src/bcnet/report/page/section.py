"""What a section of the report's page is; the list of them is `bcnet.report.page.contents`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bcnet.report.figures.figure_files import Figure
from bcnet.report.page.context import Context


def no_charts(data: Any, context: Context) -> Iterable[Figure]:
    """The charts of a section that has none."""
    return ()


@dataclass(frozen=True)
class Section:
    """A section: its `id` on the page, its title, and where its content comes from.

    `template`: the file in `sections/` without its ending, such as `runs/size`; it sees `data`, `context` and
    `params`. `data`: what the template shows, None where the section is left out. `charts`: those of `data` that become
    files of their own.
    `teaser`: of a section that is folded, what it answers; without one it stands open.
    """

    id: str
    title: str
    template: str
    data: Callable[[Context], Any]
    charts: Callable[[Any, Context], Iterable[Figure]] = no_charts
    teaser: str = ""

    @property
    def path(self) -> str:
        """The template, as Jinja finds it."""
        return f"page/sections/{self.template}.html.j2"
