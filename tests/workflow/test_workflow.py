"""Snakefile and dvc.yaml state one graph, and each tool takes over what the other has run."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from graph_factory import INIT, Project
from places import ROOT
from ruamel.yaml import YAML

from bcnet.params import schema


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which Snakemake, and nothing else, has run."""
    project = Project(tmp_path_factory.mktemp("snakemake"))
    project.change_params(variants__bcnet__init=INIT)
    project.run("snakemake")
    return project


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which DVC has run, and after it Snakemake, whose words are kept."""
    project = Project(tmp_path_factory.mktemp("dvc"))
    project.change_params(variants__bcnet__init=INIT)
    project.run("dvc", "repro")
    project.said = project.run("snakemake")
    project.run("bcnet", "sync")
    return project


@contextmanager
def other_params(*projects: Project) -> Iterator[None]:
    """Whatever is changed in their params.yaml is changed back: tests share them and run in any order."""
    texts = {project: (project.folder / "params.yaml").read_text() for project in projects}
    yield
    for project, text in texts.items():
        (project.folder / "params.yaml").write_text(text)
        project.change_params()


@contextmanager
def other_content(path: Path) -> Iterator[None]:
    """A file with one more byte; content and time are put back."""
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content + b" ")
    yield
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


SYNTHETIC = {"synthetic": {"few": {"pictures": 5}, "many": {"pictures": 9, "keep_real": False}}}


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        *((path.stem, {}) for path in sorted(ROOT.glob("presets/*.yaml"))),
        ("demo", {**SYNTHETIC, "train_on": "few"}),
        ("demo", {**SYNTHETIC, "train_on": "train"}),
        ("demo", {"variants__bcnet__init": INIT}),
    ],
)
def test_both_tools_resolve_the_same_graph(preset: str, changes: dict, tmp_path: Path) -> None:
    project = Project(tmp_path, preset)
    project.change_params(**changes)
    stages, jobs = project.dvc_stages(), project.snakemake_jobs()
    outputs = [output for stage in stages.values() for output in stage["outputs"]]
    for name, stage in stages.items():
        if name.startswith("weights@"):  # the folder of users' files stands for the one that the variant names
            assert stage["inputs"] == ["pretrained"]
            (variant,) = stage["params"].values()
            stage["inputs"] = [variant["init"]] if "init" in variant else []
    for stage in stages.values():  # a folder that DVC depends on stands for every output below it
        below = {path: [out for out in outputs if out.startswith(f"{path}/")] for path in stage["inputs"]}
        stage["inputs"] = sorted(out for path, outs in below.items() for out in outs or [path])
        stage["params"] = {key.split(".")[0]: value for key, value in stage["params"].items()}
    assert jobs.keys() == stages.keys()
    for name, stage in stages.items():
        assert jobs[name] == stage | {"pending": True}


def test_every_stage_checks_the_parameters_before_it_uses_a_name_of_them() -> None:
    """DVC runs the commands of a list one by one, and stops at one that fails."""
    for stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values():
        check, command = stage.get("do", stage)["cmd"]
        assert check == "bcnet params"
        assert command.startswith("bcnet ")


def test_the_graph_has_one_stage_for_each_variant_seed_and_split(project: Project) -> None:
    models = ["mask-rcnn-0", "mask-rcnn-1", "bcnet-0", "bcnet-1"]
    splits = ["val", "occluded"]
    assert set(project.dvc_stages()) == {
        *(
            "fetch",
            "bring@mine",
            "import_weights@zoo",
            "predict_imported@zoo",
            "convert@train",
            "convert@val",
            "weights@mask-rcnn",
            "weights@bcnet",
            "compare",
            "report",
        ),
        *(f"split@{split}" for split in splits),
        *(f"{verb}@{model}" for verb in ("train", "predict") for model in models),
        *(f"evaluate@{model}-{split}" for model in models for split in splits),
        *(f"evaluate_imported@zoo-{split}" for split in splits),
        *(f"evaluate_brought@mine-{split}" for split in splits),
    }


def test_synthetic_pictures_add_their_stages_and_are_trained_on(project: Project) -> None:
    without = project.dvc_stages()
    project.change_params(**SYNTHETIC, train_on="few")
    stages = project.dvc_stages()
    added = {f"{stage}@{name}" for stage in ("synthesize", "convert_synthetic") for name in ("few", "many")}
    assert stages.keys() - without.keys() == added
    for name, stage in stages.items():
        if name.startswith("train@"):
            assert "data/demo/bilayer/few.json" in stage["inputs"]
            assert stage["params"]["train_on"] == "few"


def test_shards_are_jobs_of_snakemake_whose_whole_is_a_stage_of_dvc(project: Project) -> None:
    without = project.snakemake_jobs()
    project.change_params(**SYNTHETIC, shards=2)
    stages, jobs = project.dvc_stages(), project.snakemake_jobs()
    parts = {
        f"convert_shard@{part}-{k}": f"bcnet convert --annotations data/demo/annotations/instances_{part}.json "
        f"--out data/demo/shards/bilayer/{part}/{k}-of-2.json --shard {k}/2"
        for part in ("train", "val", "few", "many")
        for k in (1, 2)
    }
    parts |= {f"predict_imported_shard@zoo-{k}": f"bcnet predict zoo --split val --shard {k}/2" for k in (1, 2)}
    parts |= {
        f"predict_shard@{name}-{seed}-{k}": f"bcnet predict {name} --seed {seed} --split val --shard {k}/2"
        for name in ("mask-rcnn", "bcnet")
        for seed in (0, 1)
        for k in (1, 2)
    }
    assert {name: jobs[name]["command"] for name in jobs.keys() - stages.keys()} == parts
    assert stages.keys() <= jobs.keys()
    for name, stage in stages.items():
        job = jobs[name]
        shards = sorted(path for path in job["inputs"] if path.startswith("data/demo/shards/"))
        assert shards == sorted(out for part in parts if _is_of(part, name) for out in jobs[part]["outputs"])
        assert (shards != []) == name.startswith(("convert", "predict"))
        assert job["outputs"] == stage["outputs"]
        gathered = " ".join(path for path in shards if path.endswith(".json"))
        assert job["command"] == stage["command"] + (f" --gather {gathered}" if name.startswith("convert") else "")
    assert all(without[name]["command"] == stages[name]["command"] for name in without)


def _is_of(part: str, stage: str) -> bool:
    """Whether a shard's job makes a part of what a stage makes."""
    rule, _, shard = part.partition("@")
    name = shard.rpartition("-")[0]
    rule = rule.removesuffix("_shard")
    return stage in {f"{rule}@{name}", f"{rule}_synthetic@{name}"}


