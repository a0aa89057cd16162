"""The metrics of a run: those of every method on every split, what of them is missing, and means over runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bcnet.files import InputError, read_json
from bcnet.params import Params
from bcnet.report.methods import Method, evaluate_command, methods

KEYS = {"provenance", "segm", "bbox", "recall"}
STATED = {"origin", "images", "objects", "iou_type"}


@dataclass(frozen=True)
class Measured:
    """A method on a split: the files of its runs, and their metrics; none where `missing` says what is missing."""

    paths: tuple[Path, ...]
    runs: tuple[dict[str, Any], ...]
    missing: str


Found = Mapping[tuple[Method, str], Measured]


def measured(params: Params, folder: Path) -> Found:
    """The metrics of every method of the run on every split, in the order of params.yaml.

    Args:
        params: the run.
        folder: the reports of its dataset.

    Raises:
        InputError: there are none at all; a file is none of metrics; or those of two runs do not fit together.
    """
    found = {(method, split): _of(method, split, folder) for method in methods(params) for split in params.splits}
    if all(each.missing for each in found.values()):
        first = next(iter(found.values())).missing
        raise InputError(f"{folder / 'metrics'}: none of this run's metrics are there: {first}")
    return found


def _of(method: Method, split: str, folder: Path) -> Measured:
    paths = tuple(folder / "metrics" / method.name / run / f"{split}.json" for run in method.runs)
    missing = missing_line({path: path for path in paths if not path.exists()}, method, folder.name)
    runs = tuple(_read(path, method, folder.name) for path in paths if path.exists())
    _check_alike([path for path in paths if path.exists()], runs)
    return Measured(paths, () if missing else runs, missing)


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


def _read(path: Path, method: Method, dataset: str) -> dict[str, Any]:
    """Metrics that `evaluate` wrote, of predictions of that origin."""
    command = evaluate_command(path, method, dataset)
    metrics = read_json(path)
    if not isinstance(metrics, dict) or not metrics.keys() >= KEYS:
        raise InputError(f"{path}: expected metrics with provenance, segm, bbox and recall, `{command}` makes them")
    provenance = metrics["provenance"]
    if not isinstance(provenance, dict) or not provenance.keys() >= STATED:
        raise InputError(f"{path}: provenance: expected {', '.join(sorted(STATED))}, `{command}` makes them")
    if (origin := provenance["origin"]) != method.origin:
        raise InputError(f"{path}: provenance.origin: {origin!r}: expected {method.origin!r}, `{command}` makes it")
    return metrics


def _check_alike(paths: Sequence[Path], runs: Sequence[dict[str, Any]]) -> None:
    """Seeds can be averaged when they were trained alike and evaluated on the same objects in the same bins."""
    for path, run in zip(paths[1:], runs[1:], strict=True):
        for key in ("objects", "images", "annotations_sha256", "train_on", "schedule", "iou_type"):
            mine, first = run["provenance"].get(key), runs[0]["provenance"].get(key)
            if mine != first:
                raise InputError(f"{path}: provenance.{key}: {mine!r}: expected {first!r} as in {paths[0]}")
        if _bins(run) != _bins(runs[0]):
            raise InputError(f"{path}: recall: bins {_bins(run)}: expected {_bins(runs[0])} as in {paths[0]}")


def _bins(run: dict[str, Any]) -> list[tuple[float, float]] | None:
    return run["recall"] and [(each["from"], each["to"]) for each in run["recall"]["box_cover"]]


def mean(shares: Sequence[float | None]) -> float | None:
    """Mean in percent; None if one is undefined."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if len(known) == len(shares) else None


def std(shares: Sequence[float | None]) -> float | None:
    """Sample standard deviation in percent; None if one is undefined or there is only one."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.std(known, ddof=1)) if len(known) == len(shares) > 1 else None
