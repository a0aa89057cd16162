"""Formulas as MathML."""

from xml.etree import ElementTree

import pytest

from bcnet.evaluation.metrics.definitions import DEFINITIONS, IOU
from bcnet.report.page.formula import mathml


def test_a_formula_is_written_out():
    fraction = "<mfrac><mrow><mi>R</mi><mi>n</mi></mrow><mn>10</mn></mfrac>"
    text = "<mtext>&#160;found &amp; lost</mtext>"
    expected = f"<msub><mi>box_cover</mi><mi>i</mi></msub><mo>\N{MINUS SIGN}</mo>{fraction}{text}<mo>\N{SET MINUS}</mo>"
    written = mathml(r'\sub{box_cover}{i} - \frac{R n}{10} "~found & lost" \setminus')
    assert written == f'<math display="block">{expected}</math>'


@pytest.mark.parametrize("formula", [r"\frac{a}", r"\frac a", r"\root{a}{b}"])
def test_a_mistake_is_an_error(formula):
    with pytest.raises(ValueError, match="expected"):
        mathml(formula)


@pytest.mark.parametrize("formula", [IOU, *(each.formula for each in DEFINITIONS if each.formula)])
def test_every_formula_is_well_formed(formula):
    root = ElementTree.fromstring(mathml(formula).replace("&#160;", "\N{NO-BREAK SPACE}"))
    assert {element.tag for element in root.iter()} <= {
        *("math", "mi", "mn", "mo", "mtext", "mrow", "mfrac", "msub", "munder")
    }
    assert not {element.text for element in root.iter()} & {"{", "}", "\\"}
