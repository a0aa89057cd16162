"""The report page: everything of the run is on it, nothing is loaded from elsewhere, nothing can inject markup."""

import copy
import html.parser
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

from bcnet import params as parameters
from bcnet.data import coco
from bcnet.files import InputError, write_json
from bcnet.report import figures, pictures, tables
from bcnet.report.page import report

SCRIPT = "<script>alert(1)</script>"
SIZE = 96
HASH = "0123456789abcdef" * 4
LOSSES = {"mask-rcnn": ["loss_cls", "loss_mask"], "bcnet": ["loss_cls", "loss_mask", "loss_occluder_mask"]}


def run_parameters(**changes) -> parameters.Params:
    """Two variants, two seeds, brought predictions, two splits."""
    content = {
        "dataset": "demo",
        "datasets": {"demo": {"source": "shapes", "seed": 3, "size": SIZE, "train": 60, "val": 10}},
        "splits": {"val": {"rule": "all"}, "occluded": {"rule": "box_iou", "threshold": 0.2}},
        "schedule": {"iterations": 600, "batch": 4, "lr": 0.01, "short_side": [SIZE], "max_side": SIZE, "warmup": 5},
        "predict": {"short_side": SIZE, "max_side": SIZE},
        "seeds": [0, 1],
        "variants": {
            "mask-rcnn": {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "mask_head": "mask_rcnn"},
            "bcnet": {
                "detector": "faster_rcnn",
                "backbone": "efficientnet_lite0",
                "mask_head": "bcnet",
                "label": f"BCNet $x$ {SCRIPT}",
            },
        },
        "predictions": {"theirs": {"file": "theirs.json", "label": "_Theirs"}},
        "tables": {"metrics": ["AP", "AP50", "APs"]},
    }
    return parameters.Params.model_validate({**content, **changes})


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def write_pictures(data: Path) -> None:
    """Ten pictures of three discs each, the later ones more overlapped, and predictions near the truth."""
    images, annotations, random = [], [], np.random.default_rng(0)
    found: dict[str, list] = {"mask-rcnn/0": [], "bcnet/0": [], "theirs/brought": []}
    for image_id in range(1, 11):
        name = f"{SCRIPT.split('/')[0]}{image_id}.png"
        images.append({"id": image_id, "file_name": name, "width": SIZE, "height": SIZE})
        canvas = random.integers(90, 140, (SIZE, SIZE, 3)).astype(np.uint8)
        for index in range(3):
            mask = disc(30 + index * (34 - 2 * image_id), 40 + 8 * index, 18)
            canvas[mask] = (60 + 60 * index, 160 - 40 * index, 90)
            occlusion = {"box_cover": 0.1, "mask_cover": 0.0, "max_box_iou": image_id / 20, "n_occluders": 1}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1 + index % 2 * 4,
                    "segmentation": coco.encode(mask),
                    "occlusion": occlusion,
                }
            )
            for method, shift in zip(found, (5, 1, 14), strict=True):
                moved = coco.encode(np.roll(mask, shift, axis=1))
                score = 0.9 - 0.3 * (index == 2 and method == "mask-rcnn/0") - 0.1 * index
                found[method].append(
                    {"image_id": image_id, "category_id": 1 + index % 2 * 4, "score": score, "segmentation": moved}
                )
        path = data / "images" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    categories = [{"id": 1, "name": SCRIPT}, {"id": 5, "name": "ring"}]
    write_json(data / "splits" / "val.json", {"images": images, "annotations": annotations, "categories": categories})
    for method, predictions in found.items():
        write_json(data / "predictions" / method / "val.json", predictions)


def write_training(data: Path) -> None:
    for variant, names in LOSSES.items():
        for seed in (0, 1):
            path = data / "models" / variant / str(seed) / "training.jsonl"
            path.parent.mkdir(parents=True)
            with path.open("w") as file:
                for iteration in range(20, 601, 20):
                    losses = {name: (1 + 0.2 * k + seed / 9) * 60 / (40 + iteration) for k, name in enumerate(names)}
                    line = {"iteration": iteration, "lr": 0.01, **losses, "loss": sum(losses.values())}
                    file.write(json.dumps(line) + "\n")


