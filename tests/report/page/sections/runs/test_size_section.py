"""Speed and size on the report page, and what is wrong or missing of them."""

import json
import re

import pytest
from page_factory import rows_of, section
from report_factory import SCRIPT, run_parameters

from bcnet.drawing import figures
from bcnet.files import InputError
from bcnet.report.page.page import report
from bcnet.report.page.sections.runs import size as size_section
from bcnet.report.page.sections.runs.size import CLOCK, PROCESSOR


@pytest.fixture(scope="module")
def text(made_run) -> str:
    return (made_run / "reports" / "demo" / "index.html").read_text(encoding="utf-8")


def test_speed_and_size_of_each_model_are_beside_its_accuracy(text):
    """Half precision counts, whole numbers do not; brought predictions have no model."""
    rows = [row for row in rows_of(section(text, "size")) if len(row) > 1]
    assert [row[0] for row in rows[1:]] == ["mask-rcnn", f"BCNet $x$ {SCRIPT}", "The zoo's"]
    assert [row[1] for row in rows[1:]] == ["0.02", "0.02", "0.04"]
    means = [f"mean {mean}, 10 images" for mean in ("20.0", "25.0", "1000.0")]
    assert [row[3] for row in rows[1:]] == [
        f"{ms}{mean}" for ms, mean in zip(("10.0", "12.5", "500.0"), means, strict=True)
    ]
    assert [row[4] for row in rows[1:]] == ["8.0", "10.0", "400.0"]
    assert [row[5] for row in rows[1:]] == ["GPU <A>", "GPU <A>", "CPU, 2 threads"]
    assert [row[6] for row in rows[1:]] == ["41.60", "42.60", "43.50"]


def test_times_of_different_devices_are_in_charts_of_their_own(text):
    charts = re.findall(r"<figure.*?</figure>", section(text, "size"), re.DOTALL)
    assert [re.search("<figcaption>(.*)</figcaption>", chart)[1] for chart in charts] == [
        "speed on GPU &lt;A&gt;",
        "speed on CPU, 2 threads",
        "size",
    ]
    assert re.findall('aria-label="Scatter chart: accuracy against (.*?), speed', "".join(charts)) == [CLOCK, PROCESSOR]
    colours = [figures.look(index).colour for index in range(4)]
    drawn = [[colour in chart for colour in colours] for chart in charts]
    assert drawn == [[True, True, False, False], [False, False, True, False], [True, True, True, False]]


@pytest.mark.parametrize(("device", "drawn"), [("GPU", (CLOCK, 900)), ("CPU, 1 thread", (PROCESSOR, 300))])
def test_what_waited_for_other_work_is_no_slower_on_a_cpu(copied, monkeypatch, device, drawn):
    """Other work moves no point of a CPU's chart; of a GPU the clock is drawn, for the processor only waits for it."""
    found = {}

    def dots(name, points, x, y):
        found[name] = {(x, point.x) for point in points}
        return figures.dots(name, points, x, y)

    monkeypatch.setattr(size_section, "dots", dots)
    for name in ("mask-rcnn/0", "bcnet/0", "zoo/imported"):
        content = {"device": device, "pictures": 4, "median_seconds": 0.9, "mean_seconds": 2}
        content["median_processor_seconds"] = 0.3
        (copied / f"data/demo/predictions/{name}/val.speed.json").write_text(json.dumps(content), encoding="utf-8")
    report(run_parameters(), copied / "data", copied / "reports")
    assert found["speed"] == {drawn}


def test_a_model_that_was_not_timed_is_said_to_be_so(copied):
    """No picture was timed; the speed is missing; the model is."""
    data = copied / "data/demo"
    nothing = {"device": "GPU", "pictures": 0, "median_seconds": None, "mean_seconds": None}
    nothing["median_processor_seconds"] = None
    (data / "predictions/mask-rcnn/0/val.speed.json").write_text(json.dumps(nothing), encoding="utf-8")
    (data / "predictions/bcnet/0/val.speed.json").unlink()
    (data / "models/zoo/imported/model.safetensors").unlink()
    missing = report(run_parameters(), copied / "data", copied / "reports")
    assert [line.split("`")[1] for line in missing] == [
        "bcnet predict bcnet --seed 0 --split val",
        "bcnet import-weights --name zoo",
    ]
    part = section((copied / "reports/demo/index.html").read_text(encoding="utf-8"), "size")
    rows = [row for row in rows_of(part) if len(row) > 1]
    assert [row[1:6] for row in rows[1:]] == [
        ["0.02", "0.1", "—1", "—1", "GPU"],
        ["0.02", "0.1", "—2", "—2", "—2"],
        ["—3", "—3", "500.0mean 1000.0, 10 images", "400.0", "CPU, 2 threads"],
    ]
    assert re.findall("<li>(the .*|no .*)</li>", part) == [
        "no image was timed",
        "the speed is missing",
        "the model is missing",
    ]
    assert re.findall("<figcaption>(.*)</figcaption>", part) == ["speed on CPU, 2 threads", "size"]


def test_a_speed_that_is_none_is_named(copied):
    path = copied / "data/demo/predictions/bcnet/0/val.speed.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.0125", "-1"), encoding="utf-8")
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
