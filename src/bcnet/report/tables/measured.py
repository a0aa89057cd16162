"""The metrics of a run: those of every method on every split, what of them is missing, and means over runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.evaluation.metrics.occlusion.occlusion_bins import bin_names
from bcnet.files import InputError, read_json
from bcnet.layout import ReportFiles
from bcnet.params import Params
from bcnet.report.tables.rows import Method, evaluate_command, methods

KEYS = (
    *("provenance", "segm", "bbox", "boundary", "recall", "failures", "leak", "amodal", "order", "tide"),
    *("calibration", "categories"),
)
STATED = {"origin", "images", "objects", "iou_type"}


@dataclass(frozen=True)
class Measured:
    """A method on a split: the files of its runs, and their metrics; none where `missing` says what is missing."""

    paths: tuple[Path, ...]
    runs: tuple[dict[str, Any], ...]
    missing: str

    @property
    def boxes(self) -> bool:
        """Whether the predictions are boxes."""
        return any(run["provenance"]["iou_type"] == "bbox" for run in self.runs)

    @property
    def converted(self) -> bool:
        """Whether the ground truth says how occluded its objects are."""
        return all(run["recall"] is not None for run in self.runs)


Measurements = Mapping[tuple[Method, str], Measured]


def measured(params: Params, folder: Path) -> Measurements:
    """The metrics of every method of the run on every split, in the order of params.yaml.

    Args:
        params: the run.
        folder: the reports of its dataset.

    Raises:
        InputError: there are none at all; a file is none of metrics; or those of two runs do not fit together.
    """
    measurements = {
        (method, split): _of(method, split, params, folder) for method in methods(params) for split in params.splits
    }
    if all(measurement.missing for measurement in measurements.values()):
        first = next(iter(measurements.values())).missing
        raise InputError(f"{ReportFiles(folder).all_metrics}: none of this run's metrics are there: {first}")
    return measurements


def _of(method: Method, split: str, params: Params, folder: Path) -> Measured:
    paths = tuple(ReportFiles(folder).metrics(method.name, run, split) for run in method.runs)
    missing = missing_line({path: path for path in paths if not path.exists()}, method, params.dataset)
    runs = tuple(_read(path, method, params) for path in paths if path.exists())
    _check_alike([path for path in paths if path.exists()], runs)
    return Measured(paths, () if missing else runs, missing)


def is_there(path: Path, command: str, missing: list[str]) -> bool:
    """Whether a file is there; if not, `missing` gets a line about it, once."""
    if not path.exists() and (line := f"{path}: missing, `{command}` makes it") not in missing:
        missing.append(line)
    return path.exists()


def read_table_of(path: Path, columns: Sequence[str], command: str) -> pa.Table:
    """These columns of a table beside metrics.

    Raises:
        InputError: it is none, or lacks one; the line names the command that makes it.
    """
    try:
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}: expected what `{command}` makes") from error


def missing_line(files: Mapping[Path, Path], method: Method, dataset: str) -> str:
    """Which files are missing, each with the command that makes it.

    Args:
        files: missing files, each with the metrics that it lies beside, or is.
        method: whose they are.
        dataset: on which.
    """
    return " and ".join(
        f"{path}: missing, `{evaluate_command(metrics, method, dataset)}` makes it" for path, metrics in files.items()
    )


def _read(path: Path, method: Method, params: Params) -> dict[str, Any]:
    """Metrics that `evaluate` wrote, of predictions of that origin, in the bins of `params`."""
    command = evaluate_command(path, method, params.dataset)
    metrics = read_json(path)
    if not isinstance(metrics, dict) or not metrics.keys() >= set(KEYS):
        raise InputError(f"{path}: expected metrics with {', '.join(KEYS)}, `{command}` makes them")
    provenance = metrics["provenance"]
    if not isinstance(provenance, dict) or not provenance.keys() >= STATED:
        raise InputError(f"{path}: provenance: expected {', '.join(sorted(STATED))}, `{command}` makes them")
    if (origin := provenance["origin"]) != method.origin:
        raise InputError(f"{path}: provenance.origin: {origin!r}: expected {method.origin!r}, `{command}` makes it")
    for measure, names in bin_names(params.evaluate.bins()).items() if metrics["recall"] is not None else ():
        bins = [[row.get(key) for key in names[0]] for row in metrics["recall"].get(measure, ())]
        if bins != (expected := [list(name.values()) for name in names]):
            raise InputError(
                f"{path}: recall.{measure}: bins {bins}: expected {expected} as in params.yaml, `{command}` makes them"
            )
    return metrics


def _check_alike(paths: Sequence[Path], runs: Sequence[dict[str, Any]]) -> None:
    """Seeds can be averaged when they were trained alike and evaluated on the same objects."""
    for path, run in zip(paths[1:], runs[1:], strict=True):
        for key in ("objects", "images", "annotations_sha256", "train_on", "schedule", "iou_type"):
            own, first = run["provenance"].get(key), runs[0]["provenance"].get(key)
            if own != first:
                raise InputError(f"{path}: provenance.{key}: {own!r}: expected {first!r} as in {paths[0]}")
        own, first = ("the best" if run["provenance"].get("best") else "the last" for run in (run, runs[0]))
        if own != first:
            raise InputError(f"{path}: is of {own} model of its training, {paths[0]} of {first}: expected the same")


def mean(shares: Sequence[float | None]) -> float | None:
    """Mean in percent; None if one is undefined."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if len(known) == len(shares) else None


def std(shares: Sequence[float | None]) -> float | None:
    """Sample standard deviation in percent; None if one is undefined or there is only one."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.std(known, ddof=1)) if len(known) == len(shares) > 1 else None
