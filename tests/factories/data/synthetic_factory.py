"""A user's small dataset to paste objects in, and what `bcnet synthesize` made of it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from bcnet.data.masks.crops import crop
from bcnet.data.masks.segmentation import decode, encode, to_rle
from bcnet.data.sources.fetch import fetch
from bcnet.params.data import Files, Part, Synthetic

HEIGHT, WIDTH = 90, 120
REACHES_ALL_SIDES = ((0, 0), (30, 0), (30, 12), (14, 12), (14, 26), (0, 26))  # an L: it fills its box's sides


def polygon(x: float, y: float, scale: float = 1.0) -> list[list[float]]:
    return [[number for dx, dy in REACHES_ALL_SIDES for number in (x + scale * dx, y + scale * dy)]]


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def annotation(segmentation: object, **values: object) -> dict:
    rle = to_rle(segmentation, HEIGHT, WIDTH)
    window, pixels = crop(decode(rle, HEIGHT, WIDTH))
    box = [window[1].start, window[0].start, pixels.shape[1], pixels.shape[0]]
    return {"segmentation": segmentation, "bbox": box, "area": int(pixels.sum()), "iscrowd": 0, **values}


def make_data(root: Path, pictures: list[list[dict]]) -> Path:
    """A user's data with those annotations, fetched: data/mine."""
    content: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 4, "name": "four"}, {"id": 9, "name": "nine"}],
    }
    content["info"] = {"year": 2026}
    (root / "own").mkdir(parents=True)
    for number, rows in enumerate(pictures):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"own/{number}.png")
        image = {"id": 7 * number, "height": HEIGHT, "width": WIDTH, "file_name": f"{number}.png"}
        content["images"].append(image)
        for row in rows:
            own = {"id": 100 + len(content["annotations"]), "image_id": image["id"], "category_id": (4, 9)[number % 2]}
            content["annotations"].append(own | row)
    (root / "own.json").write_text(json.dumps(content))
    part = Part(annotations=root / "own.json", images=root / "own")
    fetch(Files(source="files", train=part, val=part), "mine", root / "data/mine")
    return root / "data/mine"


def pictures() -> list[list[dict]]:
    """Pictures with one or two whole objects among a crowd, an occluded pair, one at the border and a tiny one."""
    crowd = annotation(encode(rectangle(90, 50, 20, 30)), iscrowd=1)
    pair = [annotation(encode(rectangle(70, 3, 20, 15))), annotation(encode(rectangle(80, 8, 20, 15)))]
    border = annotation(encode(rectangle(0, 70, 20, 15)))
    tiny = annotation(
        [[30.0, 80.0, 30.2, 80.0, 30.2, 80.2]], bbox=[30, 80, 0.2, 0.2], area=0.02
    )  # rasterises to nothing
    return [
        [annotation(polygon(10, 10)), crowd, tiny],
        [annotation(polygon(20, 30, 1.5)), *pair],
        [border],
        [annotation(polygon(5, 5)), annotation(polygon(60, 30, 1.3)), border],
        [],
        [annotation(encode(decode(polygon(40, 20, 2), HEIGHT, WIDTH)))],
    ]


def settings(**values: object) -> Synthetic:
    return Synthetic.model_validate({"pictures": 12, "seed": 3, "min_pixels": 100, "hidden": [0.1, 0.6], **values})


def made(folder: Path, name: str = "sod") -> dict:
    return json.loads((folder / f"annotations/instances_{name}.json").read_text())
