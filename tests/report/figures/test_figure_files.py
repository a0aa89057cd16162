"""The page's charts as files: each of them, whole, safe, and nothing besides."""

import re
import shutil
from xml.etree import ElementTree

import pytest
from report_factory import LOSSES, SCRIPT, run_parameters

from bcnet.drawing import figures
from bcnet.files import InputError
from bcnet.report.figures import figure_files
from bcnet.report.page.page import report
from bcnet.report.tables import compare
from bcnet.report.tables.rows import methods

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
BCNET = f"BCNet $x$ {SCRIPT}"
SPLITS = ("val", "occluded")
MEASURES = ("box_cover", "mask_cover", "max_box_iou", "occluder")


@pytest.fixture(scope="module")
def drawn(made_run) -> dict[str, ElementTree.Element]:
    """The root of each file, by its name."""
    return {path.stem: ElementTree.parse(path).getroot() for path in (made_run / "reports/demo/figures").iterdir()}


def texts(figure: ElementTree.Element) -> list[str]:
    """Its own lines of text: the title, what stands below it, and the legend; not those of the chart."""
    return ["".join(line.itertext()) for line in figure.findall(f"{SVG}text")]


def test_every_chart_of_the_page_is_a_file(made_run, drawn):
    assert sorted(drawn) == sorted(
        [
            *(f"recall-{measure}-{split}" for measure in MEASURES for split in SPLITS),
            *(f"difference-{split}-0" for split in SPLITS),
            *("speed", "speed-1", "size", "training"),
            *("precision-recall-0.5", "precision-recall-0.75", "precision-score", "recall-score", "f1-score"),
            *(f"training-{name}" for name in LOSSES["bcnet"]),
        ]
    )
    page = (made_run / "reports/demo/index.html").read_text(encoding="utf-8")
    charts = re.findall(r'<figure class="chart[^>]*>\s*(<svg.*?</svg>)', page, re.DOTALL)
    assert page.count('<figure class="chart') == len(charts) == len(drawn)
    files = [path.read_text(encoding="utf-8") for path in (made_run / "reports/demo/figures").iterdir()]
    for chart in charts:
        assert sum(chart in file for file in files) == 1


def test_charts_of_an_ablation_are_files_too(copied):
    base = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}
    params = run_parameters(variants={"mask-rcnn": {**base, "structure": "single"}, "bcnet": base})
    compare.compare(params, copied / "reports")
    report(params, copied / "data", copied / "reports")
    folder = copied / "reports/demo/figures"
    root = ElementTree.parse(folder / "ablations-occluded.svg").getroot()
    assert texts(root)[0] == "Ablations on occluded"
    assert texts(root)[4:] == [f"{figures.look(1).symbol} bcnet"]  # whose bar is in it, not mask-rcnn's
    page = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    assert page.count('<figure class="chart') == len(list(folder.iterdir()))


def test_a_figure_says_what_it_shows_and_whose(drawn):
    origin = "demo, synthetic images: not comparable with COCO"
    looks = [figures.look(index) for index in range(4)]
    legend = [f"{look.symbol} {each.label}" for look, each in zip(looks, methods(run_parameters()), strict=True)]
    bars = "bars: 95 % intervals over images and seeds"
    assert texts(drawn["recall-occluder-val"]) == ["Recall by occluder on val", origin, bars]
    assert texts(drawn["difference-occluded-0"]) == [
        *("AP: difference to mask-rcnn on occluded", origin, "95 % intervals"),
        *legend[1:],
    ]
    assert texts(drawn["speed"]) == ["Accuracy on val against speed on GPU <A>", origin, *legend[:2]]
    assert texts(drawn["speed-1"]) == ["Accuracy on val against speed on CPU, 2 threads", origin, legend[2]]
    assert texts(drawn["size"]) == ["Accuracy on val against size", origin, *legend[:3]]
    dashes = "seeds differ in dashes, the first is solid"
    assert texts(drawn["training"]) == ["Training: sum of the losses", origin, dashes, *legend[:2]]
    assert texts(drawn["training-loss_occluder_mask"])[3:] == [legend[1]]
    for root in drawn.values():
        assert root.find(f"{SVG}title").text == texts(root)[0]
    spans = drawn["training"].findall(f"{SVG}text/{SVG}tspan")
    assert [(span.get("fill"), span.text) for span in spans] == [(look.colour, look.symbol) for look in looks[:2]]
    names = [group for group in drawn["recall-occluder-val"].iter(f"{SVG}g") if group.get("class") == "name"]
    rows = [["".join(text.itertext()) for text in group.findall(f"{SVG}text")] for group in names]  # beside the lines
    shown = [" ".join(of_name).removesuffix("…") for of_name in rows]
    assert len(shown) == 4
    assert all(line.startswith(name) for name, line in zip(shown, legend, strict=True))


def test_what_depends_on_seeds_is_not_said_of_one(copied):
    report(run_parameters(seeds=[0]), copied / "data", copied / "reports")
    text = "".join(path.read_text(encoding="utf-8") for path in (copied / "reports/demo/figures").iterdir())
    assert "over seeds" not in text
    assert "dashes" not in text


