"""Each tool takes the files over only when the other one vouches for them. (test_workflow.py has both tools run.)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from bcnet.files import InputError
from bcnet.workflow import sync
from bcnet.workflow.sync import made_by_a_job

SUMMARY = """output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan
a.json\t-\tfetch\t-\t-\t{fetch}\tok\tno update
b.json\t-\ttrain\t-\ta.json\tbcnet train "x\tok\t{train}
"""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What sync has had the tools do."""
    (tmp_path / "params.yaml").write_text((ROOT / "presets/demo.yaml").read_text())
    (tmp_path / "dvc.lock").write_text("stages: {}")
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
    line = r"Snakemake has not run: fetch\. .* `snakemake --forcerun fetch` makes them again$"
    with pytest.raises(InputError, match=line):
        sync.sync()


# Seconds: when params.yaml was last written, a job of the rule began and ended, its output was made. Jobs are two.
OUTLIVED = {
    "a job began after the parameters were written": (0, [(10, 20), (30, 40)], 35, True),
    "the parameters were written while it ran": (15, [(10, 20)], 18, False),
    "the parameters were written after it": (50, [(10, 20), (30, 40)], 35, False),
    "which of two jobs made it is unclear, and one began too early": (15, [(10, 40), (30, 50)], 35, False),
    "the file was changed after the job": (0, [(10, 20)], 25, False),
    "no job has ended well": (0, [], 35, False),
}


@pytest.mark.parametrize(("written", "jobs", "made", "vouched"), OUTLIVED.values(), ids=OUTLIVED)
@pytest.mark.parametrize("folder", [False, True])
def test_jobs_vouch_for_what_they_made_after_the_parameters_were_written(
    written: int,
    jobs: list[tuple[int, int]],
    made: int,
    vouched: bool,
    folder: bool,
    monkeypatch: pytest.MonkeyPatch,
    ran: list[str],
) -> None:
    """As jobs of a cluster do that outlive the Snakemake that would have kept a record."""
    output = Path("a.json/x.json" if folder else "a.json")
    output.parent.mkdir(exist_ok=True)
    output.write_text("{}")
    times = {Path("params.yaml"): written, output: made}
    timings = Path("benchmarks/results/demo/fetch")
    timings.mkdir(parents=True)
    for place, (start, end) in enumerate(jobs):
        (timings / f"{place}.tsv").write_text(f"s\tmax_rss\n{end - start}\t100\n")
        times[timings / f"{place}.tsv"] = end
    for path, seconds in times.items():
        os.utime(path, (10**9 + seconds, 10**9 + seconds))
    answers(monkeypatch, ran, SUMMARY.format(fetch="-", train="no update"), '{"fetch": ["changed"]}')
    if folder:
        assert not made_by_a_job("demo", "fetch", Path("empty"))
        Path("empty").mkdir()
        assert not made_by_a_job("demo", "fetch", Path("empty"))
    if vouched:
        sync.sync()
        assert ran == ["snakemake --touch", "dvc commit"]
    else:
        with pytest.raises(InputError, match="Snakemake has not run: fetch"):
            sync.sync()
        assert ran == []


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


def test_snakemake_looks_at_what_dvc_has_done_once(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], tmp_path: Path
) -> None:
    """Again after `dvc repro`, which changes dvc.lock, and after `dvc pull`, which changes the times of outputs."""
    answers(monkeypatch, ran, "", "{}")
    (tmp_path / ".dvc").mkdir()
    (goal := tmp_path / "index.html").write_text("")
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages: {report: {outs: [{path: index.html}]}}")
    assert sync.follow_dvc(tmp_path / "missing.html") is None
    for _ in range(2):
        sync.follow_dvc(goal)
    assert ran == ["snakemake --touch"]
    os.utime(goal, (1, 1))
    assert sync.follow_dvc(goal) == "Snakemake now knows what DVC has run."
    lock.write_text(f"{lock.read_text()}\n")
    sync.follow_dvc(goal)
    assert ran == ["snakemake --touch"] * 3


def test_what_dvc_does_not_vouch_for_is_left_and_said_where_snakemake_has_no_record(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], tmp_path: Path
) -> None:
    answers(monkeypatch, ran, "", '{"train": []}')
    (tmp_path / ".dvc").mkdir()
    said = sync.follow_dvc(tmp_path / "params.yaml")
    assert said == "Snakemake goes by the files' times and runs more than it must. DVC has not run: train"
    (tmp_path / ".snakemake/metadata/one").mkdir(parents=True)
    assert sync.follow_dvc(tmp_path / "params.yaml") is None
    assert ran == []


@pytest.mark.parametrize("record", ["", "schema: '2.0'", "stages: {report", "stages: [1]"])
def test_a_record_that_a_kill_left_half_written_is_said(
    record: str, monkeypatch: pytest.MonkeyPatch, ran: list[str], tmp_path: Path
) -> None:
    answers(monkeypatch, ran, "", "{}")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / ".snakemake/bcnet_sync").write_text("")
    (tmp_path / "dvc.lock").write_text(record)
    said = sync.follow_dvc(tmp_path / "params.yaml")
    assert said is not None
    assert said.startswith("Snakemake could not take what DVC has run: dvc.lock: is no record of DVC's")
    assert ran == []
