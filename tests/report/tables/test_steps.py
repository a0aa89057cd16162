"""Ablation steps: which variants differ in one switch, and what `bcnet compare` and the page say of them."""

import pytest
import report_factory
from model_factory import build
from page_factory import section
from places import ROOT
from report_factory import run_parameters, write_run
from tables_factory import parameters, rows, write_reports

from bcnet import params
from bcnet.files import InputError
from bcnet.params import Params, methods
from bcnet.report.figures import rois
from bcnet.report.page.page import report
from bcnet.report.tables.ablation_steps import settings, steps
from bcnet.report.tables.compare import compare

PRESETS = ROOT / "presets"
BASE = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0"}
SINGLE = {**BASE, "method": "bcnet", "structure": "single"}
NO_CONTOUR = {**SINGLE, "target": {"contour": False}}
BCNET = {**BASE, "method": "bcnet"}


def preset(name: str, **changes: object) -> Params:
    content = params.load(PRESETS / f"{name}.yaml").model_dump(mode="json", exclude_unset=True)
    return Params.model_validate(content | changes)


def of(run: Params) -> list[tuple[str, ...]]:
    return [(step.baseline.name, step.method.name, *step[2:]) for step in steps(run)]


def test_the_steps_of_the_ablations():
    assert of(preset("shapes-ablation")) == [
        ("mask-rcnn", "mask-rcnn-agnostic", "class_agnostic", "false", "true"),
        ("single", "bcnet", "structure", "single", "bilayer"),
        ("single", "single-gcn", "target.contour", "true", "false"),
        ("bcnet", "bcnet-contour", "occluder.mask", "true", "false"),
        ("bcnet", "bcnet-mask", "occluder.contour", "true", "false"),
        ("bcnet", "bcnet-fcn", "layer", "gcn", "fcn"),
        ("bcnet", "bcnet-projection", "fusion", "sum", "projection"),
        ("bcnet", "bcnet-balanced", "occluder_rois", "released", "balanced"),
        ("bcnet", "bcnet-all-rois", "occluder_rois", "released", "all"),
        ("bcnet", "bcnet-dice", "contour_loss", "bce", "bce_dice"),
        ("bcnet", "bcnet-occluder-1", "loss_weights.occluder_mask", "0.25", "1.0"),
        ("bcnet", "bcnet-pan", "neck", "fpn", "pan"),
        ("bcnet", "bcnet-mask-iou", "mask_iou", "false", "true"),
        ("fcos-single", "fcos-bcnet", "structure", "single", "bilayer"),
        ("fcos-bcnet", "fcos-bcnet-gt", "mask_rois", "proposals", "ground_truth"),
        ("mask-rcnn-agnostic", "single-fcn", "depth", "4", "8"),
        ("single-fcn", "single-gcn", "layer", "fcn", "gcn"),
        ("bcnet-mask", "bcnet-no-contours", "target.contour", "true", "false"),
        ("bcnet-balanced", "bcnet-all-rois", "occluder_rois", "balanced", "all"),
    ]
    assert of(preset("demo")) == []  # Mask R-CNN and BCNet differ in much


@pytest.mark.parametrize(
    ("one", "other", "switch"),
    [
        (SINGLE, {**BCNET, "occluder": {"mask": False}}, None),  # no occluder layer, and half of one
        (SINGLE, {**SINGLE, "loss_weights": {"occluder_mask": 0.7}}, None),  # of an occluder layer that neither has
        (SINGLE, {**BCNET, "loss_weights": {"occluder_mask": 0.7}}, None),  # which the second one has
        (SINGLE, {**SINGLE, "depth": 4}, "depth"),
        (SINGLE, {**SINGLE, "fusion": "projection"}, "fusion"),
        (NO_CONTOUR, {**SINGLE, "contour_loss": "bce_dice"}, None),
        (NO_CONTOUR, {**NO_CONTOUR, "contour_loss": "bce_dice"}, None),  # of contours that neither has
        (
            {**BCNET, "target": {"contour": False}},
            {**BCNET, "target": {"contour": False}, "contour_loss": "bce_dice"},
            "contour_loss",
        ),
        ({**BASE, "method": "mask_rcnn"}, {**BASE, "method": "pointrend"}, None),
        (
            {**BASE, "method": "pointrend"},
            {**BASE, "method": "pointrend", "class_agnostic": True},
            "class_agnostic",
        ),
        (BCNET, {**BCNET, "class_agnostic": True}, None),  # which it is
        (BCNET, {**BCNET, "class_agnostic": False}, "class_agnostic"),
        (BCNET, {**BCNET, "schedule": {"lr": 0.005}}, "schedule.lr"),
        (BCNET, {**BCNET, "schedule": {"lr": 0.005, "batch": 2}}, None),
        (BCNET, {**BCNET, "schedule": {"lr": 0.005, "processes": 2, "validate_every": 100}}, "schedule.lr"),
        (BCNET, {**BCNET, "schedule": {"validate_every": 100}}, None),  # which changes no weight
        (BCNET, {**BCNET, "backbone": "resnet50"}, "backbone"),
        (BCNET, {**BCNET, "masks": "amodal"}, "masks"),
    ],
)
def test_what_counts_as_one_switch(one, other, switch):
    found = of(preset("demo", variants={"one": one, "other": other}))
    assert [step[2] for step in found] == ([switch] if switch else [])


