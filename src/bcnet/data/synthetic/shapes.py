"""The embedded data: pictures of overlapping objects, made by the project, with visible and amodal masks and depth.

Objects lie on a textured ground, later ones in front of earlier ones. Most are put beside the one before, so that they
overlap it, and most of those repeat its category and texture: there, only the faint outline tells the two apart.
How many of each there are is `params.data.Shapes`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as rle

from bcnet.data.synthetic.textures import background, object_texture
from bcnet.files import atomic_output, write_json
from bcnet.layout import DatasetFiles
from bcnet.parallel import in_processes
from bcnet.params.data import Shapes
from bcnet.progress import progress
from bcnet.threads import processors

PARTS = ("train", "val")
# Ids with gaps, as COCO's own, so that code which takes ids for indices fails here and not on COCO.
CATEGORIES = {1: "disc", 2: "square", 3: "triangle", 5: "star", 6: "crescent", 8: "cross", 9: "ring", 11: "heart"}

RADIUS = (0.10, 0.19)  # of the side of the picture
MIN_OVERLAP = 0.15  # of the smaller of the two, for an object put beside another
MIN_VISIBLE, MIN_PIXELS = 0.2, 60  # every object shows this share of itself and this many pixels
OUTLINE = 0.02  # width, as a share of the side, half of it inside
NOISE = 0.02  # standard deviation, of full scale
SUPERSAMPLING = 4  # subpixels along a side, for smooth edges
TRIES = 30  # places tried before it is drawn anew whether the object goes beside the one before
ROUNDS = 100  # such drawings, after which a picture that has no room left is begun anew


@dataclass(frozen=True)
class Shape:
    """An object: what it is and how its outline is scaled, turned and placed. Lengths in sides of the picture."""

    category: int
    texture: int
    centre: tuple[float, float]  # x, y
    radius: float
    aspect: float  # height to width, before turning
    angle: float  # radians


def _arc(start: float, end: float, radius: float = 1, x: float = 0) -> np.ndarray:
    t = np.linspace(start, end, 64)
    return np.stack([x + radius * np.cos(t), radius * np.sin(t)], 1)


def _zigzag(corners: int, inner: float) -> np.ndarray:
    t = np.arange(2 * corners) * np.pi / corners - np.pi / 2
    return np.stack([np.cos(t), np.sin(t)], 1) * np.tile([1, inner], corners)[:, None]


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 64)
    x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2], 1) / 16


def _outlines() -> dict[str, list[np.ndarray]]:
    """Per category the outer polygon and, where it has one, the hole: (points, 2) x and y, radius about 1."""
    turn, a = 2 * np.pi, 0.35
    arm = np.array([(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1)])
    cross = np.concatenate([arm, [(-a, a), (-1, a), (-1, -a), (-a, -a)]])
    return {
        "disc": [_arc(0, turn)],
        "square": [0.85 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])],
        "triangle": [1.15 * _arc(0, turn)[[5, 26, 47]]],
        "star": [1.15 * _zigzag(5, 0.45)],
        "crescent": [np.concatenate([_arc(0.9, turn - 0.9), _arc(turn - 1.35, 1.35, 0.8, 0.45)])],
        "cross": [cross],
        "ring": [_arc(0, turn), _arc(0, turn, 0.5)],
        "heart": [_heart()],
    }


OUTLINES = {category: _outlines()[name] for category, name in CATEGORIES.items()}


def rings(shape: Shape) -> list[np.ndarray]:
    """An object's outer polygon and, where it has one, its hole: each (points, 2), x and y in sides of the picture."""
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    scale = shape.radius * np.array([shape.aspect**-0.5, shape.aspect**0.5])
    return [ring * scale @ np.array([(cos, sin), (-sin, cos)]) + shape.centre for ring in OUTLINES[shape.category]]


