"""What a browser makes of the report's page, for tests that read it."""

import html
import html.parser
import re


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: elements, attributes, text, scripts, list items, table rows, also by heading."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.items: list[str] = []  # of numbered lists
        self.rows: list[list[str]] = []
        self.groups: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self._heading = ("scope", "rowgroup") in attrs
        elif tag == "li" and "ol" in self._open:
            self.items.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop() != tag:
            pass
        if tag == "th" and self._heading:
            self.groups[self.rows[-1][0]] = []
        elif tag == "tr" and self.groups and not self._heading:
            list(self.groups.values())[-1].append(self.rows[-1])

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
            return
        self.text += data
        if {"th", "td"} & set(self._open):
            self.rows[-1][-1] += "|" * (self._heading and "span" in self._open) + data
        elif {"ol", "li"} <= set(self._open):
            self.items[-1] += data


def section(text: str, name: str) -> str:
    return text[text.index(f'<section id="{name}">') :].partition("</section>")[0]


def cells(text: str, section: str) -> list[str]:
    """The text of every cell of a section's tables."""
    text = text[text.index(f'<section id="{section}">') :]
    found = re.findall(r"<t[dh]\b.*?</t[dh]>", text[: text.index("</section>")], re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in found]


def rows_of(text: str) -> list[list[str]]:
    """The cells of every table row, as they are read."""
    rows = [re.findall(r"<t[dh]\b.*?</t[dh]>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL)]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in rows]


def main_table(text: str) -> dict[str, dict[str, dict[str, str]]]:
    """The main table: split, method, column; rows stay in their order."""
    heads, *rows = rows_of(section(text, "comparison"))
    table: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        if len(row) == 1:
            of_split = table[row[0]] = {}
        else:
            of_split[row[0]] = dict(zip(heads, row, strict=True))
    return table
