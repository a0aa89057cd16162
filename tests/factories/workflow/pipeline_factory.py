"""The whole pipeline in a minute: a clone of the graph with small parameters, a tool run in it, and what it made."""

import os
import re
import subprocess
import sys
from pathlib import Path

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
    params["shards"] = 2  # of which DVC takes no notice
    params["model"] |= {"rois": 16, "fpn_channels": 32, "box_channels": 32}
    yaml.dump(params, folder / "params.yaml")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def run(folder: Path, tool: str, *arguments: str, programs: Path | None = None) -> str:
    """What a tool prints in that folder; it must succeed. `programs` has those that stand for this environment's."""
    path = ":".join([*map(str, filter(None, [programs])), str(Path(sys.executable).parent), os.environ["PATH"]])
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
