"""Spoilt params files: refused in a line, or of what the schema allows."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
from fuzz_annotations import spoilt_bytes
from fuzz_oracle import line_of
from ruamel.yaml import YAML

from bcnet import params
from bcnet.files import InputError

ROOT = Path(__file__).parents[2]
DEMO = (ROOT / "presets/demo.yaml").read_text("utf-8")
SCHEMA = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text("utf-8"))
WORDS = ("0", "-1", "true", "null", "[]", "{}", ".inf", ".nan", "1e300", "9" * 30, "9" * 5000, "''", "' '", "x" * 300)
WORDS += ("&a [*a]", "!!python/none x", "2024-13-45", '"\\0"', '"\\a"', "[" * 500, "{a: {b: {c: 1}}}", "- 1", "\t", "é")


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
