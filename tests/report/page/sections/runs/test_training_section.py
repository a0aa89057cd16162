"""The section about training: AP on val during it, and which model of a training the numbers are of."""

import json

import pytest
from page_factory import Page, section
from report_factory import run_parameters

from bcnet.files import InputError
from bcnet.report.page.page import report

HEAD = "iteration,AP,AP50,AP75,images,annotations_sha256\n"
WARNING = "numbers on val are higher than on new images"


def write_curve(project, method: str, seed: int, *aps: float) -> None:
    folder = project / f"data/demo/models/{method}/{seed}/validation"
    folder.mkdir()
    rows = [f"{100 * place},{ap},50,20,40,ab\n" for place, ap in enumerate(aps, 1)]
    (folder / "curve.csv").write_text(HEAD + "".join(rows))


def made(project) -> str:
    report(run_parameters(), project / "data", project / "reports")
    return (project / "reports/demo/index.html").read_text(encoding="utf-8")


def test_ap_on_val_is_drawn_for_the_trainings_that_measured_it(copied):
    assert "images of val, spread" not in made(copied)
    write_curve(copied, "mask-rcnn", 0, 10.5, 20.25)
    write_curve(copied, "mask-rcnn", 1, 11.5, 19.25)
    write_curve(copied, "bcnet", 0)  # which did not validate
    html = section(made(copied), "training")
    assert "AP of masks on 40 images of val, spread evenly over it" in " ".join(Page(html).text.split())
    assert (copied / "reports/demo/figures/validation.svg").exists()
    chart = html.partition("AP on a part of val against iteration")[2].partition("</svg>")[0]
    assert chart.count("stroke-dasharray") >= 1  # the second seed's
    legend = html.partition("AP on a part of val against iteration")[0]
    assert "mask-rcnn" in legend
    assert "BCNet" not in legend


def test_a_broken_curve_is_named(copied):
    write_curve(copied, "mask-rcnn", 0, "low")
    with pytest.raises(InputError, match=r"curve\.csv: row 1, AP: 'low': expected a number"):
        made(copied)


def test_numbers_of_models_that_were_chosen_on_val_say_so(copied):
    assert WARNING not in " ".join(Page(made(copied)).text.split())
    path = copied / "reports/demo/metrics/bcnet/1/val.json"
    content = json.loads(path.read_text())
    content["provenance"]["best"] = {"iteration": 300, "AP": 0.31, "images": 40}
    path.write_text(json.dumps(content))
    text = " ".join(Page(made(copied)).text.split())
    assert WARNING in text
    assert "best.iteration 300" in text
