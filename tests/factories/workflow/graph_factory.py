"""A fresh clone of the project in which both workflow tools run, for tests of the graph.

`bcnet` is a stub there: it writes a command's declared outputs, made from the command, its parameters and its inputs.
The tools are forked from a server that has loaded them (`warm_programs.py`); those of `pipeline_factory.py` are not.
"""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from copies import copy_of
from dvc.dependency import param
from dvc.repo import Repo
from networkx import descendants
from places import ROOT
from ruamel.yaml import YAML
from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness
from warm_programs import programs

GRAPH_FILES = [
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    "Snakefile",
    "workflow",
    "profiles",
    "reference",
    "pretrained",
]
INIT = "pretrained/coco.pth"
STUB = """#!{real_python} -IS
import hashlib, json, os, sys
from pathlib import Path

if sys.argv[1] == "params":
    sys.exit()
if sys.argv[1] == "sync":
    os.execv({python!r}, [{python!r}, "-m", "bcnet", "sync"])
arguments = sys.argv[1:]
if "--jobs" in arguments:  # how many processes changes no byte, and DVC has none to give
    place = arguments.index("--jobs")
    assert arguments[place + 1].isdigit()
    del arguments[place : place + 2]
stage = json.loads(Path({graph!r}).read_text())[" ".join(["bcnet", *arguments])]
files = [f for path in map(Path, stage["inputs"]) for f in (sorted(path.rglob("*.*")) if path.is_dir() else [path])]
files = [f for f in files if f.name != ".snakemake_timestamp"]
content = [arguments, stage["params"], *(hashlib.sha256(f.read_bytes()).hexdigest() for f in files)]
for out in map(Path, stage["outputs"]):
    out = out if out.suffix else out / "bcnet" / "val.json"  # a folder
    out.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps([str(out), content]).encode()).hexdigest()
    out.write_text(json.dumps({{"made_from": digest}}) + 2**20 * " ")  # Snakemake forgives new times of small files
"""


class Project:
    """A fresh clone in `folder`, with its own programs, in which both tools can be run."""

    def __init__(self, folder: Path, preset: str = "demo") -> None:
        self.folder, self.graph, self.said = folder / "clone", folder / "graph.json", ""
        for name in GRAPH_FILES:
            source, target = ROOT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_of(source, target)
        (self.folder / "mine.json").write_text("[]")
        (self.folder / INIT).write_text(2**20 * " ")
        copy_of(ROOT / f"presets/{preset}.yaml", self.folder / "params.yaml")
        self.change_params(seeds=[0, 1], predictions={"mine": {"file": "mine.json", "label": "Mine"}})
        self.change_params(imported__zoo={"file": "https://nowhere.invalid/zoo.pkl", "label": "Zoo"})
        subprocess.run(["git", "init", "--quiet"], cwd=self.folder, check=True)
        self.python = programs(folder / "programs", folder / "started") / "python"
        stub = STUB.format(real_python=sys.executable, python=str(self.python), graph=str(self.graph))
        (self.python.parent / "bcnet").write_text(stub)

    def git(self, *arguments: str) -> None:
        """Run git, as somebody."""
        somebody = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", *somebody, *arguments], cwd=self.folder, check=True, capture_output=True)

    def cloned(self, folder: Path) -> "Project":
        """A clone of what is committed, as a colleague has it, with the same programs."""
        other = copy.copy(self)
        other.folder = folder
        self.git("clone", "--quiet", str(self.folder), str(folder))
        return other

    def change_params(self, **sections: Any) -> None:
        """Replace whole sections or single keys (`a__b__c`)."""
        yaml = YAML()
        params = yaml.load(self.folder / "params.yaml")
        for path, value in sections.items():
            *parents, key = path.split("__")
            section = params
            for parent in parents:
                section = section[parent]
            section[key] = value
        yaml.dump(params, self.folder / "params.yaml")
        self.graph.unlink(missing_ok=True)

    def _tell_stub(self) -> None:
        stages = self.dvc_stages().values()
        self.graph.write_text(json.dumps({stage.pop("command"): stage for stage in stages}))

    def run(self, tool: str, *arguments: str, exit_code: int = 0) -> str:
        """What `python -m tool arguments` prints; it must end with that exit code."""
        if not self.graph.exists():
            self._tell_stub()
        environment = os.environ | {"PATH": f"{self.python.parent}:{os.environ['PATH']}"}
        command = [str(self.python), "-m", tool, *arguments]
        result = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert result.returncode == exit_code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def dvc_stages(self) -> dict[str, dict]:
        """Command, inputs, outputs and parameters of each stage, as DVC resolves dvc.yaml; the check left out."""
        with Repo(str(self.folder)) as repo, params_read_once():
            return {
                stage.name: {
                    "command": stage.cmd[-1],
                    "inputs": sorted(dep.def_path for dep in stage.deps if dep.def_path != "params.yaml"),
                    "outputs": sorted(out.def_path for out in stage.outs),
                    "params": {
                        key: value
                        for dep in stage.deps
                        if dep.def_path == "params.yaml"
                        for key, value in dep.read_params().items()
                    },
                }
                for stage in repo.index.stages
            }

    def snakemake_jobs(self) -> dict[str, dict]:
        """The same of each job, as Snakemake resolves the Snakefile, and whether it would run (`pending`)."""
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=2),
                snakefile=self.folder / "Snakefile",
                workdir=self.folder,
            )
            workflow.dag().summary()
            dag = workflow._workflow.dag
            return {
                job.rule.name + ("@" if job.wildcards else "") + "-".join(job.wildcards): {
                    "command": job.params.cmd,
                    "inputs": sorted(map(str, job.input)),
                    "outputs": sorted(map(str, job.output)),
                    "params": {key: value for key, value in job.params.items() if key != "cmd"},
                    "pending": bool(dag.reason(job)),
                }
                for job in dag.jobs
                if job.output
            }

    def dvc_plan(self) -> set[str]:
        """The stages that `dvc repro` would run: those that differ from the record, and all that follows from them."""
        with Repo(str(self.folder)) as repo, params_read_once():
            stale = repo.status()
            follows = repo.index.graph.reverse()
            plan = {stage for stage in follows if stage.addressing in stale}
            return {stage.name for stage in plan.union(*(descendants(follows, stage) for stage in plan))}

    def snakemake_plan(self) -> set[str]:
        """The jobs that `snakemake` would run; they are called as DVC's stages."""
        return {name for name, job in self.snakemake_jobs().items() if job["pending"]}


@contextmanager
def params_read_once() -> Iterator[None]:
    """DVC reads params.yaml for each stage: with hundreds of them that takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(param, "load_path", cache(param.load_path))
        yield
