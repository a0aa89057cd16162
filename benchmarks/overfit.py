"""Train each method of the preset `shapes` on eight pictures until it knows them: mask AP50 on these same pictures.

.venv/bin/python benchmarks/overfit.py 400 [VARIANT …]

The number is that of iterations. A method that cannot get well over 90 here has a fault somewhere between its targets
and its pasted masks. Everything runs by the program's verbs in a temporary folder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from bcnet import layout

ROOT = Path(__file__).parents[1]
PICTURES = 8


def parameters(iterations: int, names: list[str]) -> dict:
    """The preset's, with few pictures, no flips, one seed and the variants that are asked for.

    Raises:
        SystemExit: a variant is not in the preset.
    """
    params = YAML(typ="safe").load(ROOT / "presets/shapes.yaml")
    if unknown := set(names) - set(params["variants"]):
        raise SystemExit(f"not in presets/shapes.yaml: {', '.join(sorted(unknown))}")
    params["datasets"]["shapes"] |= {"train": PICTURES, "val": 1}
    params["schedule"] |= {"iterations": iterations, "warmup": iterations // 10, "flip": 0.0}
    params["seeds"] = [0]
    params["variants"] = {name: entry for name, entry in params["variants"].items() if not names or name in names}
    params["tables"].pop("compare_to", None)
    return params


def bcnet(folder: Path, *arguments: str) -> None:
    """Run a verb in a folder; its output appears only where it fails.

    Raises:
        SystemExit: it failed.
    """
    environment = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | os.environ
    command = [sys.executable, "-W", "ignore", "-m", "bcnet", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"bcnet {' '.join(arguments)}: {result.stderr.strip().splitlines()[-1]}")


def main() -> None:
    params = parameters(int(sys.argv[1]), sys.argv[2:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "params.yaml").open("w") as file:
            YAML().dump(params, file)
        shutil.copytree(ROOT / "reference", folder / "reference")
        files = layout.DatasetFiles(layout.DATA / "shapes")
        annotations = str(files.bilayer("train"))
        bcnet(folder, "fetch", "shapes")
        bcnet(folder, "convert", "--annotations", str(files.annotations("train")), "--out", annotations)
        print("| variant | mask AP50 | mask AP | seconds |\n|---|---|---|---|", flush=True)
        for variant in params["variants"]:
            start = time.monotonic()
            bcnet(folder, "weights", "--name", variant)
            bcnet(folder, "train", variant)
            of_train = "--annotations", annotations
            predictions, metrics = f"{variant}.json", f"{variant}.metrics.json"
            pictures = "--images", str(files.images("train")), "--out", predictions
            bcnet(folder, "predict", "--model", str(files.run(variant, "0").model), *of_train, *pictures)
            bcnet(folder, "evaluate", *of_train, "--predictions", predictions, "--out", metrics)
            numbers = json.loads((folder / metrics).read_text())["segm"]
            seconds = time.monotonic() - start
            print(
                f"| {variant} | {100 * numbers['AP50']:.1f} | {100 * numbers['AP']:.1f} | {seconds:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
