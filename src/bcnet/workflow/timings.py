"""The timings that Snakemake's jobs leave, on whichever machine they run, when they end well, and only then."""

import csv
from collections.abc import Iterator
from pathlib import Path

from bcnet.params import PARAMS

TIMINGS = Path("benchmarks/results")  # by dataset and rule


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
