"""The report page: everything of the run is on it, nothing is loaded from elsewhere, nothing can inject markup."""

import base64
import hashlib
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from page_factory import Page, section
from report_factory import HASH, SCRIPT, run_parameters

import bcnet.report
from bcnet.files import InputError
from bcnet.report.page.context import Context
from bcnet.report.page.page import report
from bcnet.report.page.sections.examples.pictures import shown_pictures
from bcnet.report.page.sections.results.differences import against_baselines
from bcnet.report.tables import compare

TABLES = ("comparison", "benchmark", "recall", "categories", "differences", "ablations", "published")
OF_FIRST = ("first model of each method", "first run of each method")  # groups of what depends on single files
SCRIPT_FILES = [
    Path(bcnet.report.__file__).with_name("page") / "scripts" / name for name in ("tables.js", "page.js", "objects.js")
]


def test_names_cannot_inject_markup(page):
    """The script is a category, part of a file name and of a label; it is text, and the page's own the only element."""
    data = re.compile(r"\{.*|[A-Za-z0-9+/]+=*", re.DOTALL)  # JSON, or compressed and in base64: neither runs
    assert [script for script in page.scripts if not data.fullmatch(script)] == [
        file.read_text(encoding="utf-8") for file in SCRIPT_FILES
    ]
    assert f"{SCRIPT} 0.90" in page.text
    assert f"BCNet $x$ {SCRIPT}" in page.text
    assert "<script>alert(1)<10.png" in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page, text):
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "srcset", "data")]
    assert links
    assert all(re.match(r"#|data:image/(jpeg|png|webp);base64,", link) for link in links)
    inside_css = re.findall(r"url\(([^)]*)\)|@import", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert all(link.startswith("#") for link in inside_css)
    hashes = [base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode() for file in SCRIPT_FILES]
    scripts = " ".join(f"'sha256-{script}'" for script in hashes)
    policy = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in page.attributes


def test_the_contents_link_to_every_section_below_in_order(text):
    contents = text[text.index("<nav") : text.index("</nav>")]
    folded = r"(?:<details>\n<summary>)?"
    sections = re.findall(rf'<section id="([^"]*)">\n{folded}<h2>([^<]*)</h2>', text[text.index("</nav>") :])
    assert re.findall(r'href="#([^"]*)">([^<]*)<', contents) == sections


def test_ids_are_unique_and_every_reference_has_one(page, text):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = {value[1:] for name, value in page.attributes if name.endswith("href") and value[0] == "#"}
    assert references | set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_same_inputs_give_the_same_bytes(copied, text):
    report(run_parameters(), copied / "data", copied / "reports")
    assert (copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8") == text


def test_a_page_with_images_is_not_written_over_by_one_without(copied, text):
    """As in a clone that has pulled results: the table of images is there, the images are in no remote."""
    data = copied / "data/demo"
    (data / "images_val.tsv").write_text("file\tbytes\tsha256\n")
    shutil.rmtree(data / "images")
    with pytest.raises(InputError, match=r"images/val: no such image folder: `bcnet fetch demo` makes it"):
        report(run_parameters(), copied / "data", copied / "reports")
    assert (copied / "reports/demo/index.html").read_text(encoding="utf-8") == text


def test_every_loss_has_a_chart(page):
    labels = [value for name, value in page.attributes if name == "aria-label"]
    charts = [label for label in labels if label.startswith("Line chart") and "iteration" in label]
    assert len(charts) == 4
    assert "Line chart: loss_occluder_mask against iteration, of BCNet $x$ " + SCRIPT + "." in charts


def test_pictures_have_a_panel_for_the_truth_and_each_method(text):
    page = Page(section(text, "pictures"))
    captions = re.findall(r"mask-rcnn: (.*)", page.text)
    best = {
        row[0]: row[1] for row in Page(section(text, "curves")).rows if len(row) > 1
    }  # method: its best score threshold
    assert captions == 8 * [f"2 of 3 objects found, from score {best['mask-rcnn']}"]
    assert page.tags.count("image") == 8
    assert page.text.count("ground truth: 3 objects") == 8
    assert page.text.index("<10.png") < page.text.index("<9.png") < page.text.index("<3.png")
    assert "<2.png" not in page.text


def test_the_most_covered_objects_found_are_shown_with_their_maps(text):
    """The objects of pictures 10 and 9."""
    page = Page(section(text, "maps"))
    images = [value for name, value in page.attributes if name == "alt"]
    rows = [alt.partition(" of ")[0] for alt in images[1:]]
    maps = ["occluder contour", "occluder mask", "true occluder", "target contour", "target mask", "true target"]
    assert rows == 6 * ["RoI", *maps, "final mask"]
    assert images[1] == f"RoI of {SCRIPT} 0.90"
    shown = re.findall(r"box_cover (.*), <script>alert\(1\)<(\d+)\.png", page.text)
    assert shown == 3 * [("0.50", "10")] + 3 * [("0.45", "9")]


def test_without_a_bilayer_bcnet_there_are_no_maps(copied):
    variants = {k: v.model_dump(exclude_unset=True) for k, v in run_parameters().variants.items()}
    variants["bcnet"]["structure"] = "single"
    (copied / "data/demo/models/bcnet/0/model.safetensors").unlink()
    report(run_parameters(variants=variants), copied / "data", copied / "reports")
    assert "What BCNet predicts of the occluder" not in (copied / "reports/demo/index.html").read_text(encoding="utf-8")


def test_provenance_is_complete_and_hashes_are_whole_in_the_tooltip(page):
    assert page.text.count("0123456789ab…") == 4
    assert [each for each in page.attributes if each[1] == HASH] == [("title", HASH)] * 4
    assert "versions.torch" in page.text
    assert "1 (val, seed 1; occluded, seed 1)" in page.text


def test_synthetic_data_is_labelled_so_and_coco_is_not(copied, page):
    assert "Synthetic images" in page.text
    params = run_parameters(datasets={"demo": {"source": "coco"}})
    report(params, copied / "data", copied / "reports")
    other = Page((copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8"))
    assert "Synthetic images" not in other.text
    assert "COCO 2017, http://images.cocodataset.org" in other.text


def test_the_page_says_what_was_trained_on_and_what_each_split_is(copied):
    params = run_parameters(synthetic={"pasted": {"pictures": 70}}, train_on="pasted")
    report(params, copied / "data", copied / "reports")
    text = Page((copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")).text
    assert "trained on pasted: 70 images with pasted objects, plus the real images" in text
    assert "val: all images" in text
    assert "occluded: images with two boxes of IoU 0.2 or more" in text


@pytest.mark.parametrize("name", [f"{table}.csv" for table in TABLES])
def test_without_a_table_there_is_no_page(copied, name):
    path = copied / "reports" / "demo" / "tables" / name
    path.unlink()
    (copied / "reports" / "demo" / "index.html").unlink()
    with pytest.raises(InputError) as error:
        report(run_parameters(), copied / "data", copied / "reports")
    assert str(error.value) == f"{path}: missing, `bcnet compare` makes it"
    assert not (copied / "reports" / "demo" / "index.html").exists()


@pytest.mark.parametrize(
    ("path", "command", "gone"),
    [
        ("reports/demo/metrics/theirs/brought/val.json", "bcnet evaluate --annotations", ""),
        ("data/demo/models/bcnet/1/training.jsonl", "bcnet train bcnet --seed 1", ""),
        (
            "data/demo/models/bcnet/0/model.safetensors",
            "bcnet train bcnet --seed 0",
            "What BCNet predicts of the occluder",
        ),
        ("data/demo/predictions/bcnet/0/val.json", "bcnet predict bcnet --seed 0 --split val", f"$x$ {SCRIPT}: "),
        ("data/demo/predictions/zoo/imported/val.speed.json", "bcnet predict zoo --split val", "500.0"),
        ("data/demo/predictions/zoo/imported/val.json", "bcnet predict zoo --split val", "The zoo's: "),
        ("data/demo/predictions/theirs/brought/val.json", "bcnet fetch demo --predictions theirs", "_Theirs: "),
        ("data/demo/splits/val.json", "bcnet split --annotations", "ground truth: 3 objects"),
        ("data/demo/images/val/<script>alert(1)<10.png", "bcnet fetch demo", "<10.png mean max_box_iou"),
    ],
)
def test_what_is_missing_is_listed_with_the_command_that_makes_it(copied, page, path, command, gone):
    """The rest of the page is there; `gone` was on it before."""
    (copied / path).unlink()
    missing = report(run_parameters(), copied / "data", copied / "reports")
    assert [line.partition("`")[0] for line in missing] == [f"{copied / path}: missing, "]
    html = (copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")
    assert "<details open>\n<summary>1 file</summary>" in html
    partial = Page(html)
    text = partial.text
    assert text.index("Missing files") < text.index(missing[0]) < text.index("In percent. AP compares masks")
    assert command in missing[0]
    assert "Missing files" not in page.text
    assert {title: rows for title, rows in partial.groups.items() if title not in OF_FIRST} == {
        title: rows for title, rows in page.groups.items() if title not in OF_FIRST
    }
    if gone:
        assert gone in page.text
        assert gone not in text.replace(missing[0], "")


def test_a_run_of_which_only_one_method_was_evaluated_has_its_page(copied):
    """The other methods have their rows, without numbers and with the commands that make them."""
    for path in (copied / "reports" / "demo" / "metrics").glob("*/*/*.json"):
        if "mask-rcnn" not in str(path):
            path.unlink()
    shutil.rmtree(copied / "data")
    compare.compare(run_parameters(), copied / "reports")
    missing = report(run_parameters(), copied / "data", copied / "reports")
    html = (copied / "reports" / "demo" / "index.html").read_text(encoding="utf-8")
    page = Page(html)
    assert f"<details>\n<summary>{len(missing)} files</summary>" in html  # too many to stand before the tables
    assert len(missing) == 2 * 4 + 4 + 1 + 3 + 3  # metrics, training logs, splits/val.json, models, speeds
    row = next(row for row in page.rows if row[:2] == [f"BCNet $x$ {SCRIPT}", "measured here"])
    assert all(cell.startswith("—") for cell in row[2:6])
    path = copied / "reports" / "demo" / "metrics" / "theirs" / "brought" / "val.json"
    assert any(item.startswith(f"{path}: missing, `bcnet evaluate ") for item in page.items)
    assert "n = 20" in page.text  # objects in a bin, of the method that was measured
    assert "There is no training log." in page.text
    assert "There are no images to show." in page.text


@pytest.mark.parametrize("line", ['{"iteration": 20, "lo', '{"iteration": 20, "loss": "low"}', "[20, 1.5]"])
def test_a_broken_training_line_is_named(copied, line):
    path = copied / "data" / "demo" / "models" / "bcnet" / "0" / "training.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{path}:31: ")):
        report(run_parameters(), copied / "data", copied / "reports")


def test_tables_of_another_run_are_refused(copied):
    params = run_parameters()
    variants = {**{k: v.model_dump(exclude_unset=True) for k, v in params.variants.items()}}
    variants["mask-rcnn"]["label"] = "renamed"
    with pytest.raises(InputError, match=r"comparison\.csv: no row of 'renamed', split 'val': run `bcnet compare`"):
        report(run_parameters(variants=variants), copied / "data", copied / "reports")
    context = Context(run_parameters(variants=variants), copied / "data/demo", copied / "reports/demo")
    with pytest.raises(
        InputError, match=r"differences\.csv: rows of 'mask-rcnn', no method of this run: run `bcnet compare`"
    ):
        against_baselines(context)
    file = copied / "reports" / "demo" / "tables" / "differences.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("mask-rcnn", "renamed"), encoding="utf-8")
    more = run_parameters(variants={**variants, "another": variants["mask-rcnn"] | {"label": "another"}})
    with pytest.raises(InputError, match=r"differences\.csv: no row of 'another': run `bcnet compare`"):
        against_baselines(Context(more, copied / "data/demo", copied / "reports/demo"))


def test_pictures_show_what_was_evaluated(copied):
    """A method without a table of objects has no panel; one whose table is of other objects is refused."""
    table = copied / "reports/demo/metrics/zoo/imported/val.parquet"
    other = pd.read_parquet(table)
    table.unlink()
    (line,) = report(run_parameters(), copied / "data", copied / "reports")
    assert line.startswith(f"{table}: missing, `bcnet evaluate --annotations ")
    assert "The zoo's: " not in section((copied / "reports/demo/index.html").read_text(encoding="utf-8"), "pictures")
    other["annotation_id"] += 1
    other.to_parquet(table)
    context = Context(run_parameters(), copied / "data/demo", copied / "reports/demo")
    with pytest.raises(
        InputError, match=re.escape(f"{table}: other objects than in {copied}/data/demo/splits/val.json")
    ):
        shown_pictures(context)
