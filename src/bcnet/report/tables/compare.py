"""The verb `compare`: the metrics of a run, and published numbers if asked for, as tables."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.files import atomic_output, write_json
from bcnet.layout import ReportFiles
from bcnet.params import Params
from bcnet.params.reference import REFERENCE
from bcnet.report.tables import intervals, occlusion, published
from bcnet.report.tables.ablation_steps import SWITCH, steps
from bcnet.report.tables.comparison import ABOUT, about, comparison, with_spread
from bcnet.report.tables.csv_file import write_csv
from bcnet.report.tables.differences import KEYS, NUMBERS, PERCENT, P, baselines, differences, with_verdicts
from bcnet.report.tables.draws import SplitDraws, draws_of
from bcnet.report.tables.intervals import estimates_of, interval_rows
from bcnet.report.tables.measured import Measurements, measured
from bcnet.report.tables.rows import Row

TEXTS = [*ABOUT, "baseline_origin", "baseline", "published_table", "method", "metric", "measure", "occluder"]
TEXTS += [*SWITCH, "category", "certainty", "schedule", "verdict", "why", "source", "provenance"]
LONG = pa.schema(
    {
        "table": pa.string(),
        **dict.fromkeys(TEXTS, pa.string()),
        **dict.fromkeys(("from", "to"), pa.float64()),
        "column": pa.string(),
        "value": pa.float64(),
    }
)
WHOSE = ["origin", "label", "split"]
SCORES = ("boundary_AP", "found_occluded", "found_separated", "leak", "ECE")  # of the benchmark, for DVC


@dataclass(frozen=True)
class Table:
    """A table: its rows, the columns of its CSV file, which of them are numbers, and how some are written there."""

    rows: list[Row]
    columns: list[str]
    numbers: list[str]
    formats: Mapping[str, str]


def compare(params: Params, reports: Path, reference: Path = REFERENCE) -> list[str]:
    """Write the run's tables: as CSV, and all of them as one Parquet file.

    Values are percent, means over seeds with the sample standard deviation beside them; two decimals in the CSV files
    (p: two digits), all of them in the Parquet file, which has one row a value, with the provenance as JSON. An empty
    number has its reason in `why`, with the command that makes it where metrics are missing. The numbers of each method
    go into files of their own, for `dvc metrics`.

    Args:
        params: whose variants, seeds, imported models, brought predictions and splits the rows are of, in this order.
        reports: the folder of all datasets' reports.
        reference: the published numbers.

    Returns:
        What metrics are missing, a line for each method and split.

    Raises:
        InputError: no metrics are there; some, or the tables beside them, are none; or those of two runs do not fit.
    """
    files = ReportFiles(reports / params.dataset)
    measurements = measured(params, files.folder)
    draws = draws_of(params, measurements)
    tables = _measured_tables(params, measurements, draws, reports)
    tables |= _tables_of_pairs(params, measurements, draws)
    tables["published"] = Table(
        published.published(params, measurements, reference), published.COLUMNS, published.NUMBERS, published.FORMATS
    )
    with ExitStack() as stack:
        for name, table in tables.items():
            path = stack.enter_context(atomic_output(files.table(name)))
            write_csv(path, table.rows, table.columns, table.formats)
        long = [row for name, table in tables.items() for row in _long(name, table)]
        parquet = stack.enter_context(atomic_output(files.all_tables))
        pq.write_table(pa.Table.from_pylist(long, schema=LONG), parquet)
    _write_scores(files.scores, _scores(params, measurements, tables))
    return [measurement.missing for measurement in measurements.values() if measurement.missing]


def _measured_tables(
    params: Params, measurements: Measurements, draws: Mapping[str, SplitDraws], reports: Path
) -> dict[str, Table]:
    """The tables whose rows are of one method on one split."""
    seeds = len(params.seeds)
    percent = with_spread([*params.tables.metrics, "box_AP"], seeds, intervals=True)
    main = ["seeds", *percent, "objects", "images", "iterations"]
    coping = with_spread(occlusion.BENCHMARK, seeds)
    counted = [*coping, *occlusion.COUNTS]
    in_bins = with_spread(occlusion.IN_BINS, seeds)
    of_category = with_spread(occlusion.CATEGORY, seeds)
    rows: dict[str, list[Row]] = {"comparison": [], "benchmark": [], "recall": [], "categories": [], "intervals": []}
    for (method, split), measurement in measurements.items():
        whose = about(method, split, measurement, reports)
        estimates, missing = estimates_of(draws[split], method), draws[split].missing[method]
        rows_of_table = {
            "comparison": [comparison(method, measurement, params.tables.metrics, main, estimates, missing)],
            "benchmark": [occlusion.benchmark(measurement, counted)],
            "recall": occlusion.recall(measurement, params.evaluate.bins(), in_bins),
            "categories": occlusion.categories(measurement, ["objects", *of_category]),
            "intervals": interval_rows(params, method, measurement, estimates, missing),
        }
        for name, added in rows_of_table.items():
            rows[name] += [whose | row for row in added]
    return {
        "comparison": Table(rows["comparison"], [*ABOUT, *main, "why", "source"], main, dict.fromkeys(percent, ".2f")),
        "benchmark": Table(rows["benchmark"], [*WHOSE, *counted, "why"], counted, dict.fromkeys(coping, ".2f")),
        "recall": Table(
            rows["recall"],
            [*WHOSE, *occlusion.BIN, "objects", *in_bins, "why"],
            ["objects", *in_bins],
            dict.fromkeys(in_bins, ".2f"),
        ),
        "categories": Table(
            rows["categories"],
            [*WHOSE, "category", "objects", *of_category, "why"],
            ["objects", *of_category],
            dict.fromkeys(of_category, ".2f"),
        ),
        "intervals": Table(
            rows["intervals"],
            [*WHOSE, *intervals.COLUMNS],
            intervals.NUMBERS,
            dict.fromkeys(intervals.PERCENT, ".2f"),
        ),
    }


def _tables_of_pairs(params: Params, measurements: Measurements, draws: Mapping[str, SplitDraws]) -> dict[str, Table]:
    """The tables whose rows are of two methods on one split."""
    against, single = baselines(params), steps(params)
    rows = differences(
        params, measurements, draws, dict.fromkeys([*against, *((step.baseline, step.method) for step in single)])
    )
    columns, formats = [*KEYS, *NUMBERS, "verdict", "why"], dict.fromkeys(PERCENT, ".2f") | dict.fromkeys(P, ".2g")
    of_steps = [
        {key: getattr(step, key) for key in SWITCH} | row
        for split in params.splits
        for step in single
        for row in rows[split, (step.baseline, step.method)]
    ]
    of_baselines = [row for split in params.splits for pair in against for row in rows[split, pair]]
    return {
        "differences": Table(with_verdicts(of_baselines), columns, NUMBERS, formats),
        "ablations": Table(with_verdicts(of_steps), [*SWITCH, *columns], NUMBERS, formats),
    }


def _long(name: str, table: Table) -> list[Row]:
    """One row a value."""
    rows = [row | ({"published_table": row["table"]} if "table" in row else {}) | {"table": name} for row in table.rows]
    return [
        {key: row.get(key) for key in LONG.names} | {"column": column, "value": row[column]}
        for row in rows
        for column in table.numbers
    ]


def _scores(
    params: Params, measurements: Measurements, tables: Mapping[str, Table]
) -> dict[Path, dict[str, float | None]]:
    """The main numbers of each method on each split that was measured, by file below the folder of metrics."""
    scores = {}
    bins = len(tables["recall"].rows) // len(measurements)
    for place, ((method, split), measurement) in enumerate(measurements.items()):
        if measurement.missing:
            continue
        main, coping = (tables[name].rows[place] for name in ("comparison", "benchmark"))
        own = {name: main[name] for name in (*params.tables.metrics, "box_AP")} | {
            name: coping[name] for name in SCORES
        }
        for row in tables["recall"].rows[place * bins : (place + 1) * bins]:
            if row["measure"] == "box_cover":
                own[f"AR box_cover {row['from']:g}-{row['to']:g}"] = row["AR"]
        scores[Path(method.name) / f"{split}.json"] = own
    return scores


def _write_scores(folder: Path, scores: Mapping[Path, Mapping[str, float | None]]) -> None:
    """Each file's numbers, to two decimals; what else lies in the folder, of methods that are no longer run, goes."""
    for path in folder.rglob("*.json"):
        if path.relative_to(folder) not in scores:
            path.unlink()
    for path, numbers in scores.items():
        rounded = {name: None if number is None else round(number, 2) for name, number in numbers.items()}
        write_json(folder / path, rounded, indent=True)