@pytest.mark.parametrize("train_on", ["train", "few"])
def test_training_reads_nothing_that_an_image_of_val_changes(train_on: str, project: Project) -> None:
    project.change_params(**SYNTHETIC, train_on=train_on)
    trainings = [stage for name, stage in project.dvc_stages().items() if name.startswith("train@")]
    assert len(trainings) == 4
    for stage in trainings:
        assert f"data/demo/images_{train_on}.tsv" in stage["inputs"]
        assert not any("val" in path for path in stage["inputs"])


AFTER_BCNET = {"compare", "report"} | {
    f"{stage}@bcnet-{seed}{split}"
    for stage, splits in (("train", [""]), ("predict", [""]), ("evaluate", ["-val", "-occluded"]))
    for split in splits
    for seed in (0, 1)
}
AFTER_BCNET |= {"weights@bcnet"}  # it reads the variant, too: seconds


def test_after_snakemake_dvc_has_nothing_to_do(by_snakemake: Project) -> None:
    assert "Data and pipelines are up to date." in by_snakemake.run("dvc", "repro")


def test_after_dvc_snakemake_has_nothing_to_do(by_dvc: Project) -> None:
    assert "Nothing to be done" in by_dvc.said
    assert "Snakemake now knows what DVC has run." in by_dvc.said


