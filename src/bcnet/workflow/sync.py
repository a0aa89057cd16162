"""Snakemake and DVC agree about what is up to date.

Each keeps a record of what it ran: Snakemake in `.snakemake/` and in the files' times, DVC in `dvc.lock`. Both can be
told to accept what lies on disk, so each is told so only when the other one vouches for it, or when the jobs do that
made it.
"""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

from bcnet.files import InputError, some
from bcnet.params import PARAMS, load

LOCK = Path("dvc.lock")
KNOWN = Path(".snakemake/bcnet_sync")  # the `_state` in which both agreed
INSIDE = "BCNET_SYNC"  # set for the tools that this module starts
TIMINGS = Path("benchmarks/results")  # of Snakemake's jobs that ended well, on whichever machine, by dataset and rule


def sync() -> None:
    """Bring the record of one tool up to date with the other's, in the working directory.

    Snakemake vouches for the files when it made all of them and would run nothing: then DVC takes them (`dvc commit`).
    Of jobs of a cluster that outlived a killed Snakemake it has no record; it is given one where they began after
    params.yaml was last written. DVC does when `dvc status` is clean: then Snakemake takes them (`snakemake --touch`).

    Raises:
        InputError: neither does; the line names what each would still run. Or a tool cannot be run here.
    """
    dataset = load().dataset  # wrong parameters stop both tools, here with one line
    pending, unrecorded = snakemake_pending()
    if not pending and unrecorded and all(made_by_a_job(dataset, rule, path) for rule, path in unrecorded):
        _touch()
        unrecorded = []
    if not pending and not unrecorded:
        _run("dvc", "commit", "--force", "--no-relink")  # relinked files would be newer, in no order
        _note_state()
        print("DVC now knows what Snakemake has run.")
        return
    stale = dvc_stale()
    if stale:
        rules = sorted({*pending, *(rule for rule, _ in unrecorded)})
        neither = (
            f"neither tool is up to date. Snakemake has not run: {some(rules, 4)}. DVC has not run: {some(stale, 4)}"
        )
        again = f". It has files of them, but no record: `snakemake --forcerun {' '.join(rules)}` makes them again"
        raise InputError(neither + ("" if pending else again))
    _touch()
    _note_state()
    print("Snakemake now knows what DVC has run.")


def follow_dvc(goal: Path) -> str | None:
    """Have Snakemake take what DVC has made or pulled since Snakemake last looked, if DVC vouches for it.

    The Snakefile calls this at its start, so that after `dvc repro` or `dvc pull` no job runs that DVC would not run.

    Args:
        goal: the file that the whole graph makes; without it there is nothing to take.

    Returns:
        A line on what was taken, or why nothing was; None where DVC has nothing new, or never ran.
    """
    if os.environ.get(INSIDE) or not (LOCK.exists() and Path(".dvc").is_dir() and goal.exists()):
        return None
    try:
        if KNOWN.exists() and KNOWN.read_text(encoding="utf-8") == _state():
            return None
        if stale := dvc_stale():
            if any(Path(".snakemake/metadata").glob("*")):  # Snakemake has run here itself
                return None
            return f"Snakemake goes by the files' times and runs more than it must. DVC has not run: {some(stale, 4)}"
        _touch()
        _note_state()
    except InputError as error:
        return f"Snakemake could not take what DVC has run: {error}"
    return "Snakemake now knows what DVC has run."


def _touch() -> None:
    """Let Snakemake take all files as they are."""
    _run("snakemake", "--touch", "--forceall", "--no-hooks", "--cores", "1", "--quiet", "all")


def _note_state() -> None:
    KNOWN.parent.mkdir(exist_ok=True)
    KNOWN.write_text(_state(), encoding="utf-8")


def _state() -> str:
    """A hash of DVC's record and of the times of all outputs in it: `dvc pull` and `dvc checkout` change these.

    Raises:
        InputError: DVC was killed while it wrote its record.
    """
    record = LOCK.read_bytes()
    try:
        stages = YAML(typ="safe").load(record)["stages"].values()
        outputs = [out["path"] for stage in stages for out in stage.get("outs", ())]
    except (YAMLError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{LOCK}: is no record of DVC's: `bcnet run dvc` goes on from what is there") from error
    times = {path: os.stat(path).st_mtime_ns for path in outputs if os.path.exists(path)}
    return hashlib.sha256(record + json.dumps(times, sort_keys=True).encode()).hexdigest()


def snakemake_pending() -> tuple[list[str], list[tuple[str, Path]]]:
    """The rules, sorted, that Snakemake would run; of those that it would not, rule and output without a record.

    Without a record it goes by the files' times alone, and would not notice a changed parameter.
    """
    summary = _run("snakemake", "--detailed-summary", "--cores", "1").splitlines()
    rows = list(csv.DictReader(summary, delimiter="\t", quoting=csv.QUOTE_NONE))
    pending = {row["rule"] for row in rows if row["plan"] != "no update"}
    unrecorded = [row for row in rows if row["shellcmd"] == "-" and row["rule"] not in pending]
    return sorted(pending), [(row["rule"], Path(row["output_file"])) for row in unrecorded]


def made_by_a_job(dataset: str, rule: str, output: Path) -> bool:
    """Whether a job that began after params.yaml was last written has made this output, and ended well.

    Args:
        dataset: the one of params.yaml.
        rule: of the job.
        output: a file, or a folder of files.
    """
    if not output.exists():
        return False
    files = [path for path in output.rglob("*") if path.name != ".snakemake_timestamp"] if output.is_dir() else [output]
    written = PARAMS.stat().st_mtime
    jobs = list(_jobs(TIMINGS / dataset, rule))
    if not files:
        return False
    for made in (path.stat().st_mtime for path in files):
        began = [start for start, end in jobs if start <= made <= end]  # several, if jobs ran side by side
        if not began or min(began) <= written:
            return False
    return True


def _jobs(timings: Path, rule: str) -> Iterator[tuple[float, float]]:
    """When each job of a rule that ended well began and ended, in seconds since 1970."""
    for path in [timings / f"{rule}.tsv", *timings.glob(f"{rule}/*.tsv")]:
        if path.exists():
            end = path.stat().st_mtime
            with path.open(encoding="utf-8") as file:
                yield from ((end - float(row["s"]), end) for row in csv.DictReader(file, delimiter="\t"))


def dvc_stale() -> list[str]:
    """The stages, sorted, whose inputs, parameters, command or outputs differ from what DVC has recorded."""
    return sorted(json.loads(_run("dvc", "status", "--json")))


def _run(tool: str, *arguments: str) -> str:
    """Standard output of a tool of this Python's own environment."""
    command = [sys.executable, "-m", tool, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, INSIDE: "1"})
    if result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1])  # DVC's advice comes after it
        if "outside of git repository" in why:
            why += " (DVC takes no files behind a link: mount the other disk at this folder instead)"
        raise InputError(f"{tool} {arguments[0]}: exit code {result.returncode}: {why}")
    return result.stdout
