"""What `evaluate` keeps of the bootstrap is what would be drawn again from its tables, and is read with these alone."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_factory import made

from bcnet import layout
from bcnet.evaluation.evaluate import evaluate
from bcnet.evaluation.matching.outcomes import KINDS
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric, precision_metrics
from bcnet.evaluation.statistics.drawn import drawn_numbers
from bcnet.evaluation.statistics.kept_draws import kept_draws
from bcnet.evaluation.statistics.resampling import run_of
from bcnet.evaluation.statistics.significance import draw_images
from bcnet.params.results import Evaluate

SETTINGS = Evaluate(draws=50)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """The metrics of an evaluation, with its tables beside them."""
    folder = tmp_path_factory.mktemp("evaluated")
    for name, content in zip(("truth", "found"), made(3, images=12), strict=True):
        (folder / f"{name}.json").write_text(json.dumps(content))
    evaluate(folder / "truth.json", folder / "found.json", folder / "out.json", SETTINGS)
    return folder / "out.json"


def kept(out: Path, draws: int = 50) -> dict[Metric, np.ndarray]:
    return kept_draws(layout.draw_table(out), [layout.detection_table(out), layout.object_table(out)], draws)


def test_it_is_what_the_tables_give(out):
    detections, objects = pq.read_table(layout.detection_table(out)), pq.read_table(layout.object_table(out))
    runs = {kind: run_of(detections, objects, kind) for kind in KINDS["segm"]}
    metrics, times = ("AP", "AP50", "AP75", "APs", "AR100"), draw_images(12, 50)
    anew = drawn_numbers(runs, objects, SETTINGS.bins(), metrics, times)
    read = kept(out)
    assert {Metric("AP"), Metric("AP50"), Metric("box_AP"), Metric("boundary_AP"), Metric("leak")} <= read.keys()
    of_evaluate = set(precision_metrics(SETTINGS.bins()))  # the tables do not say which object a detection is given
    assert of_evaluate <= read.keys()
    for metric in read.keys() - of_evaluate:
        np.testing.assert_allclose(read[metric], anew[metric].values, rtol=0, atol=1e-12)
    with_them = drawn_numbers(runs, objects, SETTINGS.bins(), metrics, times, read)
    assert with_them.keys() == anew.keys() | of_evaluate
    for metric, number in anew.items():
        np.testing.assert_allclose(with_them[metric].values, number.values, rtol=0, atol=1e-12)
        assert with_them[metric].sample == number.sample
    for metric in of_evaluate:
        np.testing.assert_array_equal(with_them[metric].values, read[metric])
        assert with_them[metric].sample.objects == anew[metric._replace(metric="AR")].sample.objects


def test_what_is_kept_is_not_computed(out):
    detections, objects = pq.read_table(layout.detection_table(out)), pq.read_table(layout.object_table(out))
    runs = {"segm": run_of(detections, objects)}
    marks = {metric: np.full(51, place / 100) for place, metric in enumerate(kept(out))}
    numbers = drawn_numbers(runs, objects, SETTINGS.bins(), ("AP", "AP50"), draw_images(12, 50), marks)
    for metric in (Metric("AP"), Metric("AP50"), Metric("found"), Metric("leak")):
        assert numbers[metric].values is marks[metric]


def test_other_tables_or_draws_are_not_read(out):
    assert kept(out)
    assert kept(out, draws=49) == {}
    for table_of in (layout.detection_table, layout.object_table):
        table, content = table_of(out), table_of(out).read_bytes()
        pq.write_table(pq.read_table(table).slice(1), table)
        assert kept(out) == {}
        table.write_bytes(content)
    layout.draw_table(out).unlink()
    assert kept(out) == {}
