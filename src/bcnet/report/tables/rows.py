"""What the rows of every table are made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcnet.params import Params
from bcnet.params.models import DETECTORS

Row = dict[str, Any]


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
        Method("measured here", name, variant.label or name, DETECTORS[variant.detector], variant.backbone, seeds)
        for name, variant in params.variants.items()
    ]
    imported = [
        Method("imported", name, model.label, None, None, ("imported",)) for name, model in params.imported.items()
    ]
    brought = [
        Method("brought", name, brought.label, None, None, ("brought",)) for name, brought in params.predictions.items()
    ]
    return variants + imported + brought


def bcnets(params: Params) -> list[str]:
    """The variants that have an occluder layer, and so four maps."""
    return [name for name, each in params.variants.items() if (each.mask_head, each.structure) == ("bcnet", "bilayer")]


def evaluate_command(metrics: Path, method: Method, dataset: str) -> str:
    """The command that makes the metrics of a method (`…/metrics/NAME/RUN/SPLIT.json`) and the tables beside them."""
    predictions = f"data/{dataset}/predictions/{method.name}/{metrics.parent.name}/val.json"
    return (
        f"bcnet evaluate --annotations data/{dataset}/splits/{metrics.name} --predictions {predictions} --out {metrics}"
    )


def predict_command(method: Method, dataset: str) -> str:
    """The command that makes the predictions of a method's first run on val, and the files beside them."""
    if method.origin == "brought":
        return f"bcnet fetch {dataset} --predictions {method.name}"
    seed = "" if method.origin == "imported" else f" --seed {method.runs[0]}"
    return f"bcnet predict {method.name}{seed} --split val"


def why(row: Row, columns: list[str], reasons: dict[str, str]) -> str:
    """`columns that are empty: reason`, for each reason."""
    empty: dict[str, list[str]] = {}
    for column in columns:
        if row[column] is None:
            empty.setdefault(reasons[column], []).append(column)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in empty.items())


def flattened(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The values of nested sections, by their path with dots."""
    values: dict[str, Any] = {}
    for key, value in content.items():
        values |= flattened(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return values
