"""What the rows of every table are made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcnet.layout import BROUGHT, DATA, IMPORTED, DatasetFiles
from bcnet.params import Params

Row = dict[str, Any]
UNSAID = {  # why a row has no seeds, by its origin
    "imported": "trained elsewhere",
    "brought": "brought predictions do not say",
}


@dataclass(frozen=True)
class Method:
    """What rows are made of: a variant, whose runs are its seeds, an imported model, or brought predictions."""

    origin: str
    name: str
    label: str
    detector: str | None  # None: the metrics' provenance says, or nobody
    backbone: str | None
    runs: tuple[str, ...]


def methods(params: Params) -> list[Method]:
    """The methods of a run, in the order of params.yaml: variants, imported models, brought predictions."""
    seeds = tuple(str(seed) for seed in params.seeds)
    variants = [
        Method("measured here", name, variant.label or name, variant.detector_name, variant.backbone, seeds)
        for name, variant in params.variants.items()
    ]
    imported = [
        Method("imported", name, model.label, None, None, (IMPORTED,)) for name, model in params.imported.items()
    ]
    brought = [
        Method("brought", name, brought.label, None, None, (BROUGHT,)) for name, brought in params.predictions.items()
    ]
    return variants + imported + brought


def compared_to(params: Params) -> list[Method]:
    """The methods that all others are compared with: those of `tables.compare_to` in its order, or the first one."""
    all_methods = methods(params)
    names = params.tables.compare_to or (all_methods[0].name,)
    return [method for name in names for method in all_methods if method.name == name]


def bcnets(params: Params) -> list[str]:
    """The variants that have an occluder layer, and so four maps."""
    return [name for name, variant in params.variants.items() if variant.has_occluder_layer]


def evaluate_command(metrics: Path, method: Method, dataset: str) -> str:
    """The command that makes the metrics of a method and the tables beside them."""
    run = DatasetFiles(DATA / dataset).run(method.name, metrics.parent.name)
    return run.evaluate_command(metrics.stem, metrics)


def predict_command(method: Method, dataset: str) -> str:
    """The command that makes the predictions of a method's first run on val, and the files beside them."""
    return DatasetFiles(DATA / dataset).run(method.name, method.runs[0]).predictions_command()


def why(row: Row, columns: list[str], reasons: dict[str, str]) -> str:
    """`columns that are empty: reason`, for each reason."""
    empty: dict[str, list[str]] = {}
    for column in columns:
        if row[column] is None:
            empty.setdefault(reasons[column], []).append(column)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in empty.items())
