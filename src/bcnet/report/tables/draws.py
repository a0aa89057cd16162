"""The numbers of a run's methods on draws of the images of a split, the same draws for all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from bcnet import layout
from bcnet.evaluation.matching import detection_table
from bcnet.evaluation.matching.outcomes import KINDS
from bcnet.evaluation.metrics.occlusion import occlusion_bins
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import Drawn, drawn_means, drawn_numbers
from bcnet.evaluation.statistics.kept_draws import kept_draws
from bcnet.evaluation.statistics.resampling import Run, run_of
from bcnet.evaluation.statistics.samples import smaller
from bcnet.evaluation.statistics.significance import draw_images
from bcnet.files import InputError
from bcnet.params import Params
from bcnet.params.results import BINNED
from bcnet.progress import in_threads
from bcnet.report.tables.measured import Measured, Measurements, missing_line, read_table_of
from bcnet.report.tables.rows import Method, evaluate_command

TABLES = {
    layout.detection_table: "images",
    layout.object_table: "objects",
}  # beside metrics; what they have a row of
OBJECTS = ["image_id", "category_id", "area", *BINNED, *occlusion_bins.COLUMNS]  # columns that are needed


LEAK_OF_BOTH = "leak_found_by_both"


@dataclass(frozen=True)
class SplitDraws:
    """A split's draws.

    `missing`: of each method what is missing of its metrics and the tables beside them, nothing: an empty string. Of
    each other method `numbers`: each metric, its `values` (runs, 1 + draws); and, of masks, `leak`: (runs, G) of each
    object, NaN where it has none. `times`: (1 + draws, I), the draws; `objects`: a run, for the images of the objects.
    """

    missing: dict[Method, str]
    numbers: dict[Method, dict[Metric, Drawn]]
    leak: dict[Method, np.ndarray]
    times: np.ndarray
    objects: Run | None

    def leak_of_both(self, method: Method, baseline: Method) -> Drawn | None:
        """Leak of a method minus a baseline's, on the objects that have a leak of both; a row a run."""
        ours, theirs = self.leak.get(method), self.leak.get(baseline)
        if ours is None or theirs is None or self.objects is None:
            return None
        return _of_runs(drawn_means(self.objects, dict(enumerate(ours - theirs)), self.times).values())


@dataclass(frozen=True)
class _RunDraws:
    """A run by what it is matched by, its metrics in each draw, and the leak of each object, NaN for none."""

    kinds: dict[str, Run]
    numbers: dict[Metric, Drawn]
    leak: np.ndarray


def draws_of(params: Params, measurements: Measurements) -> dict[str, SplitDraws]:
    """The draws of each split.

    Args:
        params: whose `tables` names metrics and the number of draws.
        measurements: the run's metrics.

    Raises:
        InputError: two methods were evaluated on different pictures, or a table of an evaluation is none.
    """
    of_methods = list(dict.fromkeys(method for method, _ in measurements))
    return {
        split: _of_split(params, {method: measurements[method, split] for method in of_methods}, split)
        for split in params.splits
    }


def _of_split(params: Params, measurements: Mapping[Method, Measured], split: str) -> SplitDraws:
    missing = {method: _missing(params, method, measurement) for method, measurement in measurements.items()}
    runs = {
        path: (method, metrics["provenance"])
        for method, measurement in measurements.items()
        if not missing[method]
        for path, metrics in zip(measurement.paths, measurement.runs, strict=True)
    }
    if not runs:
        return SplitDraws(missing, {}, {}, np.ones((1, 0), np.uint16), None)
    times = draw_images(_images_of({path: provenance for path, (_, provenance) in runs.items()}), params.tables.draws)
    drawn = in_threads(partial(_numbers, params, times, runs), list(runs), f"draws of {split}")
    by_method: dict[Method, list[_RunDraws]] = {}
    for (method, _), of_run in zip(runs.values(), drawn, strict=True):
        by_method.setdefault(method, []).append(of_run)
    numbers = {method: _stacked([run.numbers for run in of_runs]) for method, of_runs in by_method.items()}
    leak = {
        method: np.stack([run.leak for run in of_runs])
        for method, of_runs in by_method.items()
        if all("segm" in run.kinds for run in of_runs)
    }
    return SplitDraws(missing, numbers, leak, times, next(iter(drawn[0].kinds.values())))


def _images_of(runs: Mapping[Path, dict]) -> int:
    """How many images all runs are evaluated on.

    Args:
        runs: the provenance of the metrics in each file.

    Raises:
        InputError: two runs are of other images or objects.
    """
    first, expected = next(iter(runs.items()))
    for path, provenance in runs.items():
        for key in ("images", "objects", "annotations_sha256"):
            if provenance.get(key) != expected.get(key):
                raise InputError(
                    f"{path}: provenance.{key}: {provenance.get(key)!r}: expected {expected.get(key)!r} as in {first}"
                )
    return expected["images"]


def _missing(params: Params, method: Method, measurement: Measured) -> str:
    """What is missing of the metrics of a method on a split and the tables beside them; nothing: an empty string."""
    if measurement.missing:
        return measurement.missing
    tables = {table_of(path): path for path in measurement.paths for table_of in TABLES}
    return missing_line({table: path for table, path in tables.items() if not table.exists()}, method, params.dataset)


def _stacked(of_runs: Sequence[dict[Metric, Drawn]]) -> dict[Metric, Drawn]:
    """The numbers of all runs of a method."""
    return {metric: _of_runs([numbers[metric] for numbers in of_runs]) for metric in of_runs[0]}


def _of_runs(drawn: Iterable[Drawn]) -> Drawn:
    """A number of several runs, a row each, which rests on the smallest sample."""
    values, samples = zip(*drawn, strict=True)
    return Drawn(np.stack(values), smaller(*samples))


def _numbers(params: Params, times: np.ndarray, runs: dict[Path, tuple[Method, dict]], path: Path) -> _RunDraws:
    """The metrics of one run in each draw; of boxes box AP, and recall and what is found matched by box."""
    method, provenance = runs[path]
    detections, objects = _read(path, provenance, evaluate_command(path, method, params.dataset))
    kinds = {kind: run_of(detections, objects, kind) for kind in KINDS[provenance["iou_type"]]}
    kept = _kept(path, len(times) - 1, evaluate_command(path, method, params.dataset))
    numbers = drawn_numbers(kinds, objects, params.evaluate.bins(), params.tables.metrics, times, kept)
    return _RunDraws(kinds, numbers, objects["leak"].to_numpy())


def _kept(path: Path, draws: int, command: str) -> dict[Metric, np.ndarray]:
    """Values that are in the table of draws beside the metrics of a run."""
    table = layout.draw_table(path)
    try:
        return kept_draws(table, [table_of(path) for table_of in TABLES], draws)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{table}: {str(error).splitlines()[0]}: expected what `{command}` makes") from error


def _read(path: Path, provenance: dict, command: str) -> tuple[pa.Table, pa.Table]:
    """The tables of detections and of objects beside the metrics of a run."""
    of_detections = detection_table.schema(provenance["iou_type"], provenance.get("box_scores", False)).names
    tables = []
    for (table_of, count), columns in zip(TABLES.items(), (of_detections, OBJECTS), strict=True):
        table = table_of(path)
        tables.append(read_table_of(table, columns, command))
        if tables[-1].num_rows != provenance[count]:
            raise InputError(f"{table}: {tables[-1].num_rows} rows: expected {provenance[count]}, as {path} says")
    return tables[0], tables[1]