@pytest.mark.parametrize("name", ["shapes-ablation", "ablation", "coco"])
def test_the_switch_turns_the_one_variant_into_the_other(name):
    """Written into the first one's section of params.yaml, whose settings then are the second one's."""
    run = preset(name)
    assert steps(run)
    for step in steps(run):
        changed = run.variants[step.baseline.name].model_dump(mode="json", exclude_unset=True)
        if changed["method"] == "mask_rcnn" and step.switch not in ("class_agnostic", "detector", "backbone"):
            own = {"structure": "single", "depth": 4, "layer": "fcn", "target": {"contour": False}}
            changed |= own | {"method": "bcnet", "class_agnostic": changed.get("class_agnostic") or False}
        *above, last = step.switch.split(".")
        section = changed
        for key in above:
            section = section.setdefault(key, {})
        section[last] = {"true": True, "false": False}.get(step.after, step.after)
        variant = methods.variant(**_numbers(changed))
        assert settings(run, variant) == settings(run, run.variants[step.method.name])


def _numbers(values: dict) -> dict:
    """Texts that are numbers as numbers."""

    def number(value: object) -> object:
        if isinstance(value, dict):
            return _numbers(value)
        return float(value) if isinstance(value, str) and value.replace(".", "").isdigit() else value

    return {key: number(value) for key, value in values.items()}


def test_mask_rcnns_head_has_the_convolutions_of_a_plain_single_layer():
    def shapes(**own: object) -> list[tuple[int, ...]]:
        head = build(methods.variant(**{**BASE, **own}), classes=5).roi_heads.mask_head
        return sorted(tuple(parameter.shape) for parameter in head.parameters())

    plain = {"structure": "single", "depth": 4, "layer": "fcn", "class_agnostic": False, "target": {"contour": False}}
    assert shapes(method="mask_rcnn") == shapes(method="bcnet", **plain)


def test_steps_are_rows_with_their_switch(tmp_path):
    """The same numbers as the same pair's in differences.csv."""
    reports = write_reports(tmp_path)
    variants = {"mask-rcnn": {**SINGLE, "label": "Single"}, "bcnet": {**BCNET, "label": "BCNet"}}
    compare(parameters(variants=variants), reports)
    found = rows(reports, "ablations.csv")
    assert list(found[0])[:3] == ["switch", "before", "after"]
    switches = [[row.pop(key) for key in ("switch", "before", "after")] for row in found]
    assert switches == [["structure", "single", "bilayer"]] * len(found)
    of_pair = [row for row in rows(reports, "differences.csv") if row["label"] == "BCNet"]
    for row in found + of_pair:  # p is corrected for how many each table has
        row.pop("p_corrected"), row.pop("verdict")
    assert found == of_pair
    compare(parameters(), reports)
    assert rows(reports, "ablations.csv") == []


def test_the_page_has_a_section_of_steps_where_there_are_any(tmp_path, monkeypatch):
    monkeypatch.setattr(rois, "load_model", report_factory.load_model)
    monkeypatch.setattr(rois, "detect", report_factory.detect)
    write_run(tmp_path)
    data, reports = tmp_path / "data", tmp_path / "reports"
    page = reports / "demo/index.html"
    report(run_parameters(), data, reports)
    assert '<section id="ablations">' not in page.read_text(encoding="utf-8")
    variants = {"mask-rcnn": {**SINGLE, "label": "<i>Single</i>"}, "bcnet": {**BCNET, "label": "BCNet"}}
    changed = run_parameters(variants=variants)
    compare(changed, reports)
    report(changed, data, reports)
    text = page.read_text(encoding="utf-8")
    of_steps = section(text, "ablations")
    assert of_steps.count("structure: single → bilayer<small") == 2
    assert "&lt;i&gt;Single&lt;/i&gt; → BCNet" in of_steps
    differences = section(text, "differences")
    values = [
        row["difference"].replace("-", "\N{MINUS SIGN}")
        for row in rows(reports, "ablations.csv")
        if row["metric"] == "AP"
    ]
    for value in values:
        assert value in of_steps
        assert value in differences


def test_steps_of_another_run_are_refused(tmp_path):
    write_run(tmp_path)
    compare(
        run_parameters(variants={"mask-rcnn": SINGLE, "bcnet": {**BCNET, "label": "Renamed"}}), tmp_path / "reports"
    )
    other = (tmp_path / "reports/demo/tables/ablations.csv").read_bytes()
    compare(run_parameters(), tmp_path / "reports")
    (tmp_path / "reports/demo/tables/ablations.csv").write_bytes(other)
    with pytest.raises(
        InputError, match=r"ablations\.csv: rows of 'Renamed', no method of this run: run `bcnet compare`"
    ):
        report(run_parameters(), tmp_path / "data", tmp_path / "reports")


def test_a_missing_table_of_steps_is_named(tmp_path):
    write_run(tmp_path)
    (tmp_path / "reports/demo/tables/ablations.csv").unlink()
    with pytest.raises(InputError, match=r"ablations\.csv: missing, `bcnet compare` makes it"):
        report(run_parameters(), tmp_path / "data", tmp_path / "reports")
