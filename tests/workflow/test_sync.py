"""Each tool takes the files over only when the other one vouches for them. (test_workflow.py has both tools run.)"""

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from bcnet import sync
from bcnet.files import InputError

SUMMARY = """output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan
a.json\t-\tfetch\t-\t-\t{fetch}\tok\tno update
b.json\t-\ttrain\t-\ta.json\tbcnet train "x\tok\t{train}
"""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What sync has had the tools do."""
    (tmp_path / "params.yaml").write_text((ROOT / "presets/demo.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return []


def answers(monkeypatch: pytest.MonkeyPatch, ran: list[str], summary: str, status: str) -> None:
    """Let `snakemake --detailed-summary` and `dvc status` print these."""

    def run(tool: str, *arguments: str) -> str:
        if "--detailed-summary" in arguments:
            return summary
        if "status" in arguments:
            return status
        ran.append(f"{tool} {arguments[0]}")
        return ""

    monkeypatch.setattr(sync, "_run", run)


def test_dvc_takes_what_snakemake_has_made(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> None:
    answers(monkeypatch, ran, SUMMARY.format(fetch="bcnet fetch", train="no update"), '{"train": ["changed"]}')
    sync.sync()
    assert ran == ["dvc commit"]


def test_snakemake_takes_what_dvc_has_made(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> None:
    answers(monkeypatch, ran, SUMMARY.format(fetch="bcnet fetch", train="update pending"), "{}")
    sync.sync()
    assert ran == ["snakemake --touch"]


def test_nobody_vouches(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> None:
    answers(
        monkeypatch, ran, SUMMARY.format(fetch="bcnet fetch", train="update pending"), '{"train": [], "report": []}'
    )
    expected = r"neither tool is up to date\. Snakemake has not run: train\. DVC has not run: report, train"
    with pytest.raises(InputError, match=f"^{expected}$"):
        sync.sync()
    assert ran == []


def test_snakemake_does_not_vouch_for_files_it_has_no_record_of(
    monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    answers(monkeypatch, ran, SUMMARY.format(fetch="-", train="no update"), '{"fetch": ["changed"]}')
    with pytest.raises(InputError, match="Snakemake has not run: fetch"):
        sync.sync()


def test_wrong_parameters_are_named_first(monkeypatch: pytest.MonkeyPatch, ran: list[str], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("dataset: [")
    with pytest.raises(InputError, match=r"params\.yaml:1: not valid YAML"):
        sync.sync()


def test_a_tool_that_fails_is_named_with_its_message(ran: list[str]) -> None:
    with pytest.raises(InputError, match=r"^dvc status: exit code \d+: .*not inside of a DVC repository"):
        sync.dvc_stale()


def test_data_behind_a_link_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DVC itself refuses it."""
    project, disk = tmp_path / "project", tmp_path / "disk"
    project.mkdir()
    disk.mkdir()
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    (project / "data").symlink_to(disk)
    (project / "data/x.txt").write_text("x")
    (project / "dvc.yaml").write_text("stages:\n  a:\n    cmd: bcnet fetch x\n    outs: [data/x.txt]\n")
    with pytest.raises(InputError, match=r"outside of git repository .*mount the other disk at this folder instead"):
        sync._run("dvc", "commit", "--force", "--no-relink")
