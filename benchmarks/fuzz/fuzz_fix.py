"""Spoilt annotation files, and those of other programs, that are mended."""

import copy
import io
import json
import random
from contextlib import redirect_stdout
from pathlib import Path

import fuzz_forms
from fuzz_annotations import spoil, valid
from fuzz_forms import contradictions, other_meaning
from fuzz_oracle import is_right

from bcnet.cli import main


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