def _drawn(shape: Shape, size: int, draw_ring: Callable[[ImageDraw.ImageDraw, list[float], int], None]) -> np.ndarray:
    """Draw an object's rings with subpixels, by a function of canvas, points and ring number: (size, size), 0 to 1."""
    image = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    canvas = ImageDraw.Draw(image)
    for number, ring in enumerate(rings(shape)):
        # Pillow's coordinates name pixel centres, hence the half.
        draw_ring(canvas, (ring * size * SUPERSAMPLING - 0.5).ravel().tolist(), number)
    return np.asarray(image.reduce(SUPERSAMPLING), np.float32) / 255


def coverage(shape: Shape, size: int) -> np.ndarray:
    """How much of each pixel the whole object covers; its amodal mask is where that is at least a half.

    Args:
        shape: the object.
        size: side of the picture, pixels.

    Returns:
        (size, size) float32, 0 to 1.
    """
    return _drawn(shape, size, lambda canvas, points, number: canvas.polygon(points, 0 if number else 255))


def _outline(shape: Shape, size: int) -> np.ndarray:
    width = round(OUTLINE * size * SUPERSAMPLING)
    return _drawn(shape, size, lambda canvas, points, _: canvas.line(points + points[:4], 255, width, joint="curve"))


def visible(amodal: np.ndarray) -> np.ndarray:
    """What is seen of each object: its amodal mask without those of the objects in front of it.

    Args:
        amodal: (objects, H, W) bool, from back to front.

    Returns:
        (objects, H, W) bool.
    """
    from_front = np.logical_or.accumulate(amodal[::-1], axis=0)[::-1]
    hidden = np.concatenate([from_front[1:], np.zeros_like(amodal[:1])])
    return amodal & ~hidden


def _anywhere(rng: np.random.Generator) -> Shape:
    radius = rng.uniform(*RADIUS)
    return Shape(
        category=int(rng.choice(list(CATEGORIES))),
        texture=int(rng.integers(2**32)),
        centre=(rng.uniform(radius, 1 - radius), rng.uniform(radius, 1 - radius)),
        radius=radius,
        aspect=float(np.exp(rng.uniform(-0.3, 0.3))),
        angle=rng.uniform(0, 2 * np.pi),
    )


def _beside(rng: np.random.Generator, neighbour: Shape, twin: float) -> Shape:
    shape = _anywhere(rng)
    if rng.random() < twin:
        shape = replace(shape, category=neighbour.category, texture=neighbour.texture)
    distance, direction = rng.uniform(0.5, 0.9) * (shape.radius + neighbour.radius), rng.uniform(0, 2 * np.pi)
    x, y = neighbour.centre[0] + distance * np.cos(direction), neighbour.centre[1] + distance * np.sin(direction)
    return replace(shape, centre=(float(x), float(y)))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection of two masks as a share of the smaller one."""
    return float((a & b).sum() / min(a.sum(), b.sum()))


def scene(rng: np.random.Generator, settings: Shapes) -> tuple[list[Shape], np.ndarray]:
    """Draw the objects of a picture.

    Args:
        rng: what they are drawn from.
        settings: size of the picture, number of objects, and how many overlap and repeat others.

    Returns:
        The objects from back to front, and their amodal masks, (objects, size, size) bool.
    """
    size, count = settings.size, rng.integers(settings.objects[0], settings.objects[1] + 1)
    shapes: list[Shape] = []
    amodal = np.zeros((0, size, size), bool)
    rounds = 0
    while len(shapes) < count:
        rounds += 1
        if rounds % ROUNDS == 0:
            shapes, amodal = [], amodal[:0]
        beside = bool(shapes) and rng.random() < settings.beside
        for _ in range(TRIES):
            shape = _beside(rng, shapes[-1], settings.twin) if beside else _anywhere(rng)
            if not all(shape.radius <= c <= 1 - shape.radius for c in shape.centre):
                continue
            mask = coverage(shape, size) >= 0.5
            masks = np.concatenate([amodal, mask[None]])
            seen, whole = visible(masks).sum((1, 2)), masks.sum((1, 2))
            if (seen < MIN_PIXELS).any() or (seen < MIN_VISIBLE * whole).any():
                continue
            if beside and _overlap(mask, amodal[-1]) < MIN_OVERLAP:
                continue
            shapes, amodal = [*shapes, shape], masks
            break
    return shapes, amodal


def paint(rng: np.random.Generator, shapes: list[Shape], settings: Shapes) -> np.ndarray:
    """Paint objects on a ground.

    Args:
        rng: what ground and noise are drawn from.
        shapes: the objects from back to front.
        settings: size of the picture, and how dark outlines are.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    size = settings.size
    picture = background(rng, size)
    for shape in shapes:
        light = 1 - (1 - settings.outline_light) * _outline(shape, size)[..., None]
        alpha = coverage(shape, size)[..., None]
        picture += alpha * (object_texture(shape.texture, size) * light - picture)
    picture += rng.normal(0, NOISE, picture.shape)
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def _encoded(masks: np.ndarray) -> list[dict[str, Any]]:
    encoded = rle.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    return [{"size": mask["size"], "counts": mask["counts"].decode()} for mask in encoded]


