"""The report page: everything of the run is on it, nothing is loaded from elsewhere, nothing can inject markup."""

import base64
import csv
import hashlib
import html
import json
import re
import shutil
from pathlib import Path

import pytest
import report_factory
from evaluation_factory import write_tables
from report_factory import HASH, SCRIPT, Page, run_parameters, write_run

import bcnet.report
from bcnet.files import InputError
from bcnet.params.results import BINNED
from bcnet.report import figures, rois, tables
from bcnet.report.differences_section import beyond_chance, signed
from bcnet.report.methods import Method, methods
from bcnet.report.occlusion_tables import BENCHMARK, IN_BINS
from bcnet.report.page import report

TABLES = ("comparison", "benchmark", "recall", "categories", "differences", "ablations", "published")
FIRST = "first model of each method"  # the group of speeds and sizes
SCRIPT_FILES = [Path(bcnet.report.__file__).with_name(name) for name in ("page.js", "objects.js")]


@pytest.fixture(scope="module", autouse=True)
def model():
    """BCNet finds the discs, without a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rois, "load_model", report_factory.load_model)
        patch.setattr(rois, "detect", report_factory.detect)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("run")
    report(write_run(root), root / "data", root / "reports")
    return root


@pytest.fixture(scope="module")
def text(run) -> str:
    return (run / "reports" / "demo" / "index.html").read_text()


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_names_cannot_inject_markup(page):
    """The script is a category, part of a file name and of a label; it is text, and the page's own the only element."""
    assert page.scripts == [file.read_text() for file in SCRIPT_FILES]
    assert f"{SCRIPT} 0.90" in page.text
    assert f"BCNet $x$ {SCRIPT}" in page.text
    assert "<script>alert(1)<10.png" in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page, text):
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "srcset", "data")]
    assert links
    assert all(re.match(r"#|data:image/(jpeg|png);base64,", link) for link in links)
    inside_css = re.findall(r"url\(([^)]*)\)|@import", text)
    assert all(link.startswith("#") for link in inside_css)
    hashes = [base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode() for file in SCRIPT_FILES]
    scripts = " ".join(f"'sha256-{script}'" for script in hashes)
    policy = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in page.attributes


def test_the_contents_link_to_every_section_in_order(text):
    contents = text[text.index("<nav") : text.index("</nav>")]
    sections = re.findall(r'<section id="([^"]*)">\n<h2>([^<]*)</h2>', text)
    assert re.findall(r'href="#([^"]*)">([^<]*)<', contents) == sections


def test_ids_are_unique_and_every_reference_has_one(page, text):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = {value[1:] for name, value in page.attributes if name.endswith("href") and value[0] == "#"}
    assert references | set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_same_inputs_give_the_same_bytes(copied, text):
    report(run_parameters(), copied / "data", copied / "reports")
    assert (copied / "reports" / "demo" / "index.html").read_text() == text


def test_origins_are_told_apart_in_the_main_table(page):
    measured = ("measured here", "imported", "brought")
    groups = [f"{split}|{origin}" for split in ("val", "occluded") for origin in measured]
    assert list(page.groups)[:6] == groups
    assert [row[0] for row in page.groups["val|measured here"]] == ["mask-rcnn", f"BCNet $x$ {SCRIPT}"]
    row = page.groups["occluded|measured here"][1]
    assert row[:5] == [f"BCNet $x$ {SCRIPT}", "42.60 ± 0.14", "62.60 ± 0.14", "—1", "45.00 ± 0.00"]
    assert row[5:] == ["Faster R-CNN", "efficientnet_lite0", "2", "600", "10", "30"]
    assert page.groups["val|imported"][0][:3] == ["The zoo's", "43.50", "63.50"]
    assert page.groups["val|brought"][0][1:3] == ["44.50", "64.50"]


def test_an_empty_cell_says_why(page):
    """Detector and backbone of brought predictions, APs without small objects."""
    assert page.groups["val|imported"][0][5:9] == ["FCOS", "resnet50", "—2", "—2"]
    assert page.groups["val|brought"][0][5:9] == ["—3", "—3", "—4", "—4"]
    reasons = ["no object of this size in the split", "trained elsewhere", "not stated"]
    reasons.append("brought predictions do not say")
    assert page.items[:4] == reasons
    assert {("title", reason) for reason in reasons} <= set(page.attributes)