def test_a_figure_is_dark_on_white_and_needs_nothing_else(drawn):
    for root in drawn.values():
        first = next(each for each in root if each.tag != f"{SVG}title")
        assert (first.tag, first.get("width"), first.get("height")) == (f"{SVG}rect", "100%", "100%")
        assert (first.get("fill"), root.get("color"), root.get("fill")) == ("#fff", "#000", "#000")
        ids = [each.get("id") for each in root.iter() if each.get("id")]
        assert len(ids) == len(set(ids))
        references = [each.get(HREF) or each.get("href") for each in root.iter()]
        references += re.findall(r"url\((.*?)\)", ElementTree.tostring(root, "unicode"))
        assert {link[1:] for link in references if link} <= set(ids)
        tags = {each.tag.removeprefix(SVG) for each in root.iter()}
        assert tags <= {"svg", "title", "rect", "text", "tspan", "g", "path", "use", "defs", "clipPath"}
        assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]


def test_nothing_is_beyond_the_border(drawn):
    """The chart is as large as on the page, below the lines of the head and above the legend."""
    for root in drawn.values():
        width, height = (float(each) for each in root.get("viewBox").split()[2:])
        assert (root.get("width"), root.get("height")) == (f"{width}pt", f"{height}pt")
        box = root.find(f"{SVG}svg")
        left, top, wide, high = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        assert box.find(f"{SVG}svg").get("viewBox") == f"0 0 {wide:g} {high:g}"
        assert left + wide <= width
        for line in root.findall(f"{SVG}text"):  # in any font
            assert float(line.get("x")) + float(line.get("textLength")) <= width
            assert line.get("lengthAdjust") == "spacingAndGlyphs"
        places = [float(line.get("y")) for line in root.findall(f"{SVG}text")]
        assert places == sorted(places)
        legend = len(root.findall(f"{SVG}text/{SVG}tspan"))
        assert places[-legend - 1] < top
        assert not legend or top + high < places[-legend]
        assert places[-1] < height


@pytest.mark.filterwarnings("error:Glyph")
def test_a_long_name_has_room(copied):
    """Wide letters take their size, 9; the others 7 tenths of it at most."""
    variants = {name: each.model_dump(exclude_unset=True) for name, each in run_parameters().variants.items()}
    sizes = {}
    for label in ("a" * 100, "あ" * 100):
        variants["bcnet"]["label"] = label
        params = run_parameters(variants=variants)
        compare.compare(params, copied / "reports")
        report(params, copied / "data", copied / "reports")
        root = ElementTree.parse(copied / "reports/demo/figures/size.svg").getroot()
        sizes[label[0]] = float(root.get("viewBox").split()[2])
    assert sizes["a"] >= 100 * 9 * 0.6 + 24
    assert sizes["あ"] >= 100 * 9 + 24


def test_same_inputs_give_the_same_bytes_and_charts_that_are_gone_lose_their_file(copied):
    folder = copied / "reports/demo/figures"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "recall-box_cover-gone.svg").write_text("of a split that was", encoding="utf-8")
    (folder / ".snakemake_timestamp").touch()
    (folder / "size.svg").write_text("an older one", encoding="utf-8")
    report(run_parameters(), copied / "data", copied / "reports")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix} == before
    assert (folder / ".snakemake_timestamp").exists()


def test_a_report_that_fails_leaves_the_figures_that_were_there(copied):
    folder = copied / "reports/demo/figures"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(copied / "data/demo/models/zoo")
    (copied / "data/demo/splits/val.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError):
        report(run_parameters(), copied / "data", copied / "reports")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["../../loss", "a b", "", "é", 101 * "a"])
def test_a_loss_whose_name_is_no_file_name_is_refused(copied, name):
    path = copied / "data/demo/models/bcnet/0/training.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("loss_occluder_mask", name), encoding="utf-8")
    with pytest.raises(InputError, match="expected names of losses of letters, digits and _") as error:
        report(run_parameters(), copied / "data", copied / "reports")
    assert str(error.value).startswith(f"{path}: {name!r}: ")


def test_a_letter_that_xml_has_not_is_shown_as_one_that_is_not_known(copied):
    path = copied / "data/demo/predictions/zoo/imported/val.speed.json"
    path.write_text(path.read_text(encoding="utf-8").replace("CPU", "C\\u0001PU"), encoding="utf-8")
    report(run_parameters(), copied / "data", copied / "reports")
    root = ElementTree.parse(copied / "reports/demo/figures/speed-1.svg").getroot()
    assert root.find(f"{SVG}title").text == "Accuracy on val against speed on C\N{REPLACEMENT CHARACTER}PU, 2 threads"


def test_without_any_chart_the_folder_is_there(tmp_path):
    figure_files.write(tmp_path / "figures", {})
    assert list((tmp_path / "figures").iterdir()) == []
