"""`bcnet report`: one self-contained page of a run, from its tables, metrics, training logs and predictions."""

import base64
import csv
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bcnet.data import coco
from bcnet.data.pictures import read_image
from bcnet.data.split_rules import in_words
from bcnet.files import InputError, atomic_output, read_json
from bcnet.params import Params
from bcnet.params.data import Coco, Shapes
from bcnet.progress import progress
from bcnet.report import differences_section, pictures, provenance_section, published_section, rois
from bcnet.report.figures import DASHES, Line, Look, chart, data_uri, look, thinned
from bcnet.report.maps import colour_bar
from bcnet.report.methods import Method, evaluate_command, methods

SCRIPT = resources.files("bcnet.report").joinpath("page.js").read_text(encoding="utf-8")
PICTURES = 8
POINTS = 200  # of a training curve
LONGEST = 640  # side of a shown picture, pixels
COMPARISON = {"origin", "label", "detector", "backbone", "split", "seeds", "box_AP"}
COMPARISON |= {"objects", "images", "iterations", "why", "source"}
RECALL = {"origin", "label", "split", "cover_from", "cover_to", "objects", "AR", "AR50", "AR75", "why"}
Row = dict[str, str]
Looks = dict[Method, Look]


def report(params: Params, data: Path, reports: Path) -> list[str]:
    """Write `reports/D/index.html`, D the run's dataset; it needs no other file and no network.

    Of a run that is not finished it shows what is there, and lists what is missing with the commands that make it.

    Args:
        params: the run.
        data, reports: the folders that the stages write to.

    Returns:
        What is missing, a line a file.

    Raises:
        InputError: a table is missing (the line says which command makes it), or a file does not hold what its format
            says.
    """
    name = params.dataset
    data, reports = data / name, reports / name
    looks = {method: look(index) for index, method in enumerate(methods(params))}
    comparison = _table(reports / "tables" / "comparison.csv", COMPARISON)
    path = reports / "tables" / "differences.csv"
    differences = differences_section.section(_table(path, differences_section.COLUMNS), looks, path)
    recall = _table(reports / "tables" / "recall.csv", RECALL)
    published = _table(reports / "tables" / "published.csv", published_section.COLUMNS)
    environment = Environment(
        loader=PackageLoader("bcnet.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    missing = _missing_metrics(looks, params, reports)
    training = _training(looks, data, missing)
    shown = _pictures(looks, data, name, missing)
    maps = _maps(params, data, shown, missing)
    html = environment.get_template("page.html.j2").render(
        params=params,
        source=_source(params),
        made=isinstance(params.datasets[name], Shapes),
        splits={split: in_words(rule) for split, rule in params.splits.items()},
        looks=looks,
        comparison=_comparison(comparison),
        published=published_section.section(published),
        reasons=_reasons,
        differences=differences,
        beyond_chance=differences_section.beyond_chance,
        signed=differences_section.signed,
        recall=_recall(recall, looks, reports / "tables" / "recall.csv"),
        training=training,
        points=POINTS,
        rule=pictures.RULE.format(n=PICTURES),
        pictures=shown,
        maps=maps,
        maps_rule=rois.RULE,
        colour_bar=colour_bar(),
        provenance={method: provenance_section.section(method, params.splits, reports) for method in looks},
        missing=missing,
        script=Markup(SCRIPT),
        # of all scripts the browser runs this one only, whatever else may have got into the page
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )
    with atomic_output(reports / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return missing


def _source(params: Params) -> str:
    dataset = params.datasets[params.dataset]
    if isinstance(dataset, Shapes):
        counts = f"{dataset.train} train and {dataset.val} val pictures of {dataset.size} by {dataset.size} pixels"
        line = f"{counts}, made by the project with seed {dataset.seed}"
    elif isinstance(dataset, Coco):
        line = f"COCO 2017, {dataset.folder or dataset.url}"
    else:
        what = {"files": "own data in COCO format", "kins": "KINS", "cocoa": "COCOA"}[dataset.source]
        line = f"{what}: train {dataset.train.annotations}, val {dataset.val.annotations}"
    if params.train_on == "train":
        return line
    made = params.synthetic[params.train_on]
    with_real = " and the real ones" if made.keep_real else ""
    return f"{line}; trained on {params.train_on}: {made.pictures} pictures with pasted objects{with_real}"


def _there(path: Path, command: str, missing: list[str]) -> bool:
    """Whether a file is there; if not, `missing` gets a line about it."""
    if not path.exists():
        missing.append(f"{path}: missing, `{command}` makes it")
    return path.exists()


def _missing_metrics(looks: Looks, params: Params, reports: Path) -> list[str]:
    missing: list[str] = []
    for method in looks:
        for run in method.runs:
            for split in params.splits:
                path = reports / "metrics" / method.name / run / f"{split}.json"
                _there(path, evaluate_command(path, method, params.dataset), missing)
    return missing


def _table(path: Path, columns: set[str]) -> list[Row]:
    """The rows of a CSV that `bcnet compare` wrote, values as text, so that the page shows just what the file says."""
    if not path.exists():
        raise InputError(f"{path}: missing, `bcnet compare` makes it")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := columns - set(reader.fieldnames or ()):
            raise InputError(f"{path}: no column {min(missing)!r}, `bcnet compare` writes it")
        return list(reader)


def _reasons(row: Row) -> dict[str, str]:
    """Why a row's empty cells are empty, by column, from its `why`: `column, column: reason; column: reason`."""
    parts = [part.partition(": ") for part in row["why"].split("; ") if part]
    return {column: reason for columns, _, reason in parts for column in columns.split(", ")}


def _comparison(rows: list[Row]) -> dict[str, Any]:
    """The main table: its metrics, its rows by (split, origin), so that no origin is mixed with another, its notes."""
    metrics = [key for key in (rows[0] if rows else ()) if key not in COMPARISON and not key.endswith("_std")]
    shown = [*metrics, "box_AP", "detector", "backbone", "seeds", "iterations", "images", "objects"]
    notes: list[str] = []
    groups: dict[tuple[str, str], list[tuple[Row, dict[str, str]]]] = {}
    splits = list(dict.fromkeys(row["split"] for row in rows))
    for row in sorted(rows, key=lambda row: splits.index(row["split"])):
        stated = _reasons(row)
        reasons = {column: stated.get(column, "not stated") for column in shown if not row[column]}
        notes += [reason for reason in dict.fromkeys(reasons.values()) if reason not in notes]
        groups.setdefault((row["split"], row["origin"]), []).append((row, reasons))
    return {"metrics": metrics, "groups": groups, "notes": notes}


def _recall(rows: list[Row], looks: Looks, path: Path) -> list[dict[str, Any]]:
    """For each split: its bins, each method's row of bins, and the chart of AR over the bins."""
    parts = []
    for split in dict.fromkeys(row["split"] for row in rows):
        found: dict[Method, list[Row]] = {}
        for method in looks:
            wanted = (method.origin, method.label, split)
            found[method] = [row for row in rows if (row["origin"], row["label"], row["split"]) == wanted]
            if not found[method]:
                raise InputError(f"{path}: no row of {method.label!r}, split {split!r}: `bcnet compare` makes them")
        bins = max(found.values(), key=lambda bins: bool(bins[0]["objects"]))  # the first measured method's
        ticks = [f"{each['cover_from']} to {each['cover_to']}\nn = {each['objects'] or '?'}" for each in bins]
        lines = [
            Line(range(len(bins)), [float(each["AR"] or "nan") for each in mine], looks[method])
            for method, mine in found.items()
        ]
        drawing = chart(f"recall {split}", lines, "box_cover", "AR (percent)", (4.6, 2.9), ticks, top=100)
        parts.append({"split": split, "rows": found, "bins": bins, "chart": drawing})
    return parts


def _training(looks: Looks, data: Path, missing: list[str]) -> list[tuple[str, list[Method], Markup]]:
    """For each loss, their sum first: its name, the methods that have it, and its chart over iterations."""
    curves = [
        (method, DASHES[index % len(DASHES)], _curve(path))
        for method in looks
        if method.origin == "measured here"
        for index, seed in enumerate(method.runs)
        for path in [data / "models" / method.name / seed / "training.jsonl"]
        if _there(path, f"bcnet train {method.name} --seed {seed}", missing)
    ]
    names = dict.fromkeys([*(["loss"] if curves else []), *(str(name) for *_, curve in curves for name in curve)])
    charts = []
    for name in (name for name in names if name not in ("iteration", "lr")):
        having = [each for each in curves if name in each[2]]
        lines = [
            Line(curve["iteration"].tolist(), curve[name].tolist(), looks[method], dash)
            for method, dash, curve in having
        ]
        size = (5.0, 2.7) if name == "loss" else (3.2, 2.1)
        drawing = chart(f"training {name}", lines, "iteration", "loss", size)
        charts.append((name, list(dict.fromkeys(method for method, *_ in having)), drawing))
    return charts


def _curve(path: Path) -> pd.DataFrame:
    """A training log, a row a line, long ones thinned."""
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append({key: float(value) for key, value in orjson.loads(line).items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: expected a JSON object of numbers: {error}") from error
    table = pd.DataFrame(rows)
    if missing := {"iteration", "loss"} - set(table):
        raise InputError(f"{path}: no {min(missing)!r} in its lines")
    return pd.DataFrame(thinned(table.to_numpy(), POINTS), columns=table.columns)


def _pictures(looks: Looks, data: Path, dataset: str, missing: list[str]) -> list[dict[str, Any]]:
    """The pictures shown: each with its data URI and a panel for the ground truth and for each method's first run."""
    path = data / "splits" / "val.json"
    command = f"bcnet split --annotations {data / 'bilayer' / 'val.json'} --rule val --out {path}"
    if not _there(path, command, missing):
        return []
    truth = coco.read(path)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    chosen = pictures.most_occluded(truth["images"], truth["annotations"], PICTURES)
    ids = [image["id"] for image, _ in chosen]
    annotations = pictures.by_image(truth["annotations"], ids)
    predictions = {
        method: pictures.by_image(_predictions(data, method), ids)
        for method in progress(looks, "predictions", len(looks))
        if _there(_predicted(data, method), _predict_command(method, dataset), missing)
    }
    shown = []
    for image, overlap in progress(chosen, "pictures"):
        size = image["height"], image["width"]
        file = data / "images" / "val" / image["file_name"]
        if not _there(file, f"bcnet fetch {dataset}", missing):
            continue
        panels: list[tuple[str, Look | None, pictures.Panel]]
        panels = [("ground truth", None, pictures.truth_panel(annotations[image["id"]], names, size))]
        for method, drawn in predictions.items():
            panel = pictures.method_panel(annotations[image["id"]], drawn[image["id"]], names, size)
            panels.append((method.label, looks[method], panel))
        uri = data_uri(read_image(file, size), LONGEST)
        shown.append(
            {"image": image, "annotations": annotations[image["id"]], "overlap": overlap, "uri": uri, "panels": panels}
        )
    return shown


def _maps(params: Params, data: Path, shown: list[dict[str, Any]], missing: list[str]) -> dict[str, Any] | None:
    """The first BCNet's maps of the most covered objects in the pictures shown; None for a run without a BCNet."""
    bcnets = [
        name for name, each in params.variants.items() if (each.mask_head, each.structure) == ("bcnet", "bilayer")
    ]
    if not bcnets:
        return None
    name, seed = bcnets[0], params.seeds[0]
    weights = data / f"models/{name}/{seed}/model.safetensors"
    if not _there(weights, f"bcnet train {name} --seed {seed}", missing) or not shown:
        return None
    images = [(each["image"], each["annotations"]) for each in shown]
    return {
        "label": params.variants[name].label or name,
        "rois": rois.most_covered(weights, data / "images" / "val", images),
    }


def _predicted(data: Path, method: Method) -> Path:
    """The predictions of a method's first run."""
    return data / "predictions" / method.name / method.runs[0] / "val.json"


def _predict_command(method: Method, dataset: str) -> str:
    if method.origin == "brought":
        return f"bcnet fetch {dataset} --predictions {method.name}"
    seed = "" if method.origin == "imported" else f" --seed {method.runs[0]}"
    return f"bcnet predict {method.name}{seed} --split val"


def _predictions(data: Path, method: Method) -> list[dict[str, Any]]:
    """Those predictions of a method's first run that are drawn."""
    return [each for each in read_json(_predicted(data, method)) if each["score"] >= pictures.MIN_SCORE]
