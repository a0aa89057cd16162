"""Thousands of spoilt params files, predictions, model files, annotation files to be mended, and datasets.

No traceback, no hang, nothing wrong accepted, no mended file that contradicts its original beyond what was said.

python benchmarks/fuzz_inputs.py [cases] [seed] [params|predictions|model|fix|parts|amodal ...]
"""

import copy
import io
import json
import math
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import fuzz_forms
import jsonschema
import torch
from fuzz_annotations import spoil, valid
from fuzz_datasets import judge_amodal, judge_parts
from fuzz_forms import contradictions, other_meaning
from fuzz_oracle import all_triples, fits, is_right, line_of
from ruamel.yaml import YAML

from bcnet import methods, params
from bcnet.cli import main
from bcnet.data.coco import annotation_file, prediction_file
from bcnet.data.masks.segmentation import to_rle
from bcnet.files import InputError
from bcnet.models.segmenter import Spec
from bcnet.params.methods import variant as variant_of
from bcnet.params.models import Model, Predict
from bcnet.weights.model_file import load_model, save_model

ROOT = Path(__file__).parents[1]
HANGS = 30  # seconds
DEMO = (ROOT / "presets/demo.yaml").read_text("utf-8")
SCHEMA = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text("utf-8"))
WORDS = ("0", "-1", "true", "null", "[]", "{}", ".inf", ".nan", "1e300", "9" * 30, "9" * 5000, "''", "' '", "x" * 300)
WORDS += ("&a [*a]", "!!python/none x", "2024-13-45", '"\\0"', '"\\a"', "[" * 500, "{a: {b: {c: 1}}}", "- 1", "\t", "é")


class HangsError(Exception):
    """It takes too long."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise `HangsError` in what takes longer than `HANGS`."""

    def ring(*_: Any) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def spoilt_bytes(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes cut, doubled, or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(raw) + 1)
        end = min(len(raw), start + rng.choice((1, 1, 2, 10, 100)))
        some = rng.choice((rng.randbytes(1), rng.randbytes(4), b"[", b"}", b",", b"-", b"1e999", b"\xef\xbb\xbf", b""))
        before, cut, after = raw[:start], raw[start:end], raw[end:]
        raw = rng.choice(
            (before, before + after, before + some + cut + after, before + some + after, before + cut * 2 + after)
        )
    return raw


