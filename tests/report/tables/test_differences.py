"""`bcnet compare`: how much better each method is than another, in percent.

The made objects are found at so many of the ten IoU thresholds, all of a run alike: AP and recall are a tenth of that.
"""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from evaluation_factory import write_tables
from scipy import stats
from tables_factory import LABELS, TABLES, differences_of, parameters, rows

from bcnet import layout
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import Drawn
from bcnet.evaluation.statistics.kept_draws import draw_table
from bcnet.evaluation.statistics.samples import Sample
from bcnet.files import InputError
from bcnet.report.tables.compare import compare
from bcnet.report.tables.differences import with_verdicts

ALIKE = f"{100 * (1 - 0.025 ** (1 / 150)):.2f}"  # what 150 images that are all alike leave open


def test_each_method_is_set_against_the_first_variant(reports):
    compare(parameters(), reports)
    table = rows(reports, "differences.csv")
    about = ["origin", "label", "baseline_origin", "baseline", "split", "metric", "measure", "from", "to", "occluder"]
    assert list(table[0]) == [
        *about,
        *("difference", "std", "low", "high", "p", "p_corrected", "objects", "seeds", "draws", "verdict", "why"),
    ]
    names = ("AP", "AP50", "APs", "box_AP", "boundary_AP", "found", "found_occluded", "found_separated", "leak")
    names += ("leak_found_by_both",)
    metrics = [(name, "", "", "", "") for name in names]
    metrics += [("AR", "box_cover", "0.0", "0.125", ""), ("AR", "box_cover", "0.125", "1.0", "")]
    metrics += [("AR", "mask_cover", "0.0", "1.0", "")]
    metrics += [("AR", "max_box_iou", "0.0", "0.5", ""), ("AR", "max_box_iou", "0.5", "1.0", "")]
    metrics += [("AR", "occluder", "", "", name) for name in ("none", "other category", "same category")]
    metrics += [("AR_equal_size_gap", name, "", "", "") for name in ("box_cover", "mask_cover", "max_box_iou")]
    assert [tuple(row[key] for key in about) for row in table] == [
        (origin, label, "measured here", "Mask R-CNN", split, *metric)
        for split in ("val", "occluded")
        for origin, label in (
            ("measured here", "BCNet"),
            ("imported", "The zoo's"),
            ("brought", "YOLOv8n"),
            ("brought", "A detector"),
        )
        for metric in metrics
    ]


def test_the_difference_is_of_the_means_over_seeds(reports):
    """70 - 40, 50 - 40, 80 - 50; images are all alike, so that it is the paired t-test."""
    compare(parameters(tables=TABLES), reports)
    ours = differences_of(reports, "BCNet")
    alike = [("AP", ""), ("AR", "0.0"), ("AR", "0.125")]
    alike += [("AR", "mask_cover", "0.0"), ("AR", "max_box_iou", "0.5"), ("AR", "occluder", "same category")]
    for key in alike:
        row = ours[key]
        assert (row["difference"], row["std"]) == ("23.33", "11.55")
        test = stats.ttest_1samp([30, 10, 30], 0)
        assert [float(row["low"]), float(row["high"])] == pytest.approx(list(test.confidence_interval()), abs=2)
        assert float(row["p"]) == pytest.approx(test.pvalue, abs=0.01)
        assert (row["seeds"], row["draws"], row["why"]) == ("3", "200", "")
    boxes, boundaries = ours["box_AP", ""], ours["boundary_AP", ""]  # 100 - 80, 100 - 80, 100 - 100; 30, 20, 40 - 20
    assert (boxes["difference"], boxes["std"]) == ("13.33", "11.55")
    assert (boundaries["difference"], boundaries["std"]) == ("10.00", "10.00")
    same = ours["AP50", ""]
    assert [same[key] for key in ("difference", "std", "low", "high", "p")] == [
        "0.00",
        "0.00",
        f"-{ALIKE}",
        ALIKE,
        "1",
    ]


def test_what_is_found_and_what_leaks_is_of_its_own_objects(reports):
    """Found from level 6 on: two of three seeds against none. Leak of level l is 10 - l tenths: 3, 5, 2 to 6, 6, 5."""
    compare(parameters(tables=TABLES), reports)
    ours = differences_of(reports, "BCNet")
    assert [ours[name, ""]["difference"] for name in ("found", "found_occluded", "found_separated")] == ["66.67"] * 3
    assert (ours["leak", ""]["difference"], ours["leak", ""]["std"]) == ("-23.33", "11.55")
    path = reports / "demo" / "metrics" / "bcnet" / "0" / "val.json"
    levels = [4] * 905  # of those that are separated every second found, of those occluded a fifth of these
    levels[::10] = [10] * len(levels[::10])
    write_tables(path, 150, levels, [0.0] * 700 + [0.5] * 205)
    compare(parameters(seeds=[0], tables=TABLES), reports)
    ours = differences_of(reports, "BCNet")
    assert [ours[name, ""]["difference"] for name in ("found", "found_occluded", "found_separated")] == [
        f"{100 * 91 / 905:.2f}",
        f"{100 * 21 / 205:.2f}",
        f"{100 * 91 / 181:.2f}",
    ]
    assert ours["leak", ""]["difference"] == f"{-100 * 0.6 * 21 / 205:.2f}"


