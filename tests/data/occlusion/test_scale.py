"""workflow/shards.smk, which docs/scale.md is about: the parts are put together to the bytes of the whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

from copies import copy_of
from places import ROOT

from bcnet.data.coco import annotation_file
from bcnet.data.occlusion.convert import convert
from bcnet.data.synthetic import shapes
from bcnet.params.data import Convert, Shapes


def test_the_workflow_of_shards_makes_the_bytes_of_the_whole(tmp_path):
    folder = tmp_path / "data/coco"
    shapes.generate(Shapes(source="shapes", size=64, train=30, val=1), folder)
    (tmp_path / "params.yaml").write_text((ROOT / "presets/coco.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    copy_of(ROOT / "reference", tmp_path / "reference")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    workflow = ROOT / "workflow/shards.smk"
    command = [sys.executable, "-m", "snakemake", "-s", workflow, "--cores", "2", "--config", "shards=3"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, capture_output=True)
    convert(folder / "annotations/instances_train.json", tmp_path / "whole.json", Convert(), jobs=1)
    for ending in ("json", "parquet"):
        made = folder / f"bilayer/train.{ending}"
        assert made.read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    assert not list((folder / "shards").glob("*")), "the parts are temporary"
    assert len(annotation_file.read(folder / "bilayer/train.json")["images"]) == 30
    assert all(
        "occlusion" in one for one in json.loads((tmp_path / "whole.json").read_text(encoding="utf-8"))["annotations"]
    )
