"""Overlaps of masks as runs of pixels, against whole masks and the erosions of scipy."""

import numpy as np
import pytest
from evaluation_factory import CATEGORIES, boxes, evaluated, made
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_erosion

from bcnet.data.masks.segmentation import encode, run_lengths, to_rle
from bcnet.evaluation.matching import overlap

SIDES = st.integers(1, 9)


def stored(masks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Masks as the runs of an image."""
    texts = [encode(mask)["counts"].encode() for mask in masks]
    stops = np.cumsum([len(text) for text in texts])
    return overlap.decode_all(np.frombuffer(b"".join(texts), np.uint8), np.concatenate([[0], stops[:-1]]), stops)


@st.composite
def some_masks(draw: st.DrawFn) -> list[np.ndarray]:
    shape = draw(SIDES), draw(SIDES)
    return draw(st.lists(arrays(bool, shape, elements=st.sampled_from([False, True, True])), min_size=1, max_size=4))


def shrunk(mask: np.ndarray, width: int) -> np.ndarray:
    """Erosion by a square, step by step; beyond the image is background."""
    return binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)


@settings(max_examples=150)
@given(some_masks())
def test_areas_and_boxes_are_those_of_the_coco_api(masks):
    runs, ends = stored(masks)
    assert overlap.areas(runs, ends).tolist() == [mask.sum() for mask in masks]
    expected = coco_mask.toBbox([encode(mask) for mask in masks])
    np.testing.assert_array_equal(overlap.boxes_around(runs, ends, len(masks[0])), expected)


def test_a_run_of_no_pixels_changes_no_box():
    runs = np.array([3, 3, 5, 7, 7, 9, 12, 12])  # rows 0 and 1 of the second column and on, in columns of 5
    assert overlap.boxes_around(runs, np.array([8]), 5).tolist() == [[1, 0, 1, 4]]
    assert overlap.inside(runs, 5, 1).tolist() == []


@settings(max_examples=300)
@given(arrays(bool, st.tuples(SIDES, SIDES), elements=st.sampled_from([False, True, True, True])), st.integers(1, 4))
def test_inside_is_an_erosion(mask, width):
    runs, _ = stored([mask])
    found = np.zeros(mask.size, bool)
    for start, end in overlap.inside(runs, len(mask), width).reshape(-1, 2):
        found[start:end] = True
    np.testing.assert_array_equal(found.reshape(mask.T.shape).T, shrunk(mask, width))


def test_inside_of_a_large_mask():
    mask = np.zeros((90, 70), bool)
    mask[5:80, 3:66] = True
    mask[40:45, 30:34] = False
    runs, _ = stored([mask])
    for width in (1, 2, 3, 7, 8, 12):
        assert overlap.areas(overlap.inside(runs, 90, width), np.array([1 << 30])).tolist() == [
            shrunk(mask, width).sum()
        ]


@settings(max_examples=150)
@given(some_masks(), st.integers(1, 2), st.data())
def test_ious_are_counted_pixels(masks, width, data):
    runs, ends = stored(masks)
    crowd = np.array(data.draw(st.lists(st.booleans(), min_size=len(masks), max_size=len(masks))))
    around, every = overlap.boxes_around(runs, ends, len(masks[0])), np.ones((len(masks), len(masks)), bool)
    found = overlap.mask_iou(
        runs, ends, overlap.areas(runs, ends).astype(float), around, runs, ends, around, crowd, every, np.inf
    )
    edges = [mask & ~shrunk(mask, width) for mask in masks]
    at_edge = overlap.boundary_iou(runs, ends, runs, ends, every, len(masks[0]), width)
    for d, mine in enumerate(masks):
        for g, theirs in enumerate(masks):
            whole = mine.sum() if crowd[g] else (mine | theirs).sum()
            assert found[d, g] == ((mine & theirs).sum() / whole if whole else 0)
            whole = (edges[d] | edges[g]).sum()
            assert at_edge[d, g] == ((edges[d] & edges[g]).sum() / whole if whole else 0)


def test_width_of_a_boundary():
    assert overlap.boundary_widths([(480, 640), (160, 160), (10, 10)]).tolist() == [16, 5, 1]


@pytest.mark.parametrize("seed", range(3))
def test_best_overlaps_of_detections_are_those_of_the_coco_api(seed):
    truth, predictions = made(seed)
    detections, objects, became = evaluated(truth, predictions)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    for d, place in enumerate(detections.place.tolist()):
        mine = predictions[place]
        for same, iou, which in (
            (True, became.same_iou[d], became.same_object[d]),
            (False, became.other_iou[d], became.other_object[d]),
        ):
            rivals = {
                place: float(coco_mask.iou([mine["segmentation"]], [rle(each, sizes)], [0])[0, 0])
                for place, each in enumerate(truth["annotations"])
                if each["image_id"] == mine["image_id"] and not each["iscrowd"]
                if (each["category_id"] == mine["category_id"]) == same
            }
            best = max(rivals.values(), default=0)
            if same or best >= overlap.CROSS_CATEGORY_MIN_IOU:
                assert iou == best
                assert (which == -1) == (best == 0)
                if best:
                    assert rivals[objects.place[which]] == best
    assert set(detections.category.tolist()) == set(CATEGORIES)


def rle(annotation: dict, sizes: dict) -> dict:
    return to_rle(annotation["segmentation"], *sizes[annotation["image_id"]])


def test_box_iou_is_the_coco_apis():
    _, predictions = made(0, images=1, objects=30)
    around = np.array([each["bbox"] for each in boxes(predictions)]) + np.random.default_rng(0).random(
        (len(predictions), 4)
    )
    crowd = np.arange(len(around)) % 3 == 0
    found, expected = overlap.coco_box_iou(around, around, crowd), coco_mask.iou(around, around, crowd.astype(np.uint8))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    assert len(run_lengths(predictions[0]["segmentation"]["counts"])) > 1