def test_leak_is_also_compared_on_the_objects_that_both_find(reports):
    """One finds the easy half of the covered objects, which leak little, the other all: as a whole it leaks more."""
    easy = [place % 150 < 75 for place in range(905)]
    levels = {"mask-rcnn": [9 if each else 0 for each in easy], "bcnet": [9 if each else 3 for each in easy]}
    for name, of_method in levels.items():
        path = reports / "demo" / "metrics" / name / "0" / "val.json"
        write_tables(path, 150, of_method, [0.5] * 905)
    compare(parameters(seeds=[0], tables=TABLES), reports)
    ours = differences_of(reports, "BCNet")
    both, each_own = ours["leak_found_by_both", ""], ours["leak", ""]
    assert (both["difference"], both["objects"]) == ("0.00", str(sum(easy)))
    assert each_own["difference"] == f"{100 * 0.6 * (1 - sum(easy) / 905):.2f}"
    assert (each_own["objects"], each_own["verdict"], both["verdict"]) == (str(sum(easy)), "higher", "not clear")


def test_each_p_is_corrected_for_all_of_the_table_and_decides_the_verdict(reports):
    random = np.random.default_rng(0)
    for name, skill in (("mask-rcnn", 4.0), ("bcnet", 4.4)):
        for split in ("val", "occluded"):
            level = (skill + random.normal(scale=3, size=905)).round().clip(0, 10).astype(int).tolist()
            covers = [0.0] * 895 + [0.5] * 10
            write_tables(reports / "demo" / "metrics" / name / "0" / f"{split}.json", 150, level, covers)
    compare(parameters(seeds=[0], tables=TABLES, imported={}, predictions={}), reports)
    table = [row for row in rows(reports, "differences.csv") if row["p"]]
    assert {row["verdict"] for row in table} == {"higher", "not clear", "few objects"}
    p = [float(row["p"]) for row in table]
    for row in table:
        slow = min(other * len(p) / sum(each <= other for each in p) for other in p if other >= float(row["p"]))
        assert float(row["p_corrected"]) == pytest.approx(min(1, slow), rel=0.15)  # both have two digits in the file
        if int(row["objects"]) < 20:
            assert row["verdict"] == "few objects"
        elif abs(float(row["p_corrected"]) - 0.05) > 0.001:
            clear = float(row["p_corrected"]) < 0.05
            assert (row["verdict"] in ("higher", "lower")) == clear
            assert not clear or (row["verdict"] == "higher") == (float(row["difference"]) > 0)
    of_few = differences_of(reports, "BCNet")["AR", "0.125"]
    assert (of_few["objects"], of_few["verdict"]) == ("10", "few objects")


def test_a_win_on_five_objects_is_no_win():
    """However small p is."""
    row = {"p": 1e-9, "difference": 50.0, "objects": 5, "images": 5}
    assert [each["verdict"] for each in with_verdicts([row, row | {"objects": 50, "images": 50}])] == [
        "few objects",
        "higher",
    ]
    assert with_verdicts([row | {"objects": 500}])[0]["verdict"] == "few objects"  # of five images
    assert with_verdicts([row | {"p": None}])[0]["verdict"] is None


def test_boxes_differ_in_box_ap_only(reports):
    """40 - 80, 40 - 80, 40 - 100."""
    compare(parameters(tables=TABLES), reports)
    boxes = differences_of(reports, "A detector")
    assert (boxes["box_AP", ""]["difference"], boxes["box_AP", ""]["std"]) == ("-46.67", "11.55")
    for key, row in boxes.items():
        assert (row["why"] == "") is (key == ("box_AP", ""))
        assert row["why"] in (
            "",
            "difference, std, low, high, p, p_corrected, objects, draws: the predictions are boxes",
        )


def test_brought_predictions_are_compared_with_each_seed(reports):
    """50 - 40, 50 - 40, 50 - 50."""
    compare(parameters(tables=TABLES), reports)
    row = differences_of(reports, "YOLOv8n")["AP", ""]
    assert (row["difference"], row["std"], row["seeds"]) == ("6.67", "5.77", "3")


