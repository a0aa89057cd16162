"""CSV files that no spreadsheet takes for formulas, and that are read back as they were given."""

import csv
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_factory import run_parameters

from bcnet.report.page.page import report
from bcnet.report.tables.compare import compare
from bcnet.report.tables.csv_file import read_csv, write_csv

BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for a formula
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = texts | st.tuples(st.text("'=+-@\t\r", max_size=3), texts).map("".join)


@given(st.lists(names, min_size=1))
@example(["=1+1", "'=1+1", "''@x", "'plain", "-", "\r", '\t"a",b\n'])
def test_no_cell_is_a_formula_and_each_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, written: list
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(path, [{"name": name, "number": -1.5} for name in written], ["name", "number"], {"number": ".2f"})
    with path.open(newline="", encoding="utf-8") as file:
        cells = [row["name"] for row in csv.DictReader(file)]
    assert not [cell for cell in cells if cell.startswith(BEGINNINGS)]
    columns, rows = read_csv(path)
    assert columns == ["name", "number"]
    assert rows == [{"name": name, "number": "-1.50"} for name in written]


def test_numbers_and_plain_text_stay(tmp_path: Path) -> None:
    rows = [{"a": "Mask R-CNN", "b": -0.5, "c": -3, "d": None, "e": "'quoted"}]
    write_csv(tmp_path / "t.csv", rows, list("abcde"), {"b": ".2f"})
    assert (tmp_path / "t.csv").read_text() == "a,b,c,d,e\nMask R-CNN,-0.50,-3,,'quoted\n"


def test_a_label_like_a_formula_is_found_again(copied: Path) -> None:
    """From tables to page: each row is looked up by its label."""
    label = '=HYPERLINK("https://a.b";"click")'
    params = run_parameters()
    params = params.model_copy(
        update={"variants": {n: v.model_copy(update={"label": f"{label}{n}"}) for n, v in params.variants.items()}}
    )
    shutil.rmtree(copied / "reports/demo/tables")
    compare(params, copied / "reports")
    table = (copied / "reports/demo/tables/comparison.csv").read_text()
    assert "\"'=HYPERLINK(" in table
    assert '"=HYPERLINK(' not in table
    report(params, copied / "data", copied / "reports")
    page = (copied / "reports/demo/index.html").read_text()
    assert "&#39;=HYPERLINK" not in page
    assert "=HYPERLINK(&#34;" in page