def annotations(shapes: list[Shape], amodal: np.ndarray) -> list[dict[str, Any]]:
    """COCO annotations of a picture's objects, from front to back, still without `id` and `image_id`.

    Args:
        shapes: the objects from back to front.
        amodal: their amodal masks, (objects, H, W) bool.

    Returns:
        Per object `segmentation`, `area` and `bbox` of what is seen, `amodal_segmentation`, `amodal_bbox`, `depth`.
    """
    seen = visible(amodal)
    rows = [
        {
            "category_id": shape.category,
            "segmentation": visible_rle,
            "area": int(mask.sum()),
            "bbox": rle.toBbox(visible_rle).tolist(),
            "iscrowd": 0,
            "amodal_segmentation": amodal_rle,
            "amodal_bbox": rle.toBbox(amodal_rle).tolist(),
        }
        for shape, mask, visible_rle, amodal_rle in zip(shapes, seen, _encoded(seen), _encoded(amodal), strict=True)
    ]
    return [{**row, "depth": depth} for depth, row in enumerate(reversed(rows))]


def _file_name(index: int) -> str:
    return f"{index:06}.png"


def _make(part: str, settings: Shapes, folder: Path, index: int) -> list[dict[str, Any]]:
    """Write picture `index` (from 1) of a part and give its annotations."""
    rng = np.random.default_rng((settings.seed, PARTS.index(part), index))
    shapes, amodal = scene(rng, settings)
    with atomic_output(folder / _file_name(index)) as path:
        Image.fromarray(paint(rng, shapes, settings)).save(path, "PNG", compress_level=6)
    return annotations(shapes, amodal)


def _coco(part: str, settings: Shapes, per_picture: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """The COCO file of a part, from the annotations of each of its pictures."""
    size, rows = settings.size, [(image, row) for image, rows in enumerate(per_picture, 1) for row in rows]
    return {
        "info": {
            "description": "shapes: pictures of overlapping objects drawn by bcnet, no photographs",
            "part": part,
            "seed": settings.seed,
            "size": size,
        },
        "images": [
            {"id": i, "file_name": _file_name(i), "width": size, "height": size} for i in range(1, len(per_picture) + 1)
        ],
        "annotations": [{"id": i, "image_id": image, **row} for i, (image, row) in enumerate(rows, 1)],
        "categories": [{"id": i, "name": name, "supercategory": "shape"} for i, name in CATEGORIES.items()],
    }


def generate(settings: Shapes, folder: Path) -> None:
    """Make the data set: images `000001.png` … and annotations of train and val.

    Each picture is a function of (seed, part, index) and the size alone: more pictures do not change the first ones.

    Raises:
        InputError: a folder cannot be written.
    """
    files = DatasetFiles(folder)
    for part, count in (("train", settings.train), ("val", settings.val)):
        pictures = files.images(part)
        made = in_processes(partial(_make, part, settings, pictures), range(1, count + 1), processors())
        per_picture = list(progress(made, f"drawing {part}", count))
        for stale in set(pictures.glob("[0-9]" * 6 + ".png")) - {pictures / _file_name(i) for i in range(1, count + 1)}:
            stale.unlink()
        write_json(files.annotations(part), _coco(part, settings, per_picture), keep_equal=True)