def judge_params(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A params file with spoilt values or bytes: refused in a line, or of what the schema allows."""
    path, text = folder / "params.yaml", DEMO
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 2))):
            spots = list(re.finditer(r"(?<=: )[^,{}\[\]\n#]+|(?<=[\[ ])[\d.]+(?=[,\]])|\b[a-z_]+(?=:)", text))
            spot = rng.choice(spots)
            text = text[: spot.start()] + rng.choice(WORDS) + text[spot.end() :]
        raw = text.encode(rng.choice(("utf-8", "utf-8", "latin-1", "utf-16")), "replace")
    else:
        raw = spoilt_bytes(text.encode(), rng)
    path.write_bytes(raw)
    try:
        loaded = params.load(path)
    except InputError as error:
        return "refused", line_of(error, path)
    wrong = []
    values = loaded.model_dump(mode="json")
    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(values):
        wrong.append(f"accepted against the schema: {error.message:.200}")
    said = YAML(typ="safe", pure=True).load(raw.decode("utf-8-sig"))
    wrong += [f"accepted {number}" for number in _numbers(said) if not abs(number) <= 1e9]
    return "accepted", wrong


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif type(value) in (int, float):
        yield value


def judge_predictions(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A spoilt file of predictions: taken if and only if slow Python finds it right."""
    truth = valid(rng)
    annotation_file.fill(truth)
    path, boxes = folder / "predictions.json", rng.random() < 0.3
    entries = []
    for annotation in truth["annotations"]:
        entry = {"image_id": annotation["image_id"], "category_id": annotation["category_id"], "score": rng.random()}
        keys = ["bbox"] if boxes else ["segmentation"]
        entries.append(entry | {key: copy.deepcopy(annotation[key]) for key in keys})
        if not boxes and rng.random() < 0.5:
            image = next(image for image in truth["images"] if image["id"] == entry["image_id"])
            entries[-1]["segmentation"] = to_rle(
                entry["segmentation"] if "segmentation" in entry else annotation["segmentation"],
                image["height"],
                image["width"],
            )
        if not boxes and rng.random() < 0.2:
            entries[-1] |= {"box_score": 0.5, "id": 3}
    if not boxes and rng.random() < 0.3:
        form, whole = rng.choice(list(fuzz_forms.OF_MASKS)), {"images": truth["images"], "annotations": entries}
        if form == "triples":  # of four corners each, which can be read as pairs
            fuzz_forms.masks_only(whole)
            fuzz_forms.polygons_only(whole)
        fuzz_forms.write(form, whole)
    holder = {"predictions": entries}
    if rng.random() < 0.75:
        for _ in range(rng.choice((0, 1, 1, 2))):
            with suppress(IndexError):  # nothing is left to be spoilt
                spoil(holder, rng)
        raw = re.sub(
            r'"DEEP (\d+)"', lambda deep: "[" * int(deep[1]) + "]" * int(deep[1]), json.dumps(holder.get("predictions"))
        ).encode()
    else:
        raw = spoilt_bytes(json.dumps(entries).encode(), rng)
    path.write_bytes(raw)
    try:
        prediction_file.read(path, truth)
        kind, wrong = "accepted", []
    except InputError as error:
        kind, wrong = "refused", line_of(error, path)
    right = predictions_are_right(raw, truth)
    if right is not None and right != (kind == "accepted"):
        wrong.append(f"the oracle {'accepts' if right else 'refuses'} it")
    return kind, wrong


def predictions_are_right(raw: bytes, truth: dict[str, Any]) -> bool | None:
    """Whether these are COCO's results; None where parsers differ: of deep nesting, and of 5.0 in the place of 5."""
    if raw.count(b"[") > 800 or re.search(rb"(_id\"|size\").{0,20}\d\.0", raw):
        return None
    try:
        entries = json.loads(raw.decode("utf-8-sig"))
    except ValueError:
        return False
    if not isinstance(entries, list):
        return False
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    boxes = bool(entries) and isinstance(entries[0], dict) and "segmentation" not in entries[0]

    def right(entry: Any) -> bool:
        if not isinstance(entry, dict) or not _is_finite(entry.get("score")):
            return False
        ids = entry.get("image_id"), entry.get("category_id")
        if any(type(number) is not int for number in ids) or ids[0] not in images or ids[1] not in categories:
            return False
        if boxes:
            box = entry.get("bbox")
            return isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box)) and min(box[2:]) >= 0
        sound = entry.get("box_score") is None or _is_finite(entry["box_score"])
        masks = [entry.get("segmentation"), *([entry["occluder"]] if entry.get("occluder") is not None else [])]
        return sound and all(fits(mask, images[ids[0]]["height"], images[ids[0]]["width"]) for mask in masks)

    return all(map(right, entries)) and (boxes or not all_triples(entry["segmentation"] for entry in entries))


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def model_about() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a small model and what its file says of it."""
    variant = variant_of(detector="faster_rcnn", backbone="efficientnet_lite0", method="mask_rcnn")
    sizes, predict = Model(fpn_channels=32, box_channels=32), Predict(short_side=64, max_side=64)
    about = {
        "variant": variant.model_dump(mode="json", exclude_unset=True),
        "model": sizes.model_dump(mode="json"),
        "predict": predict.model_dump(mode="json"),
        "categories": [{"id": 1, "name": "cup"}],
        "provenance": {"versions": {}},
    }
    return methods.build(Spec(variant, sizes, predict, 1)).state_dict(), about


TENSORS: dict[str, torch.Tensor] = {}
ABOUT: dict[str, Any] = {}


def judge_model(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """A model file with spoilt metadata, tensors or bytes: refused in a line, or of what its metadata says."""
    if not TENSORS:
        TENSORS.update(model_about()[0])
        ABOUT.update(model_about()[1])
    path, about, tensors = folder / "m.safetensors", copy.deepcopy(ABOUT), dict(TENSORS)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        spoil(about, rng)
    if rng.random() < 0.2:
        name = rng.choice(list(tensors))
        tensors[rng.choice((name, "more", name + ".x"))] = rng.choice(
            (torch.zeros(3), torch.zeros(()), torch.ones(2, 2, dtype=torch.int8))
        )
    with redirect_stderr(io.StringIO()):
        save_model(path, tensors, about)
    if rng.random() < 0.3:
        raw = path.read_bytes()
        header = 8 + int.from_bytes(raw[:8], "little")
        path.write_bytes(spoilt_bytes(raw[:header], rng) + raw[header:])
    try:
        model = load_model(path)
    except InputError as error:
        return "refused", line_of(error, path)
    expected = {name: tensor.shape for name, tensor in TENSORS.items()}
    found = {name: tensor.shape for name, tensor in model.module.state_dict().items()}
    ids = [category["id"] for category in model.categories]
    right = found == expected and len(ids) == 1 and type(ids[0]) is int and isinstance(model.provenance, dict)
    return "accepted", [] if right else [f"accepted a model of {len(found)} tensors with categories {ids}"]


def judge_fix(rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """An annotation file that is spoilt or of another program's form, and mended.

    It must be right afterwards, and nothing else than was said. Where only its form was another, its masks, boxes,
    categories and images must be those of the right file behind it.
    """
    path, out, form = folder / "file.json", folder / "out.json", fuzz_forms.some_form(rng)
    spoils = rng.choice((0, 0, 1, 1, 2, 3))
    right = valid(rng, objects=rng.randint(3, 8) if form == "triples" else rng.randint(1, 8))  # two don't tell
    if form == "triples" or (form not in ("as it is", "text") and rng.random() < 0.8):
        (fuzz_forms.masks_only if "RLE" in form or "run" in form else fuzz_forms.polygons_only)(right)
    data = copy.deepcopy(right)
    fuzz_forms.write(form, data)
    for _ in range(spoils):
        spoil(data, rng)
    entries = data.get("annotations")
    for place, annotation in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(annotation, dict):
            annotation["tag"] = place
    text = json.dumps(data)
    if "DEEP" in text:
        return "left out", []
    path.write_text(text)
    out.unlink(missing_ok=True)
    drop = ["--drop"] * (rng.random() < 0.5)
    said = io.StringIO()
    with redirect_stdout(said):
        code = main(["check", str(path), "--fix", str(out), "--all", *drop])
    if (code == 0) != out.exists() or code not in (0, 2):
        return "refused", [f"exit code {code}, {'a' if out.exists() else 'no'} file"]
    if code:
        refused = not spoils and form not in fuzz_forms.UNSURE
        return "refused", [f"refused: {form}: {said.getvalue()[-200:]}"] * refused
    wrong = [] if is_right(out.read_bytes()) else ["what was written is not right"]
    after = json.loads(out.read_text())
    if wrong:
        return "mended", wrong
    wrong += contradictions(json.loads(text), after, said.getvalue(), bool(drop))
    if not spoils:
        wrong += [f"mended: {form}"] * (form in fuzz_forms.EMPTY and after["annotations"] == [])
        wrong += other_meaning(right, json.loads(text), after, said.getvalue())
    return "mended", [f"{form}: {line}" for line in wrong]


JUDGES = {
    "params": judge_params,
    "predictions": judge_predictions,
    "model": judge_model,
    "fix": judge_fix,
    "parts": judge_parts,
    "amodal": judge_amodal,
}


def fuzz(what: str, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Judge spoilt files of one kind: counts of how they were taken, and what is wrong."""
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        for number in range(cases):
            try:
                with limited():
                    kind, found = JUDGES[what](random.Random(f"{what} {seed} {number}"), Path(folder))
            except Exception as error:  # whatever escapes is what this looks for
                kind, found = "crashed", [f"{type(error).__name__}: {error!s:.300}"]
            kinds[kind] += 1
            wrong += [f"{what} {number}: {it}" for it in found]
    return kinds, wrong


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    total, first_seed = (numbers + [2000, 0][len(numbers) :])[:2]
    failed = False
    for name in sys.argv[3:] or JUDGES:
        started = time.monotonic()
        taken, problems = fuzz(name, total, first_seed)
        print(
            f"{name}: {total} cases, seed {first_seed}, {time.monotonic() - started:.0f} s: {dict(taken)}", flush=True
        )
        print(*problems, f"{len(problems)} wrong", sep="\n", flush=True)
        failed = failed or bool(problems)
    sys.exit(failed)
