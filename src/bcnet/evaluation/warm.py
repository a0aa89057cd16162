"""Compile what `evaluate` needs, so that the first evaluation on a machine does not wait for it.

    python -m bcnet.evaluation.warm

`make setup` runs it. It evaluates made predictions of two images, whose annotations have all forms that masks may have.
"""

import os
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from bcnet.data.masks.segmentation import to_rle
from bcnet.evaluation.evaluate import evaluate
from bcnet.files import write_json
from bcnet.params.results import Evaluate

HEIGHT, WIDTH = 40, 60


def _box(left: int, top: int, right: int, bottom: int) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


def made() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO file, in which a bar splits what is behind it, a crowd is beside, and an image is empty; and predictions.

    The predictions are the objects' own masks, and rank their boxes otherwise.
    """
    bar, behind = [_box(25, 0, 35, 40)], [_box(5, 10, 25, 30), _box(35, 10, 55, 30)]
    crowd = to_rle({"size": [HEIGHT, WIDTH], "counts": [0, 200, HEIGHT * WIDTH - 200]}, HEIGHT, WIDTH)
    truth = {
        "images": [{"id": number, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH} for number in (1, 2)],
        "categories": [{"id": number, "name": str(number)} for number in (1, 2)],
        "annotations": [
            {"id": place, "image_id": 1, "category_id": category, "iscrowd": is_crowd, "segmentation": shape}
            for place, (category, is_crowd, shape) in enumerate([(1, 0, bar), (2, 0, behind), (1, 1, crowd)])
        ],
    }
    predictions = [
        {"image_id": 1, "category_id": number, "score": number / 4, "box_score": 0.5, "segmentation": mask}
        for number, mask in enumerate([to_rle(shape, HEIGHT, WIDTH) for shape in (bar, behind)], start=1)
    ]
    return truth, predictions


def main() -> None:
    """Evaluate them, and keep nothing."""
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        folder = Path(name)
        for file, content in zip(("truth.json", "found.json"), made(), strict=True):
            write_json(folder / file, content)
        evaluate(folder / "truth.json", folder / "found.json", folder / "out.json", Evaluate(draws=100))


if __name__ == "__main__":
    main()