def write_metrics(params: parameters.Params, reports: Path) -> None:
    """Metrics of every method, run and split, and `compare`'s tables of them, with a published row added."""
    for index, method in enumerate(tables.methods(params)):
        for run in method.runs:
            for split in params.splits:
                about = {"origin": method.origin, "name": method.name, "label": method.label, "seed": run}
                about |= {"schedule": {"iterations": 600}} if method.origin == "measured here" else {}
                about |= {"versions": {"torch": "2.14.1"}, "predictions_sha256": HASH, "iou_type": "segm"}
                ap = 0.415 + 0.01 * index + 0.002 * (run == "1")
                bins = [(0.0, 0.1, 20, 0.8), (0.1, 0.3, 10, 0.605 - 0.1 * index), (0.3, 1.0, 0, None)]
                recall = [
                    {"from": low, "to": high, "objects": n, "AR": share, "AR50": share, "AR75": share}
                    for low, high, n, share in bins
                ]
                metrics = {
                    "provenance": {**about, "split": {"name": split}, "images": 10, "objects": 30},
                    "segm": {"AP": ap, "AP50": ap + 0.2, "APs": None},
                    "bbox": {"AP": 0.45},
                    "recall": {"box_cover": recall},
                }
                write_json(reports / "demo" / "metrics" / method.name / run / f"{split}.json", metrics)
    tables.compare(params, reports)
    with (reports / "demo" / "tables" / "comparison.csv").open("a") as file:
        why = "AP50, APs, box_AP, seeds, objects, images, iterations: published without this number"
        file.write(f'published,BCNet,Faster R-CNN,R50-FPN,test-dev,,38.40,,,,,,,,,,"{why}",README (primary)\n')


def write_run(root: Path) -> parameters.Params:
    """All that the report reads, below `root`."""
    params = run_parameters()
    write_pictures(root / "data" / "demo")
    write_training(root / "data" / "demo")
    write_metrics(params, root / "reports")
    return params


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: elements, attributes, text, list items, table rows, also by heading."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
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
        self.text += data
        if {"th", "td"} & set(self._open):
            self.rows[-1][-1] += "|" * (self._heading and "span" in self._open) + data
        elif {"ol", "li"} <= set(self._open):
            self.items[-1] += data


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("run")
    report(write_run(root), root / "data", root / "reports")
    return root


@pytest.fixture(scope="session")
def text(run) -> str:
    return (run / "reports" / "demo" / "index.html").read_text()


@pytest.fixture(scope="session")
def page(text) -> Page:
    return Page(text)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_names_cannot_inject_markup(page):
    """The script is a category, part of a file name and of a label; it is shown as text, never as an element."""
    assert "script" not in page.tags
    assert f"{SCRIPT} 0.90" in page.text
    assert f"BCNet $x$ {SCRIPT}" in page.text
    assert "<script>alert(1)<10.png" in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page, text):
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "srcset", "data")]
    assert links
    assert all(re.match(r"#|data:image/jpeg;base64,", link) for link in links)
    inside_css = re.findall(r"url\(([^)]*)\)|@import", text)
    assert all(link.startswith("#") for link in inside_css)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_ids_are_unique_and_every_reference_has_one(page, text):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = {value[1:] for name, value in page.attributes if name.endswith("href") and value[0] == "#"}
    assert references | set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_same_inputs_give_the_same_bytes(copied, text):
    report(run_parameters(), copied / "data", copied / "reports")
    assert (copied / "reports" / "demo" / "index.html").read_text() == text


def test_origins_are_told_apart_in_the_main_table(page):
    groups = ["val|measured here", "val|brought", "occluded|measured here", "occluded|brought", "test-dev|published"]
    assert list(page.groups)[:5] == groups
    assert [row[0] for row in page.groups["val|measured here"]] == ["mask-rcnn", f"BCNet $x$ {SCRIPT}"]
    row = page.groups["occluded|measured here"][1]
    assert row[:5] == [f"BCNet $x$ {SCRIPT}", "42.60 ± 0.14", "62.60 ± 0.14", "—1", "45.00"]
    assert row[5:] == ["faster_rcnn", "efficientnet_lite0", "2", "600", "10", "30"]
    assert page.groups["val|brought"][0][1:3] == ["43.50", "63.50"]


def test_an_empty_cell_says_why(page):
    """Detector and backbone of brought predictions, APs without small objects, what was not published."""
    assert page.groups["val|brought"][0][5:9] == ["—2", "—2", "—3", "—3"]
    assert page.groups["test-dev|published"][0][1:4] == ["38.40", "—4", "—4"]
    reasons = ["no object of this size in the split", "not stated", "brought predictions do not say"]
    assert page.items[-4:] == [*reasons, "published without this number"]
    assert {("title", reason) for reason in reasons} <= set(page.attributes)


def test_recall_is_shown_as_in_the_table(page):
    rows = [row for row in page.rows if len(row) == 10]
    assert rows[1] == [f"BCNet $x$ {SCRIPT}", *3 * ["80.00"], *3 * ["50.50"], *3 * ["—"]]
    assert len(rows) == 6
    assert ("title", "AR, AR50, AR75: no object in this bin") in page.attributes
    assert "n = 20" in page.text


