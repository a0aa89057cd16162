"""The embedded data: what every picture of it holds, and that a seed fixes its bytes."""

import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from skimage.draw import polygon2mask

from bcnet.data.synthetic.shapes import (
    CATEGORIES,
    MIN_PIXELS,
    OUTLINES,
    Shape,
    coverage,
    generate,
    paint,
    rings,
    scene,
    visible,
)
from bcnet.data.synthetic.textures import object_texture
from bcnet.params.data import Shapes

TRAIN, VAL, SIZE = 60, 3, 160
SETTINGS = Shapes(source="shapes")


def settings(**changes: int) -> Shapes:
    return Shapes(source="shapes", **{"seed": 0, "size": SIZE, "train": TRAIN, "val": VAL, **changes})


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes")
    generate(settings(), path)
    return path


@pytest.fixture(scope="module")
def coco(folder: Path) -> dict:
    return json.loads((folder / "annotations/instances_train.json").read_bytes())


@pytest.fixture(scope="module")
def pictures(coco: dict) -> list[list[dict]]:
    """The annotations of each picture, from front to back, with decoded masks."""
    rows = [
        {**a, "visible": rle.decode(a["segmentation"]) > 0, "amodal": rle.decode(a["amodal_segmentation"]) > 0}
        for a in coco["annotations"]
    ]
    by_image = [[r for r in rows if r["image_id"] == image["id"]] for image in coco["images"]]
    return [sorted(one, key=lambda r: r["depth"]) for one in by_image]


@pytest.fixture(scope="module")
def scenes() -> list[tuple[list[Shape], np.ndarray]]:
    """The objects that the pictures of `pictures` were painted from, and their amodal masks, from back to front."""
    return [scene(np.random.default_rng((0, 0, index)), SETTINGS) for index in range(1, TRAIN + 1)]


def slow_coverage(shape: Shape) -> np.ndarray:
    """Independent of Pillow: scikit-image decides for each subpixel whether it lies within the rings."""
    fine = SIZE * 4
    inside = np.zeros((fine, fine), bool)
    for ring in rings(shape):
        inside ^= polygon2mask((fine, fine), ring[:, ::-1] * fine - 0.5)
    return inside.reshape(SIZE, 4, SIZE, 4).mean((1, 3))


# ---- files


def test_same_settings_same_bytes(folder: Path, tmp_path: Path) -> None:
    generate(settings(), tmp_path)
    assert bytes_below(tmp_path) == bytes_below(folder)


def test_a_picture_depends_on_seed_part_and_index_only(folder: Path, tmp_path: Path) -> None:
    generate(settings(train=2, val=2), tmp_path)
    assert bytes_below(tmp_path / "images").items() <= bytes_below(folder / "images").items()
    first = [folder / "images" / part / name for part in ("train", "val") for name in ("000001.png", "000002.png")]
    assert len({path.read_bytes() for path in first}) == 4


def test_another_seed_makes_other_pictures(folder: Path, tmp_path: Path) -> None:
    generate(settings(seed=1, train=2, val=1), tmp_path)
    assert not set(bytes_below(folder / "images").values()) & set(bytes_below(tmp_path / "images").values())


def test_fewer_pictures_than_before_leave_none_behind(tmp_path: Path) -> None:
    generate(settings(train=5, val=1), tmp_path)
    generate(settings(train=2, val=1), tmp_path)
    assert sorted(p.name for p in (tmp_path / "images/train").iterdir()) == ["000001.png", "000002.png"]


def test_file_is_coco_format(folder: Path, coco: dict) -> None:
    assert coco["info"] | {"seed": 0, "size": SIZE, "part": "train"} == coco["info"]
    assert "bcnet" in coco["info"]["description"]
    assert [i["id"] for i in coco["images"]] == list(range(1, TRAIN + 1))
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    for image in coco["images"]:
        with Image.open(folder / "images/train" / image["file_name"]) as picture:
            assert (picture.mode, picture.size) == ("RGB", (image["width"], image["height"])) == ("RGB", (SIZE, SIZE))


def test_area_and_boxes_are_those_of_the_masks(pictures: list[list[dict]]) -> None:
    for row in (row for rows in pictures for row in rows):
        assert row["iscrowd"] == 0
        assert row["area"] == row["visible"].sum()
        for box, mask in (("bbox", "visible"), ("amodal_bbox", "amodal")):
            y, x = np.nonzero(row[mask])
            assert row[box] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


# ---- objects


def test_every_category_is_there_and_ids_have_gaps(coco: dict) -> None:
    ids = [c["id"] for c in coco["categories"]]
    assert len(ids) >= 8
    assert max(ids) > len(ids)
    counts = np.bincount([a["category_id"] for a in coco["annotations"]], minlength=max(ids) + 1)
    assert (counts[ids] > len(coco["annotations"]) / len(ids) / 3).all()
    assert counts.sum() == counts[ids].sum()


def test_four_to_nine_objects_none_of_them_nearly_invisible(pictures: list[list[dict]]) -> None:
    counts = [len(rows) for rows in pictures]
    assert (min(counts), max(counts)) == (4, 9)
    for row in (row for rows in pictures for row in rows):
        assert row["area"] >= MIN_PIXELS == 60
        assert row["area"] >= 0.15 * row["amodal"].sum()


