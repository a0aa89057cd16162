r"""Formulas of the page: MathML from a short notation.

Identifiers, numbers and single signs stand as they are, `"…"` is a text (~: a space that is kept), `\frac{a}{b}`,
`\sub{a}{b}` and `\under{a}{b}` are a fraction, an index beside and one below, and signs that look like others have
their names in LaTeX.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

ELEMENT = {"frac": "mfrac", "sub": "msub", "under": "munder"}
SIGN = {
    "cup": "\N{UNION}",
    "bigcup": "\N{N-ARY UNION}",
    "setminus": "\N{SET MINUS}",
    "-": "\N{MINUS SIGN}",
}
TOKEN = re.compile(r'\s*(?:\\(?P<command>\w+)|"(?P<mtext>[^"]*)"|(?P<mi>[A-Za-z]\w*)|(?P<mn>\d+)|(?P<mo>\S))')


def mathml(formula: str) -> Markup:
    """The MathML element of a formula.

    Raises:
        ValueError: a command is not known, or has not its two parts.
    """
    tokens = TOKEN.finditer(formula)
    return Markup(f'<math display="block">{"".join(_elements(tokens))}</math>')


def _elements(tokens: Iterator[re.Match[str]], end: str = "") -> Iterator[str]:
    """The elements up to a closing brace, or of all that is left."""
    for token in tokens:
        kind, text = str(token.lastgroup), str(token[str(token.lastgroup)])
        if kind == "mo" and text == end:
            return
        if kind == "command":
            yield _command(text, tokens)
        elif kind == "mtext":
            yield f"<mtext>{escape(text).replace('~', Markup('&#160;'))}</mtext>"
        else:
            yield f"<{kind}>{escape(SIGN.get(text, text))}</{kind}>"


def _command(name: str, tokens: Iterator[re.Match[str]]) -> str:
    """A sign by its name, or an element of two parts."""
    if name in SIGN:
        return f"<mo>{SIGN[name]}</mo>"
    if name not in ELEMENT:
        raise ValueError(f"\\{name}: expected one of {', '.join((*SIGN, *ELEMENT))}")
    return f"<{ELEMENT[name]}>{_part(tokens)}{_part(tokens)}</{ELEMENT[name]}>"


def _part(tokens: Iterator[re.Match[str]]) -> str:
    """One part of a command, in braces, as one element."""
    brace = next(tokens, None)
    if brace is None or brace["mo"] != "{":
        raise ValueError("expected a part in braces")
    elements = list(_elements(tokens, "}"))
    return elements[0] if len(elements) == 1 else f"<mrow>{''.join(elements)}</mrow>"