def cells(text: str, section: str) -> list[str]:
    """The text of every cell of a section's tables."""
    text = text[text.index(f'<section id="{section}">') :]
    found = re.findall(r"<t[dh]\b.*?</t[dh]>", text[: text.index("</section>")], re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in found]


def rows_of(text: str) -> list[list[str]]:
    """The cells of every table row, as they are read."""
    rows = [re.findall(r"<t[dh]\b.*?</t[dh]>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL)]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in rows]


def test_published_numbers_are_shown_beside_ours_with_the_verdict(text):
    escaped = html.escape(SCRIPT)
    assert cells(text, "published") == [
        *("Published", "Here", "AP", "AP50", "Source"),
        *("BCNet Faster R-CNN, R50-FPN", "mask-rcnn on val", "38.40 41.60 ± 0.14 +3.20 not reproduced"),
        *("61.70 61.60 ± 0.14 \N{MINUS SIGN}0.10 reproduced", f"README {escaped}, primary, schedule 3x"),
        *("Other FCOS, R50-FPN", "not run no method of this run is to reproduce it", "30.00 not run", "— 1"),
        "a survey, secondary",
    ]
    assert "test-dev: 1 not reproduced, 1 reproduced, 1 not run" in text


def test_without_published_numbers_there_is_no_section_of_them(copied):
    tables.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    assert 'id="published"' not in (copied / "reports" / "demo" / "index.html").read_text()


def test_differences_are_shown_with_interval_and_p(run, text):
    """Every cell has what its row of differences.csv says; recall by `box_cover` is in the first table."""
    section = text[text.index('<section id="differences">') : text.index('<section id="occlusion">')]
    main, others = (re.findall(r"<td.*?</td>", part, re.DOTALL) for part in section.split("<details>"))
    with (run / "reports/demo/tables/differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        cell = "".join(f"{row[key]:>9}" for key in ("difference", "std", "low", "high", "p"))
        expected[row["measure"] in ("", "box_cover")].append(cell)

    def plain(cell: str) -> str:
        words = " ".join(re.sub("<[^>]*>", " ", cell.replace("\N{MINUS SIGN}", "-").replace("+", "")).split())
        found = re.fullmatch(r"(\S+) ± (\S+) (\S+) to (\S+) p (\S+)", words)
        return "".join(f"{text:>9}" for text in found.groups()) if found else f"{'':45}"

    assert [plain(cell) for cell in main] == expected[True]
    assert [plain(cell) for cell in others] == expected[False]
    assert (len(main), len(others)) == (2 * 3 * 12, 2 * 3 * 9)
    assert "<strong>+10.00</strong><small> ± 0.00</small>" in main[0]  # BCNet finds each object at one threshold more
    assert "<strong>\N{MINUS SIGN}10.00</strong>" in main[8]  # and leaks a tenth less
    sure = [row for row in rows if row["difference"] and (float(row["low"]) > 0 or float(row["high"]) < 0)]
    assert 0 < section.count("<strong>") == len(sure) < len(rows)
    assert "against mask-rcnn" in section
    assert "pictures and seeds (100 draws)" in " ".join(section.split())
    assert "<li>no object in this bin</li>" in section
    labels = re.findall(r'aria-label="Point and interval of each method\'s difference to mask-rcnn on (\S+);', text)
    assert labels == ["val", "occluded"]


@pytest.mark.parametrize(
    ("low", "high", "bold"),
    [
        ("0.01", "2.00", True),
        ("-2.00", "-0.01", True),
        ("-0.01", "2.00", False),
        ("0.00", "2.00", False),
        ("", "", False),
    ],
)
def test_only_a_difference_whose_interval_excludes_zero_is_bold(low, high, bold):
    assert beyond_chance({"difference": low and "1.00", "low": low, "high": high}) is bold


def test_a_difference_has_its_sign():
    assert [signed(text) for text in ("1.50", "-1.50", "0.00", "-0.00")] == [
        "+1.50",
        "\N{MINUS SIGN}1.50",
        "0.00",
        "0.00",
    ]


def test_with_one_seed_the_page_says_what_the_interval_leaves_out(copied, page):
    assert "not of training again" not in page.text
    params = run_parameters(seeds=[0])
    tables.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    text = " ".join(Page((copied / "reports" / "demo" / "index.html").read_text()).text.split())
    assert "The interval is of other pictures, not of training again with other seeds: there is one." in text


def test_recall_is_shown_as_in_the_table(text, page):
    rows = rows_of(section(text, "occlusion") + section(text, "same-category"))
    places = [index for index, row in enumerate(rows) if row[0] == "box_cover: 0.1 to 0.3, 10 objects"]
    assert len(places) == 2
    assert [row[0] for row in rows[places[0] + 1 : places[0] + 5]] == [*map(label, methods(run_parameters()))]
    assert rows[places[0] + 2] == [f"BCNet $x$ {SCRIPT}", *4 * ["50.50 ± 0.00"], "25.25 ± 0.00"]
    assert rows[places[0] + 7] == [f"BCNet $x$ {SCRIPT}", *5 * ["—1"]]
    assert ("title", "no object in this bin") in page.attributes
    heads = [row[0] for row in rows if len(row) == 1]
    assert [heads.count(f"occluder: {name} objects") for name in ("none, 20", "other category, 10")] == [2, 2]
    assert [heads.count(f"mask_cover: 0.02 to 0.1, {n} objects") for n in (10, 20)] == [2, 0]
    assert "n = 20" in page.text
    charts = re.findall(r"Line chart: AR against (\S+) on (\S+),", text)
    measures = ("box_cover", "mask_cover", "max_box_iou", "occluder")
    assert charts == [(measure, split) for measure in measures for split in ("val", "occluded")]


def label(method: Method) -> str:
    return method.label + ("" if method.origin == "measured here" else method.origin)


def test_the_benchmark_and_the_kinds_of_errors_are_tables(text):
    main, errors = rows_of(section(text, "occlusion")), rows_of(section(text, "errors"))
    heads = ["boundary AP", "found", "found\noccluded", "found\nseparated"]
    heads += ["AR\nno occluder", "AR\nother category", "AR\nsame category", "ECE (less is better)"]
    assert main[0] == ["Method", *heads, "occluded", "separated"]
    numbers = ["32.60 ± 0.14", "60.00 ± 0.00", "60.00 ± 0.00", "—1", "80.00 ± 0.00"]
    assert main[3] == [f"BCNet $x$ {SCRIPT}", *numbers, "50.50 ± 0.00", "—2", "25.00 ± 0.00", "20", "0"]
    assert [row[0] for row in main if len(row) == 1][:2] == ["val", "occluded"]
    kinds = ["wrong class\noccluded", "badly localised\noccluded", "both\noccluded", "missed\noccluded", "TIDE Cls"]
    assert errors[0][1:6] == kinds
    assert errors[4][:3] == ["The zoo'simported", "1.00", "10.00"]
    assert errors[4][-1] == "7.00"


def test_leak_stands_beside_its_difference_to_each_baseline(run, text):
    rows = rows_of(section(text, "leak"))
    assert rows[0] == ["Method", "leak", "against mask-rcnn"]
    assert [row[0] for row in rows if len(row) == 1] == ["val", "occluded"]
    assert rows[2][:2] == ["mask-rcnn", "7.00 ± 0.00"]
    with (run / "reports/demo/tables/differences.csv").open(newline="") as file:
        expected = [row for row in csv.DictReader(file) if row["metric"] == "leak"]
    mine = [row for row in rows[1:] if len(row) > 1 and row[0] != "mask-rcnn"]
    assert len(mine) == len(expected) == 6
    for shown, row in zip(mine, expected, strict=True):
        assert shown[0].startswith(row["label"])
        assert f"p {row['p']}" in shown[2]


def test_invisible_parts_and_order_are_there_if_any_method_has_them(text, copied):
    rows = rows_of(section(text, "order"))
    heads = ["invisible AP", "invisible IoU", "order decided", "order right of decided", "order right"]
    assert rows[0] == ["Method", *heads, "order right by masks alone"]
    assert rows[3] == [f"BCNet $x$ {SCRIPT}", "5.00 ± 0.00", "6.00 ± 0.00", *4 * ["—1"]]
    assert "<dt>order</dt>" in text
    for path in (copied / "reports/demo/metrics").glob("*/*/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"amodal": None}))
    tables.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    without = (copied / "reports/demo/index.html").read_text()
    assert "Invisible parts" not in without
    assert "<dt>order</dt>" not in without


def test_categories_are_a_column_a_method(text):
    section = text[text.index("<summary>AP of each category") : text.index('<section id="training">')]
    rows = rows_of(section)
    labels = [method.label for method in methods(run_parameters())]
    assert rows[0] == ["Category", "objects", *labels]
    assert rows[2] == [SCRIPT, "10", *2 * ["20.00 ± 0.00"], *2 * ["20.00"]]
    assert rows[3][:2] == ["ring", "20"]


TERMS = {  # how a number's name begins: where it is defined
    **{name: name for name in (*BINNED, "occluder", "found", "leak", "ECE")},
    "AP": "AP",
    "AR": "recall in a bin",
    "APn": "AP, APn in a bin",
    "box_AP": "box AP",
    "boundary": "boundary AP",
    **dict.fromkeys(("wrong_class", "badly_localised", "both", "missed"), "wrong class, badly localised, both, missed"),
    "tide_": "TIDE",
    "invisible_": "invisible AP, IoU",
    "order_": "order",
}


def test_every_number_of_the_tables_is_defined_with_its_formula(text):
    section = text[text.index('<section id="metrics">') : text.index('<section id="provenance">')]
    entries = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section, re.DOTALL)
    defined = {term.replace("<br>", " "): entry for term, entry in entries}
    for name in (*run_parameters().tables.metrics, "box_AP", *BENCHMARK, *BINNED, *IN_BINS, "occluder"):
        term = TERMS[max((start for start in TERMS if name.startswith(start)), key=len)]
        in_words = term in ("AP", "occluder", "box AP", TERMS["both"])
        assert ("<math" in defined[term]) is not in_words, name
    assert "<math" in section[: section.index("<dl>")]  # IoU, before all


def test_every_loss_has_a_chart(page):
    labels = [value for name, value in page.attributes if name == "aria-label"]
    charts = [label for label in labels if label.startswith("Line chart") and "iteration" in label]
    assert len(charts) == 4
    assert "Line chart: loss_occluder_mask against iteration, of BCNet $x$ " + SCRIPT + "." in charts


def test_pictures_have_a_panel_for_the_truth_and_each_method(text):
    page = Page(section(text, "pictures"))
    captions = re.findall(r"mask-rcnn: (.*)", page.text)
    assert captions == 8 * ["2 of 3 objects found"]
    assert page.tags.count("image") == 8
    assert page.text.count("ground truth: 3 objects") == 8
    assert page.text.index("<10.png") < page.text.index("<9.png") < page.text.index("<3.png")
    assert "<2.png" not in page.text


def test_predictions_that_are_boxes_are_not_drawn_and_every_table_says_so(copied):
    path = copied / "data/demo/predictions/theirs/brought/val.json"
    boxes = [{key: each[key] for key in ("image_id", "category_id", "score")} for each in json.loads(path.read_text())]
    path.write_text(json.dumps([each | {"bbox": [1, 2, 30, 40]} for each in boxes]))
    for split in ("val", "occluded"):
        path = copied / f"reports/demo/metrics/theirs/brought/{split}.json"
        metrics = json.loads(path.read_text())
        metrics["provenance"]["iou_type"] = "bbox"
        metrics |= dict.fromkeys(("segm", "boundary"), dict.fromkeys(metrics["segm"]))
        metrics |= dict.fromkeys(("failures", "leak", "amodal", "order"))
        metrics["categories"] = [
            {key: each[key] for key in ("id", "name", "objects", "bbox")} for each in metrics["categories"]
        ]
        path.write_text(json.dumps(metrics))
        write_tables(path, 10, [3] * 30, [0.0] * 20 + [0.2] * 10, "bbox")
    tables.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    text = (copied / "reports/demo/index.html").read_text()
    page = Page(text)
    assert page.text.count("_Theirs: the predictions are boxes, none is drawn") == 8
    assert len(re.findall("The zoo's: . of 3 objects found", page.text)) == 8
    places = ("comparison", "differences", "occlusion", "same-category", "leak", "errors", "order")
    found = {place: [row for row in rows_of(section(text, place)) if row[0].startswith("_Theirs")] for place in places}
    # of two splits: main table; AP and AR; the benchmark and three measures of three bins; the fourth; one table each
    assert [len(rows) for rows in found.values()] == [2, 4, 2 + 18, 6, 2, 2, 2]
    assert [row[1:5] for row in found["comparison"]] == 2 * [["—3", "—3", "—3", "45.00"]]
    assert [[index for index, cell in enumerate(row) if index and cell[0] != "—"] for row in found["differences"]] == [
        *([4], [4]),  # box AP
        *([], []),
    ]
    assert {cell[0] for place in places[2:] for row in found[place] for cell in row[1:]} == {"—"}
    for place in places:
        assert "<li>the predictions are boxes</li>" in section(text, place)


def section(text: str, name: str) -> str:
    return text[text.index(f'<section id="{name}">') :].partition("</section>")[0]


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
    assert "Maps of the mask head" not in (copied / "reports/demo/index.html").read_text()


def test_provenance_is_complete_and_hashes_are_whole_in_the_tooltip(page):
    assert page.text.count("0123456789ab…") == 4
    assert [each for each in page.attributes if each[1] == HASH] == [("title", HASH)] * 4
    assert "versions.torch" in page.text
    assert "1 (val, seed 1; occluded, seed 1)" in page.text


def test_made_data_is_labelled_so_and_coco_is_not(copied, page):
    assert "Made data" in page.text
    params = run_parameters(datasets={"demo": {"source": "coco"}})
    report(params, copied / "data", copied / "reports")
    other = Page((copied / "reports" / "demo" / "index.html").read_text())
    assert "Made data" not in other.text
    assert "COCO 2017, http://images.cocodataset.org" in other.text


def test_the_page_says_what_was_trained_on_and_what_each_split_is(copied):
    params = run_parameters(synthetic={"pasted": {"pictures": 70}}, train_on="pasted")
    report(params, copied / "data", copied / "reports")
    text = Page((copied / "reports" / "demo" / "index.html").read_text()).text
    assert "trained on pasted: 70 pictures with pasted objects and the real ones" in text
    assert "val: all pictures" in text
    assert "occluded: pictures with two boxes of IoU 0.2 or more" in text


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
        ("data/demo/models/bcnet/0/model.safetensors", "bcnet train bcnet --seed 0", "Maps of the mask head"),
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
    partial = Page((copied / "reports" / "demo" / "index.html").read_text())
    text = partial.text
    assert text.index("Not there yet") < text.index(missing[0]) < text.index("In percent, of masks")
    assert command in missing[0]
    assert "Not there yet" not in page.text
    assert {title: rows for title, rows in partial.groups.items() if title != FIRST} == {
        title: rows for title, rows in page.groups.items() if title != FIRST
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
    tables.compare(run_parameters(), copied / "reports")
    missing = report(run_parameters(), copied / "data", copied / "reports")
    page = Page((copied / "reports" / "demo" / "index.html").read_text())
    assert len(missing) == 2 * 4 + 4 + 1 + 3 + 3  # metrics, training logs, splits/val.json, models, speeds
    row = page.groups["val|measured here"][1]
    assert row[0] == f"BCNet $x$ {SCRIPT}"
    assert all(cell.startswith("—") for cell in row[1:5])
    path = copied / "reports" / "demo" / "metrics" / "theirs" / "brought" / "val.json"
    assert any(item.startswith(f"{path}: missing, `bcnet evaluate ") for item in page.items)
    assert "n = 20" in page.text  # objects in a bin, of the method that was measured
    assert "There is no training log." in page.text
    assert "There are none to show." in page.text


@pytest.mark.parametrize("line", ['{"iteration": 20, "lo', '{"iteration": 20, "loss": "low"}', "[20, 1.5]"])
def test_a_broken_training_line_is_named(copied, line):
    path = copied / "data" / "demo" / "models" / "bcnet" / "0" / "training.jsonl"
    path.write_text(path.read_text() + line)
    with pytest.raises(InputError, match=re.escape(f"{path}:31: ")):
        report(run_parameters(), copied / "data", copied / "reports")


def test_tables_of_another_run_are_refused(copied):
    params = run_parameters()
    variants = {**{k: v.model_dump(exclude_unset=True) for k, v in params.variants.items()}}
    variants["mask-rcnn"]["label"] = "renamed"
    with pytest.raises(
        InputError, match=r"differences\.csv: rows of 'mask-rcnn': `bcnet compare` makes those of this run"
    ):
        report(run_parameters(variants=variants), copied / "data", copied / "reports")
    (copied / "reports" / "demo" / "tables" / "differences.csv").write_text(
        (copied / "reports" / "demo" / "tables" / "differences.csv").read_text().replace("mask-rcnn", "renamed")
    )
    with pytest.raises(InputError, match=r"benchmark\.csv: no row of 'renamed', split 'val': `bcnet compare`"):
        report(run_parameters(variants=variants), copied / "data", copied / "reports")
    with pytest.raises(InputError, match=r"differences\.csv: no row of 'another': `bcnet compare`"):
        report(
            run_parameters(variants={**variants, "another": variants["mask-rcnn"] | {"label": "another"}}),
            copied / "data",
            copied / "reports",
        )


def test_speed_and_size_of_each_model_are_beside_its_accuracy(text):
    """Half precision counts, whole numbers do not; brought predictions have no model."""
    rows = [row for row in rows_of(section(text, "size")) if len(row) > 1]
    assert [row[0] for row in rows[1:]] == ["mask-rcnn", f"BCNet $x$ {SCRIPT}", "The zoo's"]
    assert [row[1] for row in rows[1:]] == ["0.02", "0.02", "0.04"]
    means = [f"mean {mean}, 10 pictures" for mean in ("20.0", "25.0", "1000.0")]
    assert [row[3] for row in rows[1:]] == [
        f"{ms}{mean}" for ms, mean in zip(("10.0", "12.5", "500.0"), means, strict=True)
    ]
    assert [row[4] for row in rows[1:]] == ["GPU <A>", "GPU <A>", "CPU, 2 threads"]
    assert [row[5] for row in rows[1:]] == ["41.60", "42.60", "43.50"]


def test_times_of_different_devices_are_in_charts_of_their_own(text):
    charts = re.findall(r"<figure.*?</figure>", section(text, "size"), re.DOTALL)
    assert [re.search("<figcaption>(.*)</figcaption>", chart)[1] for chart in charts] == [
        "speed on GPU &lt;A&gt;",
        "speed on CPU, 2 threads",
        "size",
    ]
    colours = [figures.look(index).colour for index in range(4)]
    drawn = [[colour in chart for colour in colours] for chart in charts]
    assert drawn == [[True, True, False, False], [False, False, True, False], [True, True, True, False]]


def test_a_model_that_was_not_timed_is_said_to_be_so(copied):
    """No picture was timed; the speed is missing; the model is."""
    data = copied / "data/demo"
    nothing = {"device": "GPU", "pictures": 0, "median_seconds": None, "mean_seconds": None}
    (data / "predictions/mask-rcnn/0/val.speed.json").write_text(json.dumps(nothing))
    (data / "predictions/bcnet/0/val.speed.json").unlink()
    (data / "models/zoo/imported/model.safetensors").unlink()
    missing = report(run_parameters(), copied / "data", copied / "reports")
    assert [line.split("`")[1] for line in missing] == [
        "bcnet predict bcnet --seed 0 --split val",
        "bcnet import-weights --name zoo",
    ]
    part = section((copied / "reports/demo/index.html").read_text(), "size")
    rows = [row for row in rows_of(part) if len(row) > 1]
    assert [row[1:5] for row in rows[1:]] == [
        ["0.02", "0.1", "—1", "GPU"],
        ["0.02", "0.1", "—2", "—2"],
        ["—3", "—3", "500.0mean 1000.0, 10 pictures", "CPU, 2 threads"],
    ]
    assert re.findall("<li>(the .*|no .*)</li>", part) == [
        "no picture was timed",
        "the speed is missing",
        "the model is missing",
    ]
    assert re.findall("<figcaption>(.*)</figcaption>", part) == ["speed on CPU, 2 threads", "size"]


def test_a_speed_that_is_none_is_named(copied):
    path = copied / "data/demo/predictions/bcnet/0/val.speed.json"
    path.write_text(path.read_text().replace("0.0125", "-1"))
    page = copied / "reports/demo/index.html"
    before = page.read_bytes()
    with pytest.raises(
        InputError, match=re.escape(f"{path}: median_seconds: -1: input should be greater than or equal")
    ):
        report(run_parameters(), copied / "data", copied / "reports")
    assert page.read_bytes() == before


def test_a_model_that_is_none_is_named(copied):
    path = copied / "data/demo/models/zoo/imported/model.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=re.escape(f"{path}: not a safetensors file: ")):
        report(run_parameters(), copied / "data", copied / "reports")