def test_visible_is_amodal_without_what_is_nearer(pictures: list[list[dict]]) -> None:
    for rows in pictures:
        assert [row["depth"] for row in rows] == list(range(len(rows)))
        nearer = np.zeros((SIZE, SIZE), bool)
        for row in rows:
            assert (row["visible"] == (row["amodal"] & ~nearer)).all()
            nearer |= row["amodal"]
        assert sum(row["visible"].astype(int) for row in rows).max() == 1


def test_masks_and_order_are_those_of_an_independent_painter(scenes: list, pictures: list[list[dict]]) -> None:
    for (shapes, _), rows in list(zip(scenes, pictures, strict=True))[:6]:
        canvas = np.full((SIZE, SIZE), -1)
        for number, shape in enumerate(shapes):  # the painter's algorithm: what comes later hides what came before
            canvas[slow_coverage(shape) >= 0.5] = number
        for number, row in enumerate(reversed(rows)):
            ours, slow = row["visible"], canvas == number
            assert row["category_id"] == shapes[number].category
            assert (ours & slow).sum() / (ours | slow).sum() > 0.9  # pixels on the outline may fall either way


@pytest.mark.parametrize("category", CATEGORIES)
def test_coverage_is_that_of_the_polygon(category: int) -> None:
    shape = Shape(category, texture=0, centre=(0.45, 0.55), radius=0.3, aspect=1.3, angle=0.7)
    assert np.abs(coverage(shape, SIZE) - slow_coverage(shape)).mean() < 0.003


def test_only_the_ring_has_a_hole() -> None:
    assert [CATEGORIES[c] for c, outline in OUTLINES.items() if len(outline) == 2] == ["ring"]
    ring = next(c for c, name in CATEGORIES.items() if name == "ring")
    assert coverage(Shape(ring, 0, (0.5, 0.5), 0.3, 1.0, 0.0), SIZE)[SIZE // 2, SIZE // 2] == 0


# ---- overlap


def test_most_objects_overlap_another(pictures: list[list[dict]]) -> None:
    overlapped = []
    for rows in pictures:
        boxes = np.array([row["bbox"] for row in rows], float)
        iou = rle.iou(boxes, boxes, [0] * len(rows))
        np.fill_diagonal(iou, 0)
        overlapped += list(iou.max(1) > 0.05)
    assert 0.6 < np.mean(overlapped) < 0.97


def test_about_half_of_the_occluding_pairs_share_category_and_texture(scenes: list) -> None:
    pairs = [
        (a.category, a.texture) == (b.category, b.texture)
        for shapes, amodal in scenes
        for (a, mask_a), (b, mask_b) in combinations(zip(shapes, amodal, strict=True), 2)
        if (mask_a & mask_b).sum() > 20
    ]
    assert len(pairs) > 2 * TRAIN
    assert 0.4 < np.mean(pairs) < 0.6


def test_colour_does_not_tell_the_category(scenes: list) -> None:
    textures = {shape.texture: shape.category for shapes, _ in scenes for shape in shapes}
    colours = np.array([object_texture(texture, SIZE).mean((0, 1)) for texture in textures])
    categories = np.array(list(textures.values()))
    of_category = np.array([colours[categories == c].mean(0) for c in CATEGORIES])
    assert (of_category.std(0) < 0.4 * colours.std(0)).all()


def test_twins_continue_each_other_and_only_the_outline_parts_them() -> None:
    back = Shape(2, texture=5, centre=(0.4, 0.5), radius=0.25, aspect=1.0, angle=0.0)
    front = Shape(2, texture=5, centre=(0.6, 0.5), radius=0.25, aspect=1.0, angle=0.3)
    both, alone = (paint(np.random.default_rng(0), shapes, SETTINGS).astype(int) for shapes in ([back, front], [back]))
    changed = np.abs(both - alone).max(-1) > 40
    seen = visible(np.stack([coverage(s, SIZE) >= 0.5 for s in (back, front)]))
    inside_both = (coverage(back, SIZE) == 1) & (coverage(front, SIZE) == 1)
    assert seen[1][inside_both].all()
    assert 0.02 < changed[inside_both].mean() < 0.35  # the front's outline appears, the back's goes; the rest is equal


def test_more_objects_more_of_them_twins_and_fainter_outlines() -> None:
    """What the harder settings are for; with all beside the one before, a picture that is full is begun anew."""
    hard = Shapes(source="shapes", objects=(10, 14), beside=1.0, twin=1.0)
    for index in range(4):
        shapes, amodal = scene(np.random.default_rng(index), hard)
        assert 10 <= len(shapes) <= 14
        assert len({(shape.category, shape.texture) for shape in shapes}) == 1
        assert all((a & b).any() for a, b in pairwise(amodal))
    shapes = [Shape(1, 7, (0.5, 0.5), 0.2, 1, 0)]
    outlines = []
    for light in (0.5, 0.8, 1.0):
        settings = SETTINGS.model_copy(update={"outline_light": light})
        picture = paint(np.random.default_rng(0), shapes, settings).astype(int)
        ring = [picture[80, 80 + round(0.2 * SIZE)].sum(), picture[80, 80 - round(0.2 * SIZE)].sum()]
        outlines.append(sum(ring))
    assert outlines[0] < outlines[1] < outlines[2]
