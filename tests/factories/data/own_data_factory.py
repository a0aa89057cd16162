"""A user's own pictures and annotations, and what `fetch` makes of them."""

import hashlib
import json

import numpy as np
from PIL import Image

from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode
from bcnet.params.data import Files, Part

HEIGHT, WIDTH = 12, 16
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[2:8, 3:9] = True


def make_part(annotations, images, names):
    """Pictures, and an annotation file of them that has no iscrowd, area and bbox."""
    content = {"images": [], "annotations": [], "categories": [{"id": 4, "name": "thing"}]}
    for number, name in enumerate(names, 1):
        pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(images / name)
        content["images"].append({"id": number, "height": HEIGHT, "width": WIDTH, "file_name": name})
        one = {"id": number, "image_id": number, "category_id": 4, "segmentation": encode(MASK)}
        content["annotations"].append(one)
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(content))


def own_files(root):
    parts = {
        part: Part(annotations=root / f"annotations/instances_{part}2017.json", images=root / f"{part}2017")
        for part in ("train", "val")
    }
    return Files(source="files", **parts)


def snapshot(folder):
    """Every file below a folder with its bytes and times."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_fetched(folder, pictures):
    for part in ("train", "val"):
        lines = ["file\tbytes\tsha256"]
        for name, path in sorted(pictures.items()):
            if name.startswith(f"{part}/"):
                content = path.read_bytes()
                lines.append(f"{name}\t{len(content)}\t{hashlib.sha256(content).hexdigest()}")
        assert (folder / f"images_{part}.tsv").read_text() == "\n".join(lines) + "\n"
        annotation_file.read(folder / f"annotations/instances_{part}.json")
