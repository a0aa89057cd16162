"""One small real run through both tools: each makes the same bytes, and leaves the other nothing to do."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from copies import copy_of
from places import ROOT
from ruamel.yaml import YAML

GRAPH_FILES = ["dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/plots", "Snakefile", "workflow", "profiles"]
GRAPH_FILES += ["reference", "pretrained"]


def clone(folder: Path) -> Path:
    """The project's graph with parameters for a run of a minute: ten pictures of 64 pixels, eight iterations."""
    for name in GRAPH_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy_of(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load(ROOT / "presets/demo.yaml")
    params["datasets"]["demo"] |= {"size": 64, "train": 8, "val": 4}
    params["schedule"] |= {"iterations": 8, "batch": 2, "warmup": 2, "short_side": [64], "max_side": 64}
    params["predict"] |= {"short_side": 64, "max_side": 64}
    params["model"] |= {"rois": 16, "fpn_channels": 32, "box_channels": 32}
    yaml.dump(params, folder / "params.yaml")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def run(folder: Path, tool: str, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def made(folder: Path) -> dict[str, bytes]:
    """Every file that a stage makes, but for logs and pictures; empty in the place of seconds, which no run repeats."""
    files = [path for top in ("data/demo", "reports") for path in (folder / top).rglob("*") if path.is_file()]
    files = [path for path in files if path.name != ".snakemake_timestamp"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    page = "reports/demo/index.html"
    found[page] = re.sub(rb'<section id="size">.*?</section>', b"", found[page], flags=re.DOTALL)
    return {name: b"" if name.endswith((".speed.json", "/speed.svg")) else content for name, content in found.items()}


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("snakemake"))
    run(folder, "snakemake", "--cores", "1")  # one, so that Snakemake's number of threads is the one below
    return folder


def test_after_snakemake_dvc_has_nothing_to_do(by_snakemake: Path) -> None:
    assert "up to date" in run(by_snakemake, "dvc", "repro")


def test_dvc_makes_the_same_bytes_and_then_snakemake_has_nothing_to_do(by_snakemake: Path, tmp_path: Path) -> None:
    folder = clone(tmp_path)
    run(folder, "dvc", "repro")
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
    for top, ending in (("logs/demo", ".log"), ("benchmarks/results/demo", ".tsv")):
        files = [path.relative_to(by_snakemake / top) for path in (by_snakemake / top).rglob(f"*{ending}")]
        assert {path.parts[0].removesuffix(ending) for path in files} == stages
