"""What a stage asks a cluster for, and that the profile for SLURM speaks of stages that there are."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pipeline_factory import clone
from places import ROOT
from ruamel.yaml import YAML
from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness

PROFILE = YAML(typ="safe").load(ROOT / "profiles/slurm/config.yaml")


@dataclass
class Graph:
    """What Snakemake makes of the Snakefile."""

    resources: dict[str, dict[str, Any]]  # by job: its rule and wildcards
    asking: dict[str, set[str]]  # by rule: the resources that it states
    local: set[str]  # rules that run on the head node
    scopes: dict[str, str]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """With annotations of train of COCO's size, and two processes that train BCNet."""
    folder = clone(tmp_path_factory.mktemp("clone"))
    text, label = (folder / "params.yaml").read_text(), "label: BCNet"
    text = text.replace("shards: 2", "shards: 1").replace(label, f"{label}, schedule: {{processes: 2}}")
    (folder / "params.yaml").write_text(text)
    for part in ("train", "val"):
        annotations = folder / f"data/demo/annotations/instances_{part}.json"
        annotations.parent.mkdir(parents=True, exist_ok=True)
        annotations.touch()
        (folder / f"data/demo/images_{part}.tsv").touch()
    os.truncate(folder / "data/demo/annotations/instances_train.json", 437 * 10**6)  # without taking room
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        cores = ResourceSettings(cores=2)
        workflow = api.workflow(resource_settings=cores, snakefile=folder / "Snakefile", workdir=folder)
        workflow.dag().summary()
        inner = workflow._workflow
        return Graph(
            {" ".join([job.rule.name, *job.wildcards]): dict(job.resources) for job in inner.dag.jobs},
            {rule.name: set(rule.resources) for rule in inner.rules},
            set(inner._localrules),
            dict(inner.resource_scopes),
        )


def test_each_stage_that_is_a_job_asks_for_memory_and_time(graph: Graph) -> None:
    assert graph.local == {"all", "split", "weights"}
    for rule, asking in graph.asking.items():
        assert rule in {*graph.local, "default"} or {"mem_mb", "runtime"} <= asking, rule


def test_what_a_stage_asks_for_grows_with_its_inputs(graph: Graph) -> None:
    """Of 437 MB `bcnet convert` takes 2.1 GB (docs/scale.md)."""
    assert 2100 < graph.resources["convert train"]["mem_mb"] < 4200
    assert graph.resources["convert val"]["mem_mb"] == 1000


def test_a_training_asks_for_a_gpu_a_process_and_predictions_for_one(graph: Graph) -> None:
    assert {job: asked["gpu"] for job, asked in graph.resources.items() if "gpu" in asked} == {
        "train mask-rcnn 0": 1,
        "train bcnet 0": 2,
        "predict mask-rcnn 0": 1,
        "predict bcnet 0": 1,
    }


def test_gpus_of_one_machine_limit_no_cluster(graph: Graph) -> None:
    assert graph.scopes["gpu"] == "local"


def test_the_profile_names_stages_that_there_are(graph: Graph) -> None:
    named = [entry.partition("=")[0] for entry in PROFILE["set-threads"]]
    named += [entry.partition(":")[0] for entry in PROFILE["set-resources"]]
    assert set(named) <= graph.asking.keys()
    groups = re.findall(r'group:\s+"(\w+)"', (ROOT / "workflow/rules/results.smk").read_text())
    assert groups == [entry.partition("=")[0] for entry in PROFILE["group-components"]]


def test_no_job_asks_for_the_processors_of_the_head_node() -> None:
    """Every rule that takes all cores of one machine has a number in the profile, and the profile no `all`."""
    taking_all = set()
    for path in sorted(Path(ROOT / "workflow/rules").glob("*.smk")):
        for text in path.read_text().split("\nrule ")[1:]:
            if "threads: workflow.cores" in text.partition("\nuse rule ")[0]:
                taking_all.add(text.partition(":")[0])
    numbers = dict(entry.split("=") for entry in PROFILE["set-threads"])
    others = {"convert_synthetic", "predict_shard", "predict_imported_shard"}  # a rule with other files
    assert numbers.keys() - taking_all == others
    assert taking_all <= numbers.keys()
    assert max(map(int, numbers.values())) <= PROFILE["cores"]


def test_without_accounting_slurm_is_still_asked() -> None:
    assert PROFILE["slurm-status-command"] == "squeue"
