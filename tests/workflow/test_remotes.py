"""A colleague pulls results from a DVC remote, and neither tool has anything left to do.

The commands are those of docs/remotes.md. `make test-remotes` installs what S3 and SSH need; elsewhere those tests are
skipped.
"""

import getpass
import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from graph_factory import INIT, Project
from remote_factory import BUCKET, KEY, SECRET, SSHD, s3_server, ssh_server

Commands = list[list[str]]  # of `dvc remote`; those with --local each colleague gives for himself


def shared_folder(folder: Path, stack: ExitStack) -> Commands:
    """A folder that all can reach."""
    return [["add", "-d", "shared", str(folder / "shared")]]


def s3(folder: Path, stack: ExitStack) -> Commands:
    """An S3-compatible server."""
    if not all(map(importlib.util.find_spec, ("dvc_s3", "moto", "flask_cors"))):
        pytest.skip("dvc-s3, or moto to serve it, is not installed: make test-remotes")
    return [
        ["add", "-d", "store", f"s3://{BUCKET}/bcnet"],
        ["modify", "store", "endpointurl", stack.enter_context(s3_server())],
        ["modify", "--local", "store", "access_key_id", KEY],
        ["modify", "--local", "store", "secret_access_key", SECRET],
    ]


def ssh(folder: Path, stack: ExitStack) -> Commands:
    """A machine that can be reached by SSH."""
    if not importlib.util.find_spec("dvc_ssh"):
        pytest.skip("dvc-ssh is not installed: make test-remotes")
    if not SSHD.exists() or (os.getuid() == 0 and not Path("/run/sshd").is_dir()):
        pytest.skip("no sshd that could be started (Debian: apt install openssh-server; root needs /run/sshd)")
    port, key = stack.enter_context(ssh_server(folder / "sshd"))
    return [
        ["add", "-d", "lab", f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/on-the-server"],
        ["modify", "--local", "lab", "keyfile", str(key)],
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which Snakemake has run, with its results in git as far as they belong there."""
    project = Project(tmp_path_factory.mktemp("finished"))
    (project.folder / INIT).unlink()  # in no remote, as pictures aren't
    project.change_params(seeds=[0], imported={}, predictions={})
    project.run("snakemake")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Results")
    return project


@pytest.fixture(params=[shared_folder, s3, ssh])
def commands(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    """How the remote is named; its server runs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExitStack() as stack:
        yield request.param(tmp_path, stack)


def test_a_colleague_pulls_and_both_tools_have_nothing_to_do(
    finished: Project, commands: Commands, tmp_path: Path
) -> None:
    ours = finished.cloned(tmp_path / "ours")  # whose cache is the finished one's
    ours.run("dvc", "cache", "dir", "--local", str(finished.folder / ".dvc/cache"))
    for command in commands:
        ours.run("dvc", "remote", *command)
    ours.git("commit", "--quiet", "--all", "--message", "A remote")
    assert "pushed" in ours.run("dvc", "push")
    assert "Everything is up to date" in ours.run("dvc", "push")

    theirs = ours.cloned(tmp_path / "theirs")
    for command in commands:
        if "--local" in command:
            theirs.run("dvc", "remote", *command)
    assert "added" in theirs.run("dvc", "pull")
    assert "Data and pipelines are up to date." in theirs.run("dvc", "status")
    said = theirs.run("snakemake", "--dry-run")
    assert "Snakemake now knows what DVC has run." in said
    assert "Nothing to be done" in said
    said = theirs.run("snakemake", "--dry-run")
    assert "Nothing to be done" in said
    assert "DVC" not in said, "it looks again only after a change"
    outputs = [out for stage in theirs.dvc_stages().values() for out in stage["outputs"] if Path(out).suffix]
    assert len(outputs) > 30
    for out in outputs:
        assert (theirs.folder / out).read_bytes() == (finished.folder / out).read_bytes()

    theirs.change_params(evaluate__cover_bins=[0, 0.5, 1])
    results = {stage for stage in theirs.dvc_stages() if stage.split("@")[0] in ("evaluate", "compare", "report")}
    assert theirs.snakemake_plan() == theirs.dvc_plan() == results


def test_outputs_that_dvc_has_put_back_are_taken(finished: Project, tmp_path: Path) -> None:
    """Another time of the same files is no reason to run."""
    clone = finished.cloned(tmp_path / "clone")
    clone.run("dvc", "cache", "dir", "--local", str(finished.folder / ".dvc/cache"))
    clone.run("dvc", "checkout")
    assert "Nothing to be done" in clone.run("snakemake", "--dry-run")
    (clone.folder / "data/demo/annotations/instances_val.json").unlink()
    clone.run("dvc", "checkout")
    assert "Nothing to be done" in clone.run("snakemake", "--dry-run")


def test_part_of_the_results_is_not_taken_for_all(finished: Project, tmp_path: Path) -> None:
    clone = finished.cloned(tmp_path / "clone")
    clone.run("dvc", "cache", "dir", "--local", str(finished.folder / ".dvc/cache"))
    clone.run("dvc", "checkout")
    (clone.folder / "data/demo/splits/val.json").write_text("{}")
    said = clone.run("snakemake", "--dry-run")
    assert "DVC has not run: split@val" in said or "DVC has not run: evaluate" in said
    assert "Nothing to be done" not in said