def test_every_loss_has_a_chart(page):
    labels = [value for name, value in page.attributes if name == "aria-label"]
    charts = [label for label in labels if label.startswith("Line chart") and "iteration" in label]
    assert len(charts) == 4
    assert "Line chart: loss_occluder_mask against iteration, of BCNet $x$ " + SCRIPT + "." in charts


def test_pictures_have_a_panel_for_the_truth_and_each_method(page):
    captions = re.findall(r"mask-rcnn: (.*)", page.text)
    assert captions == 8 * ["2 of 3 objects found"]
    assert page.tags.count("image") == 8
    assert page.text.count("ground truth: 3 objects") == 8
    assert page.text.index("<10.png") < page.text.index("<9.png") < page.text.index("<3.png")
    assert "<2.png" not in page.text


def test_provenance_is_complete_and_hashes_are_whole_in_the_tooltip(page):
    assert page.text.count("0123456789ab…") == 3
    assert [each for each in page.attributes if each[1] == HASH] == [("title", HASH)] * 3
    assert "versions.torch" in page.text
    assert "1 (val, seed 1; occluded, seed 1)" in page.text


def test_made_data_is_labelled_so_and_coco_is_not(copied, page):
    assert "Made data" in page.text
    params = run_parameters(datasets={"demo": {"source": "coco"}})
    report(params, copied / "data", copied / "reports")
    other = Page((copied / "reports" / "demo" / "index.html").read_text())
    assert "Made data" not in other.text
    assert "COCO 2017, http://images.cocodataset.org" in other.text


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("reports/demo/tables/comparison.csv", "bcnet compare"),
        ("reports/demo/tables/recall.csv", "bcnet compare"),
        ("reports/demo/metrics/theirs/brought/val.json", "bcnet evaluate --annotations"),
        ("data/demo/models/bcnet/1/training.jsonl", "bcnet train bcnet --seed 1"),
        ("data/demo/predictions/bcnet/0/val.json", "bcnet predict bcnet --seed 0"),
        ("data/demo/predictions/theirs/brought/val.json", "bcnet fetch demo --predictions theirs"),
        ("data/demo/splits/val.json", "bcnet split --annotations"),
        ("data/demo/images/val/<script>alert(1)<10.png", "bcnet fetch demo"),
    ],
)
def test_a_missing_input_is_named_with_the_command_that_makes_it(copied, path, command):
    (copied / path).unlink()
    (copied / "reports" / "demo" / "index.html").unlink()
    with pytest.raises(InputError, match=re.escape(command)) as error:
        report(run_parameters(), copied / "data", copied / "reports")
    assert str(error.value).startswith(f"{copied / path}: missing, `{command}")
    assert not (copied / "reports" / "demo" / "index.html").exists()


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
    with pytest.raises(InputError, match=r"recall\.csv: no row of 'renamed', split 'val': `bcnet compare`"):
        report(run_parameters(variants=variants), copied / "data", copied / "reports")


def test_methods_look_different_from_each_other():
    assert len({figures.look(index) for index in range(35)}) == 35


def test_thinned_rows_are_means_of_equal_blocks():
    values = np.arange(20.0).reshape(10, 2)
    assert figures.thinned(values, 10) is values
    assert figures.thinned(values, 4).tolist() == [[2, 3], [8, 9], [14, 15], [18, 19]]


