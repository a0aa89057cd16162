"""One small real run through both tools: each makes the same bytes, and leaves the other nothing to do."""

import csv
import json
from pathlib import Path

import pandas
import pytest
from pipeline_factory import clone, made, run
from warm_programs import programs


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that notes which verbs either tool has run as the real program: each once."""
    return tmp_path_factory.mktemp("started")


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory, started: Path) -> Path:
    folder = clone(tmp_path_factory.mktemp("snakemake"))
    warm = programs(folder.with_name("programs"), started)
    run(folder, "snakemake", "--cores", "1", programs=warm)  # one, so that its number of threads is the one below
    return folder


def test_after_snakemake_dvc_has_nothing_to_do(by_snakemake: Path) -> None:
    assert "up to date" in run(by_snakemake, "dvc", "repro")


def test_dvc_makes_the_same_bytes_and_then_snakemake_has_nothing_to_do(
    by_snakemake: Path, started: Path, tmp_path: Path
) -> None:
    folder = clone(tmp_path / "clone")
    run(folder, "dvc", "repro", programs=programs(tmp_path / "programs", started))
    ours, theirs = made(by_snakemake), made(folder)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert "Nothing to be done" in run(folder, "snakemake", "--cores", "1")


def test_tables_say_what_the_metrics_say(by_snakemake: Path) -> None:
    reports = by_snakemake / "reports/demo"
    with (reports / "tables/comparison.csv").open() as file:
        rows = {(row["label"], row["split"]): row for row in csv.DictReader(file)}
    assert rows.keys() == {(label, split) for label in ("Mask R-CNN", "BCNet") for split in ("val", "occluded")}
    for (label, split), row in rows.items():
        name = {"Mask R-CNN": "mask-rcnn", "BCNet": "bcnet"}[label]
        metrics = json.loads((reports / f"metrics/{name}/0/{split}.json").read_text())
        assert float(row["AP"]) == pytest.approx(100 * metrics["segm"]["AP"], abs=0.005)
        objects = pandas.read_parquet(reports / f"metrics/{name}/0/{split}.parquet")
        assert int(row["objects"]) == len(objects) == metrics["provenance"]["objects"]
        assert metrics["provenance"]["masks"] == "visible"


def test_dvc_shows_the_numbers_of_the_tables(by_snakemake: Path) -> None:
    """Each method and split in a file of numbers only, and recall as a chart of all methods."""
    with (by_snakemake / "reports/demo/tables/comparison.csv").open() as file:
        expected = {(row["label"], row["split"]): float(row["AP"]) for row in csv.DictReader(file)}
    (shown,) = json.loads(run(by_snakemake, "dvc", "metrics", "show", "--json")).values()
    labels = {"mask-rcnn": "Mask R-CNN", "bcnet": "BCNet"}
    found = {Path(path).parts[-2:]: content["data"] for path, content in shown["data"].items()}
    assert {(labels[name], Path(split).stem): each["AP"] for (name, split), each in found.items()} == expected
    assert all(isinstance(numbers["boundary_AP"], float) for numbers in found.values())
    (chart,) = json.loads(run(by_snakemake, "dvc", "plots", "show", "--json"))["data"]["Recall by occlusion"]
    drawn = chart["content"]
    with (by_snakemake / "reports/demo/tables/recall.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = drawn["data"]["values"]
    assert [{key: point[key] for key in rows[0]} for point in points] == rows
    assert "datum['AR']" in json.dumps(drawn["transform"])


def test_the_report_shows_every_row(by_snakemake: Path) -> None:
    page = (by_snakemake / "reports/demo/index.html").read_text()
    assert all(text in page for text in ("Mask R-CNN", "BCNet", "occluded", "with results on COCO"))


def test_the_report_shows_how_long_a_picture_took(by_snakemake: Path) -> None:
    page = (by_snakemake / "reports/demo/index.html").read_text()
    for name in ("mask-rcnn", "bcnet"):
        speed = json.loads((by_snakemake / f"data/demo/predictions/{name}/0/val.speed.json").read_text())
        assert (speed["device"], speed["pictures"]) == ("CPU, 1 thread", 4)
        assert f">{1000 * speed['median_seconds']:.1f}<small" in page
        assert f">{1000 * speed['median_processor_seconds']:.1f}<" in page


def test_logs_and_benchmarks_of_every_stage(by_snakemake: Path) -> None:
    stages = {"fetch", "convert", "split", "weights", "train", "predict", "evaluate", "compare", "report"}
    stages |= {"convert_shard", "predict_shard"}
    for top, ending in (("logs/demo", ".log"), ("benchmarks/results/demo", ".tsv")):
        files = [path.relative_to(by_snakemake / top) for path in (by_snakemake / top).rglob(f"*{ending}")]
        assert {path.parts[0].removesuffix(ending) for path in files} == stages
