"""The pipeline as jobs of a real SLURM: the bytes of a local run, and what each job asks for.

`make test-cluster` installs and starts a SLURM of one node on this machine; without it, and on a real cluster, this is
skipped.
"""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from pipeline_factory import clone, made, run

JOBS = {
    "fetch": 1,
    "convert_shard": 4,
    "convert": 2,
    "train": 2,
    "predict_shard": 4,
    "predict": 2,
    "evaluate": 1,
    "compare": 1,
    "report": 1,
}  # four evaluations


def slurm(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


pytestmark = pytest.mark.skipif(
    "ClusterName             = loopback" not in slurm("scontrol", "show", "config")
    or find_spec("snakemake_executor_plugin_slurm") is None,
    reason="no SLURM for tests on this machine: `make test-cluster` installs and starts one, as root on Debian",
)


def jobs() -> list[dict[str, str]]:
    """What SLURM knows of its latest jobs."""
    blocks = slurm("scontrol", "--oneliner", "show", "jobs").splitlines()
    return [dict(re.findall(r"(\S+?)=(\S+)", block)) for block in blocks if block.startswith("JobId=")]


def test_jobs_make_the_bytes_of_a_local_run(tmp_path: Path) -> None:
    local, remote = clone(tmp_path / "local"), clone(tmp_path / "remote")
    run(local, "snakemake", "--cores", "1")
    before = {job["JobId"] for job in jobs()}
    # the node may have one processor only
    output = run(remote, "snakemake", "--workflow-profile", "profiles/slurm", "--cores", "1")
    assert "DVC now knows what Snakemake has run" in output
    ours, theirs = made(remote), made(local)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert "Nothing to be done" in run(remote, "snakemake", "--cores", "1")

    asked = [job for job in jobs() if job["JobId"] not in before]
    counts: dict[str, int] = {}
    for job in asked:
        (stage,) = re.findall(r"slurm_logs/(?:rule|group_evaluate)_([a-z_]+)", job["StdOut"])
        counts[stage] = counts.get(stage, 0) + 1
        assert job["JobState"] == "COMPLETED"
        assert 1000 <= int(job["MinMemoryNode"].removesuffix("M")) <= 20_000
        on_gpu = "gpu:1" in job.get("TresPerNode", "") + job.get("TresPerJob", "")
        assert on_gpu == (stage in ("train", "predict_shard", "predict"))
    assert counts == JOBS
