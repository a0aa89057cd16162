"""All sixteen rows of the paper's result table, decided from files of predictions."""

import json
from pathlib import Path

import pytest
from evaluation_factory import rle
from places import ROOT
from tables_factory import parameters, rows

from bcnet.evaluation.evaluate import evaluate
from bcnet.layout import BROUGHT, ReportFiles
from bcnet.params.reference import read_reference
from bcnet.report.tables.compare import compare

REFERENCE = ROOT / "reference" / "results.yaml"
TABLE = "table8_coco_test_dev"
OBJECTS, SIDE = 101, 20


def truth() -> dict:
    """A square in each of the images."""
    images = [{"id": i + 1, "file_name": f"{i}.png", "height": SIDE + 4, "width": SIDE + 4} for i in range(OBJECTS)]
    shape = {"segmentation": square(SIDE), "bbox": [2, 2, SIDE, SIDE], "area": SIDE * SIDE}
    about = {"category_id": 1, "iscrowd": 0}
    annotations = [{"id": i + 1, "image_id": i + 1, **about, **shape} for i in range(OBJECTS)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}


def square(width: int) -> dict:
    """The left part of an object, so wide."""
    return rle((2, 2, width, SIDE), (SIDE + 4, SIDE + 4))


def predictions(ap: float) -> list[dict]:
    """Right ones whose AP, in percent, is this one but for a twentieth.

    COCO reads precision at 101 recalls, so that k of 101 objects give k / 101 at a threshold of IoU. The last object is
    found only up to one of the ten thresholds.
    """
    whole, tenths = divmod(round(ap / 100 * 10 * OBJECTS), 10)
    entry = {"category_id": 1, "score": 0.9}
    found = [{**entry, "image_id": image + 1, "segmentation": square(SIDE)} for image in range(whole)]
    if tenths:  # an IoU of .50, .55, … .90
        found.append({**entry, "image_id": whole + 1, "segmentation": square(SIDE // 2 + tenths - 1)})
    return found


@pytest.mark.parametrize(("more", "verdict"), [(0, "reproduced"), (-1, "not reproduced")])
def test_each_row_is_decided_from_predictions_with_its_ap(tmp_path: Path, more: float, verdict: str) -> None:
    published = read_reference([TABLE], REFERENCE)[TABLE]
    assert len(published) == 16
    names = {f"row-{place}": row for place, row in enumerate(published)}
    run = parameters(
        datasets={"demo": {"source": "coco"}},
        imported={},
        predictions={name: {"file": f"{name}.json", "label": row.name} for name, row in names.items()},
        splits={"val": {"rule": "all"}},
        tables={
            "metrics": ["AP"],
            "draws": 5,
            "published": [TABLE],
            "reproduces": {name: {"table": TABLE, "row": row.name, "split": "val"} for name, row in names.items()},
            "tolerance": 0.5,
        },
    )
    (tmp_path / "val.json").write_text(json.dumps(truth()))
    for name, row in names.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(predictions(row.numbers["AP"] + more)))
        out = ReportFiles(tmp_path / "demo").metrics(name, BROUGHT, "val")
        out.parent.mkdir(parents=True)
        evaluate(tmp_path / "val.json", file, out, run.evaluate)
    compare(run, tmp_path, REFERENCE)
    decided = [row for row in rows(tmp_path, "published.csv") if row["metric"] == "AP"]
    assert [row["label"] for row in decided] == [row.name for row in published]
    assert [float(row["published"]) for row in decided] == [row.numbers["AP"] for row in published]
    for row in decided:
        assert float(row["value"]) == pytest.approx(float(row["published"]) + more, abs=0.06)
    assert {row["verdict"] for row in decided} == {verdict}
