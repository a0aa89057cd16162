"""DVC's stages write the logs that Snakemake's do; memory that runs out is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from bcnet import cli
from bcnet.cli import main, out_of_memory
from bcnet.cli.stage_log import log_of

SAYS = """
import os, sys
from bcnet import cli
from bcnet.cli.verb import Verb
def says(args):
    print("python")
    os.system("echo child; echo error >&2")
    return "done"
cli.VERBS["sync"] = Verb(says, "", "")
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "presets/demo.yaml").read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("stage", "log"),
    [
        ("fetch", "fetch.log"),
        ("train@mask-rcnn-0", "train/mask-rcnn-0.log"),
        ("../dvc.yaml:evaluate@b_2-0-val", "evaluate/b_2-0-val.log"),
        ("", None),
        ("a/b", None),
        ("../x", None),
    ],
)
def test_the_log_of_a_stage(stage: str, log: str | None) -> None:
    assert log_of(stage) == (Path("logs/demo", log) if log else None)


def test_it_is_where_snakemake_writes_it() -> None:
    """Each rule's log has the name that DVC gives the stage, with a folder for the @."""
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for log in ("fetch", "convert/{{part}}", "train/{{variant}}-{{seed}}", "evaluate/{{variant}}-{{seed}}-{{split}}"):
        assert f'f"{{LOGS}}/{log}.log"' in rules


def test_all_that_a_stage_says_is_shown_and_kept(folder: Path) -> None:
    command = [sys.executable, "-c", SAYS, "sync"]
    for stage, kept in (("compare", True), ("", False)):
        environment = {**os.environ, "DVC_STAGE": stage}
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert ended.returncode == 0
        said = sorted(ended.stdout.splitlines())
        assert said[1:] == ["child", "error", "python"]
        assert said[0].startswith("bcnet sync: done (")
        if kept:
            assert (folder / "logs/demo/compare.log").read_text() == ended.stdout
            (folder / "logs/demo/compare.log").unlink()
    assert not list(folder.glob("logs/demo/*.log"))


def test_the_log_outlives_a_signal_to_end_and_is_one_for_all_processes(folder: Path) -> None:
    """Of a training in several processes, which a batch system's signal to the whole group tells to end."""
    several = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
from bcnet import cli
from bcnet.cli.verb import Verb
def says(args):
    worker = [sys.executable, "-c", {SAYS!r}, "sync"]
    subprocess.run(worker, env={{**os.environ, "WORLD_SIZE": "2"}}, check=True)
    os.killpg(0, signal.SIGTERM)
    print("the last word", flush=True)
cli.VERBS["sync"] = Verb(says, "", "")
sys.exit(cli.main(["sync"]))
"""
    environment = {**os.environ, "DVC_STAGE": "train@bcnet-0"}
    command = [sys.executable, "-c", several]
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert ended.returncode == 0
    assert "the last word" in ended.stdout.splitlines()
    assert ended.stdout.count("child\n") == 1
    assert (folder / "logs/demo/train/bcnet-0.log").read_text() == ended.stdout


def test_a_stage_that_fails_says_so_in_its_log(folder: Path) -> None:
    environment = {**os.environ, "DVC_STAGE": "train@bcnt-0"}
    command = [sys.executable, "-m", "bcnet", "train", "bcnt"]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 2
    assert (folder / "logs/demo/train/bcnt-0.log").read_text() == ended.stdout
    assert "no 'bcnt', did you mean 'bcnet'?" in ended.stdout


class OutOfMemoryError(RuntimeError):
    """Called as PyTorch's is."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "no memory is left on the machine: take"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes. Error code 12"),
            "no memory is left on the machine for 4000 bytes more: take",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"),
            "no memory is left on the GPU for 2.50 GiB more: take",
        ),
        (RuntimeError("shapes differ"), None),
    ],
)
def test_memory_that_runs_out_is_one_line(
    error: Exception, line: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fails(args: object) -> None:
        raise error

    monkeypatch.setitem(cli.VERBS, "sync", cli.project_verbs.Verb(fails, "", ""))
    if line is None:
        assert out_of_memory(error) is None
        with pytest.raises(RuntimeError, match="shapes differ"):
            main(["sync"])
        return
    assert main(["sync"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bcnet sync: {line}")
    assert said.count("\n") == 1