def test_sync_takes_what_jobs_have_made_that_outlived_snakemake(by_snakemake: Project) -> None:
    """A killed Snakemake has written no record of them; DVC has none either."""
    shutil.rmtree(by_snakemake.folder / ".snakemake/metadata")
    (by_snakemake.folder / "dvc.lock").unlink()
    assert "DVC now knows" in by_snakemake.run("bcnet", "sync")
    assert by_snakemake.snakemake_plan() == by_snakemake.dvc_plan() == set()
    with other_params(by_snakemake):
        by_snakemake.change_params(evaluate__cover_bins=[0, 0.5, 1])
        assert "evaluate@bcnet-0-val" in by_snakemake.snakemake_plan()


def test_both_tools_write_the_same_bytes(by_snakemake: Project, by_dvc: Project) -> None:
    for stage in by_dvc.dvc_stages().values():
        for output in stage["outputs"]:
            path = output if Path(output).suffix else f"{output}/bcnet/val.json"
            assert (by_snakemake.folder / path).read_bytes() == (by_dvc.folder / path).read_bytes()


def test_sync_makes_both_plan_what_follows_from_a_changed_variant(by_snakemake: Project, by_dvc: Project) -> None:
    with other_params(by_snakemake, by_dvc):
        for project in (by_snakemake, by_dvc):
            assert project.snakemake_plan() == project.dvc_plan() == set()
            project.change_params(variants__bcnet__schedule={"lr": 0.002})
            assert project.snakemake_plan() == project.dvc_plan() == AFTER_BCNET


def test_other_content_of_what_a_variant_starts_from_runs_what_follows(by_snakemake: Project, by_dvc: Project) -> None:
    for project in (by_snakemake, by_dvc):
        with other_content(project.folder / INIT):
            assert project.snakemake_plan() == AFTER_BCNET
            assert project.dvc_plan() >= AFTER_BCNET
        assert project.snakemake_plan() == project.dvc_plan() == set()


def test_each_tool_takes_over_what_the_other_has_rerun(by_snakemake: Project, by_dvc: Project) -> None:
    for project in (by_snakemake, by_dvc):
        project.change_params(variants__bcnet__schedule={"lr": 0.003})
    by_snakemake.run("dvc", "repro")
    by_snakemake.run("bcnet", "sync")
    by_dvc.run("snakemake")
    for project in (by_snakemake, by_dvc):
        assert project.snakemake_plan() == project.dvc_plan() == set()


def test_sync_vouches_for_nothing_that_is_stale_in_both_tools(by_dvc: Project) -> None:
    record = (by_dvc.folder / "dvc.lock").read_bytes()
    with other_params(by_dvc):
        by_dvc.change_params(evaluate__cover_bins=[0, 0.5, 1])
        line = by_dvc.run("bcnet", "sync", exit_code=2)
    assert line.startswith("bcnet sync: neither tool is up to date. Snakemake has not run: ")
    assert "evaluate" in line
    assert line.count("\n") == 1
    assert (by_dvc.folder / "dvc.lock").read_bytes() == record


def test_wrong_parameters_stop_snakemake_before_any_work(project: Project) -> None:
    text = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(text.replace("short_side", "shortside", 1))
    assert "params.yaml: schedule.shortside: unknown key, did you mean " in project.run("snakemake", exit_code=1)
    assert not (project.folder / "data").exists()


def test_a_verb_that_fails_is_an_error_with_its_message_in_the_log(project: Project) -> None:
    (project.python.parent / "bcnet").write_text("#!/bin/sh\necho wrong input >&2\nexit 2\n")
    output = project.run("snakemake", exit_code=1)
    assert "(command exited with non-zero exit code)" in output
    logs = [path.read_text() for path in project.folder.glob("logs/demo/**/*.log")]  # of fetch, or of weights
    assert logs
    assert set(logs) == {"wrong input\n"}


def test_schema_is_that_of_the_parameters() -> None:
    written = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text())
    update = "python -c 'import json, bcnet.params; print(json.dumps(bcnet.params.schema(), indent=2))'"
    assert written == schema(), f"{update} > workflow/schemas/params.schema.json"
