"""Snakemake and DVC agree about what is up to date.

Each keeps a record of what it ran: Snakemake in `.snakemake/` and in the files' times, DVC in `dvc.lock`. Both can be
told to accept what lies on disk, so each is told so only when the other one vouches for it.
"""

import csv
import json
import subprocess
import sys

from bcnet.files import InputError
from bcnet.params import load


def sync() -> None:
    """Bring the record of one tool up to date with the other's, in the working directory.

    Snakemake vouches for the files when it made all of them and would run nothing: then DVC takes them (`dvc commit`).
    DVC does when `dvc status` is clean: then Snakemake takes them (`snakemake --touch`).

    Raises:
        InputError: neither does; the line names what each would still run. Or a tool cannot be run here.
    """
    load()  # wrong parameters stop both tools, here with one line
    pending = snakemake_pending()
    if not pending:
        _run("dvc", "commit", "--force", "--no-relink")  # relinked files would be newer, in no order
        print("DVC now knows what Snakemake has run.")
        return
    stale = dvc_stale()
    if stale:
        raise InputError(
            f"neither tool is up to date. Snakemake has not run: {_some(pending)}. DVC has not run: {_some(stale)}"
        )
    _run("snakemake", "--touch", "--forceall", "--no-hooks", "--cores", "1", "--quiet", "all")
    print("Snakemake now knows what DVC has run.")


def snakemake_pending() -> list[str]:
    """The rules, sorted, that Snakemake would run, or whose outputs it has no record of having made.

    Without a record it goes by the files' times alone, and would not notice a changed parameter.
    """
    summary = _run("snakemake", "--detailed-summary", "--cores", "1").splitlines()
    rows = csv.DictReader(summary, delimiter="\t", quoting=csv.QUOTE_NONE)
    return sorted({row["rule"] for row in rows if row["plan"] != "no update" or row["shellcmd"] == "-"})


def dvc_stale() -> list[str]:
    """The stages, sorted, whose inputs, parameters, command or outputs differ from what DVC has recorded."""
    return sorted(json.loads(_run("dvc", "status", "--json")))


def _run(tool: str, *arguments: str) -> str:
    """Standard output of a tool of this Python's own environment."""
    command = [sys.executable, "-m", tool, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1])  # DVC's advice comes after it
        if "outside of git repository" in why:
            why += " (DVC takes no files behind a link: mount the other disk at this folder instead)"
        raise InputError(f"{tool} {arguments[0]}: exit code {result.returncode}: {why}")
    return result.stdout


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
