"""Made files that hold what COCO's own do: addresses, licences, outlines to a hundredth of a pixel, crowds as runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask


def outline(random: np.random.Generator, height: int, width: int) -> list[float]:
    """A star-shaped polygon of 4 to 40 corners, rounded as COCO rounds, inside the image."""
    angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(4, 41)))
    radius = random.uniform(8, min(height, width) / 3) * random.uniform(0.6, 1, len(angles))
    middle = random.uniform(0, (width, height))
    corners = middle + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.round(corners.clip(0, (width, height)), 2).ravel().tolist()


def area_and_box(polygons: list[list[float]]) -> tuple[float, list[float]]:
    """Pixels that outlines enclose, and the box around them, as COCO states both: not those of the rasterised mask."""
    area = 0.0
    for polygon in polygons:
        x, y = np.reshape(polygon, (-1, 2)).T
        area += float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
    x, y = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons]).T
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    return area, np.round([*low, *(high - low)], 2).tolist()


def like_coco(seed: int, images: int = 6, objects: int = 8, size: tuple[int, int] = (120, 160)) -> dict[str, Any]:
    """Ground truth: objects of one or two outlines that overlap, in every other image a crowd.

    Args:
        size: height and width of the largest images, pixels.
    """
    random = np.random.default_rng(seed)
    web = "http://images.cocodataset.org/val2017"
    licence = {"url": "http://creativecommons.org/licenses/by-nc-sa/2.0/", "id": 1, "name": "Attribution"}
    names = {3: ("vehicle", "car"), 7: ("vehicle", "train"), 90: ("indoor", "toothbrush")}
    content: dict[str, Any] = {
        "info": {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017, "date_created": "2017/09/01"},
        "licenses": [licence],
        "images": [],
        "annotations": [],
        "categories": [{"supercategory": above, "id": id, "name": name} for id, (above, name) in names.items()],
    }
    for image_id in random.permutation(range(1, 1000))[:images].tolist():
        height, width = (int(side - random.integers(side // 4)) for side in size)
        name = f"{image_id:012d}.jpg"
        about = {"license": 1, "file_name": name, "coco_url": f"{web}/{name}", "date_captured": "2013-11-21 01:34:01"}
        content["images"].append(about | {"height": height, "width": width, "flickr_url": f"{web}/z", "id": image_id})
        crowds = len(content["images"]) % 2
        for place in range(objects + crowds):
            polygons = [outline(random, height, width) for _ in range(random.choice([1, 1, 1, 2]))]
            area, box = area_and_box(polygons)
            annotation = {"segmentation": polygons, "area": area, "iscrowd": 0, "image_id": image_id, "bbox": box}
            annotation |= {"category_id": int(random.choice(list(names))), "id": 900000 + len(content["annotations"])}
            if place == objects:
                mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
                annotation |= {"iscrowd": 1, "segmentation": {"counts": runs(mask), "size": [height, width]}}
            content["annotations"].append(annotation)
    return content


def runs(mask: np.ndarray) -> list[int]:
    """Uncompressed RLE: how long the runs of equal pixels are, column by column, the first one of pixels outside."""
    pixels = mask.T.ravel()
    ends = np.flatnonzero(np.diff(pixels)) + 1
    lengths = np.diff([0, *ends, pixels.size]).tolist()
    return [0, *lengths] if pixels[0] else lengths


def write_folder(folder: Path, **parts: dict[str, Any]) -> None:
    """COCO's layout: annotations and JPEGs of each part, the first picture of a part without colours."""
    (folder / "annotations").mkdir(parents=True)
    for part, content in parts.items():
        (folder / part).mkdir()
        (folder / f"annotations/instances_{part}.json").write_text(json.dumps(content))
        for image in content["images"]:
            coarse = np.random.default_rng(image["id"]).integers(0, 256, (9, 12, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((image["width"], image["height"]), Image.Resampling.BICUBIC)
            if image is content["images"][0]:
                picture = picture.convert("L")
            picture.save(folder / part / image["file_name"])