def inside(path: str, x: float, y: float) -> bool:
    """Whether a point is inside an SVG path of straight lines, by the evenodd rule: crossings of a ray to the right."""
    crossings = 0
    for ring in path.split("M")[1:]:
        points = [tuple(map(float, point.split())) for point in ring.rstrip("Z").split("L")]
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            crossings += (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return crossings % 2 == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_follows_its_mask(seed):
    """Blobs with holes that touch the picture's border: exact but for pixels on a mask's edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 40)), 2.5)
    mask = noise > 0
    drawn = figures.outline(mask)
    shown = np.array([[inside(drawn.path, x + 0.5, y + 0.5) for x in range(40)] for y in range(30)])
    square = np.ones((3, 3))
    assert shown[ndimage.binary_erosion(mask, square, border_value=1)].all()
    assert not shown[~ndimage.binary_dilation(mask, square)].any()
    assert np.mean(shown != mask) < 0.01
    outside = np.argwhere(~np.pad(mask, 1)) - 0.5  # pixel centres, (y, x)
    assert mask[int(drawn.y), int(drawn.x)]
    assert drawn.radius == pytest.approx(np.hypot(*(outside - (drawn.y, drawn.x)).T).min())


def test_an_empty_mask_has_an_empty_outline():
    assert figures.outline(np.zeros((4, 5), bool)) == figures.Outline("", -0.5, -0.5, 0.0)


@pytest.mark.parametrize("seed", range(40))
def test_matching_is_that_of_coco(seed):
    """Against pycocotools' own matching at IoU 0.5, on a few boxes of two categories."""
    random = np.random.default_rng(seed)
    truth, found = COCO(), []

    def rectangle() -> dict:
        mask = np.zeros((20, 20), np.uint8)
        x, y, w, h = random.integers((0, 0, 8, 8), (6, 6, 14, 14))
        mask[y : y + h, x : x + w] = 1
        return coco.encode(mask)

    objects = [{"id": 1 + i, "image_id": 1, "category_id": int(random.integers(1, 3))} for i in range(4)]
    objects = [{**each, "segmentation": rectangle(), "iscrowd": 0, "area": 100} for each in objects]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    truth.dataset = {"images": [{"id": 1, "width": 20, "height": 20}], "annotations": objects, "categories": categories}
    truth.dataset["info"] = {}
    truth.createIndex()
    for score in random.permutation(6):
        found.append({"image_id": 1, "category_id": int(random.integers(1, 3)), "score": float(score)})
        found[-1]["segmentation"] = rectangle()
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), "segm")
    evaluation.evaluate()
    expected: dict[int, int | None] = {}
    for image in evaluation.evalImgs:
        if image and image["aRng"] == [0, 1e10]:
            for detection, match in zip(image["dtIds"], image["dtMatches"][0], strict=True):
                expected[detection - 1] = int(match) - 1 if match else None
    ious = mask_utils.iou([f["segmentation"] for f in found], [o["segmentation"] for o in objects], [0] * 4)
    assert pictures.matches(objects, found, ious) == [expected[i] for i in range(6)]


def test_the_pictures_shown_are_those_of_the_rule():
    """Three objects or more first, then the mean overlap, then the id; crowds and empty pictures do not count."""
    overlaps = {1: [0.9, 0.9], 2: [0.2, 0.2, 0.5], 3: [0.3, 0.3, 0.3], 4: [], 5: [0.8, 0.1, 0.0]}
    annotations = [
        {"image_id": image, "iscrowd": 0, "occlusion": {"max_box_iou": value}}
        for image, values in overlaps.items()
        for value in values
    ]
    annotations.append({"image_id": 5, "iscrowd": 1, "occlusion": {"max_box_iou": 1.0}})
    images = [{"id": image} for image in reversed(overlaps)]
    shown = pictures.most_occluded(images, annotations, 8)
    assert [(image["id"], round(mean, 6)) for image, mean in shown] == [(2, 0.3), (3, 0.3), (5, 0.3), (1, 0.9)]
    assert pictures.most_occluded(images, annotations, 2) == shown[:2]


def test_an_unmatched_prediction_and_a_crowd_are_marked():
    """The largest mask is drawn first; an object keeps its colour from panel to panel."""
    ground = [
        {"category_id": 1, "segmentation": coco.encode(disc(30, 30, 6)), "iscrowd": 0},
        {"category_id": 1, "segmentation": coco.encode(disc(34, 34, 12)), "iscrowd": 0},
        {"category_id": 1, "segmentation": coco.encode(disc(70, 70, 12)), "iscrowd": 1},
    ]
    predictions = [
        {"category_id": 1, "score": 0.9, "segmentation": coco.encode(disc(31, 30, 6))},
        {"category_id": 1, "score": 0.6, "segmentation": coco.encode(disc(70, 70, 12))},
    ]
    names, size = {1: "disc"}, (SIZE, SIZE)
    truth = pictures.truth_panel(ground, names, size)
    labels = [("disc (crowd)", False), ("disc", True), ("disc", True)]
    assert [(shape.label, shape.matched) for shape in truth.shapes] == labels
    assert [shape.outline.radius > 10 for shape in truth.shapes] == [True, True, False]
    assert truth.caption == "2 objects"
    panel = pictures.method_panel(ground, predictions, names, size)
    assert [(shape.label, shape.matched) for shape in panel.shapes] == [("disc 0.60", False), ("disc 0.90", True)]
    assert panel.shapes[1].colour == truth.shapes[2].colour != truth.shapes[1].colour
    assert panel.caption == "1 of 2 objects found, 1 unmatched"
    assert pictures.method_panel([], [], names, size).caption == "0 of 0 objects found"