def test_one_seed_has_no_spread(reports):
    compare(parameters(seeds=[1], tables=TABLES | {"compare_to": ["yolo"]}), reports)
    row = differences_of(reports, "BCNet", baseline="YOLOv8n")["AP", ""]
    assert (row["difference"], row["std"], row["low"], row["high"]) == ("0.00", "", f"-{ALIKE}", ALIKE)
    assert (row["seeds"], row["why"]) == ("1", "std: one run")
    assert row["baseline_origin"] == "brought"


def test_several_baselines_each_have_their_rows(reports):
    compare(parameters(tables=TABLES | {"compare_to": ["bcnet", "mask-rcnn"]}), reports)
    table = rows(reports, "differences.csv")
    assert len(table) == 2 * 2 * 4 * 21
    assert {row["label"] for row in table if row["baseline"] == "BCNet"} == set(LABELS.values()) - {"BCNet"}
    turned = differences_of(reports, "Mask R-CNN", baseline="BCNet")["AP", ""]
    ours = differences_of(reports, "BCNet")["AP", ""]
    assert float(ours["low"]) < float(ours["difference"]) < float(ours["high"])
    assert [float(turned[key]) for key in ("difference", "low", "high")] == [
        -float(ours[key]) for key in ("difference", "high", "low")
    ]


def test_pictures_of_different_difficulty_widen_the_interval(reports):
    """One seed; of 150 pictures the first 75 differ by 40, the others by nothing."""
    path = reports / "demo" / "metrics" / "bcnet" / "0" / "val.json"
    write_tables(path, 150, [8 if place % 150 < 75 else 4 for place in range(905)], [0.0] * 905)
    write_tables(reports / "demo" / "metrics" / "mask-rcnn" / "0" / "val.json", 150, [4] * 905, [0.0] * 905)
    compare(parameters(seeds=[0], tables={"metrics": [], "draws": 2000}), reports)
    row = differences_of(reports, "BCNet")["AR", "0.0"]
    assert float(row["difference"]) == pytest.approx(20, abs=0.2)
    half = 1.96 * 40 * (0.5 * 0.5 / 150) ** 0.5
    assert float(row["low"]) == pytest.approx(20 - half, abs=0.5)
    assert float(row["high"]) == pytest.approx(20 + half, abs=0.5)


def test_what_both_methods_owe_to_a_picture_does_not_widen_the_interval(reports):
    """Pictures differ by up to 70 points, the methods by 20 on each: they are drawn together."""
    levels = [place % 150 % 8 for place in range(905)]
    for name, more in (("mask-rcnn", 0), ("bcnet", 2)):
        path = reports / "demo" / "metrics" / name / "0" / "val.json"
        write_tables(path, 150, [level + more for level in levels], [0.0] * 905)
    compare(parameters(seeds=[0], tables={"metrics": ["AP"], "draws": 200}), reports)
    row = differences_of(reports, "BCNet")["AR", "0.0"]
    assert row["difference"] == "20.00"
    assert float(row["high"]) - float(row["low"]) < 5


def test_the_long_table_holds_the_differences_in_full(reports):
    compare(parameters(), reports)
    long = pd.read_parquet(reports / "demo" / "tables" / "tables.parquet")
    long = long[long["table"] == "differences"]
    assert len(long) == 9 * len(rows(reports, "differences.csv"))
    mine = long[(long["label"] == "BCNet") & (long["split"] == "val") & (long["metric"] == "AP")]
    row = mine[mine["column"] == "difference"].iloc[0]
    assert row["value"] == pytest.approx(70 / 3, abs=1e-9)
    assert (row["baseline"], row["baseline_origin"]) == ("Mask R-CNN", "measured here")
    assert [each["name"] for each in json.loads(row["provenance"])] == 3 * ["bcnet"] + 3 * ["mask-rcnn"]


def test_draws_that_an_evaluation_kept_are_taken(reports):
    path = reports / "demo" / "metrics" / "zoo" / "imported" / "val.json"
    tables = [layout.detection_table(path), layout.object_table(path)]
    compare(parameters(tables=TABLES), reports)
    before = differences_of(reports, "The zoo's")
    sample = Sample(objects=100, images=50, widening=1.0, freedom=49.0)
    kept = {Metric("AP"): Drawn(np.full(201, 0.25), sample)}
    pq.write_table(draw_table(kept, tables), layout.draw_table(path))
    compare(parameters(tables=TABLES), reports)
    after = differences_of(reports, "The zoo's")
    assert [key for key in after if after[key]["difference"] != before[key]["difference"]] == [("AP", "")]
    layout.draw_table(path).write_bytes(b"no table")
    with pytest.raises(InputError, match=rf"^{layout.draw_table(path)}: .*: expected what `bcnet evaluate"):
        compare(parameters(tables=TABLES), reports)
