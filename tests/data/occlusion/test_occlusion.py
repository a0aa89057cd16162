"""Who occludes whom: pixel by pixel as the released rule says, on small drawn scenes and on large made ones."""

from itertools import groupby

import numpy as np
import pytest
from coco_factory import like_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bcnet.data.masks.segmentation import decode, encode
from bcnet.data.occlusion.geometry import box_corners, box_iou, occlusions, polygons
from bcnet.params.data import Convert

RULE = Convert()


def slow_iou(a, b, plus):
    """IoU of two COCO boxes as the released converter writes it down; `plus` 1 counts the last pixel in."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    w = max(0, min(ax + aw, bx + bw) - max(ax, bx) + plus)
    h = max(0, min(ay + ah, by + bh) - max(ay, by) + plus)
    union = (aw + plus) * (ah + plus) + (bw + plus) * (bh + plus) - w * h
    return w * h / union if union else 0.0


def bits(mask):
    """A set of pixels as a whole number, a bit for each pixel of the image: & cuts, | unites, bit_count counts."""
    return int.from_bytes(np.packbits(mask).tobytes())


def image_of(number, height, width):
    """The mask, (height, width) bool, of such a number."""
    size = height * width
    return np.unpackbits(np.frombuffer(number.to_bytes((size + 7) // 8), np.uint8))[:size].reshape(height, width) > 0


def slow_occlusions(annotations, height, width, rule):
    """The definitions of `occlusions`, with whole images and a loop over all pairs."""
    masks = [bits(decode(a["segmentation"], height, width)) for a in annotations]
    for i, target in enumerate(annotations):
        none = {"box_cover": 0.0, "mask_cover": 0.0, "max_box_iou": 0.0, "n_occluders": 0, "same_category": False}
        if target["iscrowd"]:
            yield None, none
            continue
        x, y, w, h = target["bbox"]
        box = np.zeros((height, width), bool)
        box[max(0, int(y)) : max(0, int(y + h)), max(0, int(x)) : max(0, int(x + w))] = True
        box = bits(box)
        everyone, union, highest, contributions = 0, 0, 0.0, []
        for j, other in enumerate(annotations):
            if j == i or other["iscrowd"]:
                continue
            everyone |= masks[j]
            highest = max(highest, slow_iou(target["bbox"], other["bbox"], plus=0))
            behind = rule.in_front and other.get("depth", 0) > target.get("depth", np.inf)
            if slow_iou(target["bbox"], other["bbox"], plus=1) > rule.min_box_iou and not behind:
                part = masks[j] & box
                union |= part
                contributions.append((part.bit_count(), other["category_id"]))
        measures = {
            "box_cover": (everyone & box).bit_count() / box.bit_count() if box else 0.0,
            "mask_cover": (everyone & masks[i]).bit_count() / masks[i].bit_count() if masks[i] else 0.0,
            "max_box_iou": highest,
        }
        if union.bit_count() <= rule.min_pixels:
            yield None, none | measures
            continue
        most = max(pixels for pixels, _ in contributions)
        main = next(category for pixels, category in contributions if pixels == most)
        count = sum(pixels > 0 for pixels, _ in contributions)
        yield union, measures | {"n_occluders": count, "same_category": main == target["category_id"]}


def assert_like_the_slow_way(annotations, height, width, rule):
    found = occlusions(annotations, height, width, rule)
    assert len(found) == len(annotations)
    for one, (union, measures) in zip(found, slow_occlusions(annotations, height, width, rule), strict=True):
        assert {name: getattr(one, name) for name in measures} == pytest.approx(measures, abs=1e-12)
        assert (one.occluder is None) == (union is None)
        if one.occluder is not None:
            assert one.occluder == encode(image_of(union, height, width))


@st.composite
def scenes(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    annotations = []
    for _ in range(draw(st.integers(0, 5))):
        # halves, so that both ways compute the same IoU to the last bit; boxes need not fit their mask
        x, y = draw(st.integers(-2, 2 * width)) / 2, draw(st.integers(-2, 2 * height)) / 2
        w, h = draw(st.integers(0, 2 * width)) / 2, draw(st.integers(0, 2 * height)) / 2
        annotations.append(
            {
                "segmentation": encode(draw(arrays(bool, (height, width)))),
                "bbox": [x, y, w, h],
                "category_id": draw(st.integers(1, 2)),
                "iscrowd": draw(st.sampled_from([0, 0, 0, 1])),
            }
            | draw(st.sampled_from([{}, {"depth": 0}, {"depth": 1}, {"depth": 2}]))
        )
    rule = Convert(
        min_box_iou=draw(st.sampled_from([0, 0.05, 0.25, 1])),
        min_pixels=draw(st.integers(0, 6)),
        in_front=draw(st.booleans()),
    )
    return annotations, height, width, rule


@given(scenes())
@settings(max_examples=300)
def test_any_scene_is_as_the_slow_way_has_it(scene):
    assert_like_the_slow_way(*scene)


@pytest.mark.parametrize("seed", range(3))
def test_every_annotation_of_a_file_like_cocos_own_is_as_the_slow_way_has_it(seed):
    data = like_coco(seed, images=12, objects=12)
    images = {image["id"]: image for image in data["images"]}

    def image_of(annotation):
        return annotation["image_id"]

    for image_id, group in groupby(sorted(data["annotations"], key=image_of), key=image_of):
        assert_like_the_slow_way(list(group), images[image_id]["height"], images[image_id]["width"], RULE)


def rectangle(x, y, w, h, category=1, crowd=0, height=40, width=60):
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    return {"segmentation": encode(mask), "bbox": [x, y, w, h], "category_id": category, "iscrowd": crowd}


def test_each_of_two_overlapping_objects_is_the_others_occluder():
    left, right = occlusions([rectangle(0, 0, 20, 10), rectangle(10, 0, 20, 10)], 40, 60, RULE)
    assert left.n_occluders == right.n_occluders == 1
    assert left.same_category
    assert left.box_cover == left.mask_cover == 0.5
    assert left.max_box_iou == 1 / 3
    assert decode(left.occluder, 40, 60).nonzero()[1].min() == 10


def test_a_union_of_20_pixels_or_fewer_counts_as_none():
    for height, expected in ((10, None), (11, 22)):  # two columns wide
        target, _ = occlusions([rectangle(0, 0, 20, height), rectangle(18, 0, 20, height)], 40, 60, RULE)
        assert (target.occluder and int(decode(target.occluder, 40, 60).sum())) == expected
        assert target.n_occluders == (expected is not None)
        assert target.same_category == (expected is not None)
        assert target.mask_cover == 0.1, "what covers is counted, whether or not it is enough for an occluder"


def test_a_crowd_neither_occludes_nor_is_occluded():
    target, crowd = occlusions([rectangle(0, 0, 20, 10), rectangle(0, 0, 20, 10, crowd=1)], 40, 60, RULE)
    assert target == crowd
    assert target.occluder is None
    assert target.box_cover == target.mask_cover == target.max_box_iou == target.n_occluders == 0


def test_the_main_occluder_is_the_one_with_most_pixels_in_the_box_and_the_first_of_equals():
    target, small = rectangle(10, 10, 20, 10, category=1), rectangle(0, 10, 14, 10, category=1)
    assert not occlusions([target, small, rectangle(25, 10, 20, 10, category=2)], 40, 60, RULE)[0].same_category
    assert occlusions([target, small, rectangle(26, 10, 20, 10, category=2)], 40, 60, RULE)[0].same_category


def test_in_front_only_what_depth_does_not_put_behind_occludes():
    scene = [rectangle(0, 0, 20, 10), rectangle(10, 0, 20, 10)]
    for (left, right), expected in {((0, 1)): (False, True), (1, 0): (True, False), (1, 1): (True, True)}.items():
        given_depth = [scene[0] | {"depth": left}, scene[1] | {"depth": right}]
        found = occlusions(given_depth, 40, 60, Convert(in_front=True))
        assert tuple(one.occluder is not None for one in found) == expected
        assert [one.box_cover for one in found] == [0.5, 0.5], "the measures do not ask who is in front"
    unknown = occlusions([scene[0] | {"depth": 0}, scene[1]], 40, 60, Convert(in_front=True))
    assert all(one.occluder for one in unknown), "where a depth is missing, each is the other's occluder"


def test_no_annotations_no_occlusions():
    assert occlusions([], 5, 5, RULE) == []


def test_box_iou_with_and_without_the_released_plus_one():
    boxes = np.array([[0, 0, 9, 9], [5, 0, 9, 9], [9.5, 0, 9, 9], [3, 3, 0, 0]])
    assert box_iou(boxes)[0] == pytest.approx([1, 36 / 126, 0, 0])
    assert box_iou(boxes, inclusive=True)[0] == pytest.approx([1, 50 / 150, 5 / 195, 1 / 100])
    assert box_iou(boxes)[3, 3] == 0


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([2.9, 1.2, 3.2, 2.7], (1, 3), (2, 6)),  # corners 2.9, 1.2 and 6.1, 3.9
        ([-1.5, -0.5, 4, 100], (0, 20), (0, 2)),
        ([3.1, 3.1, 0.5, 0.5], (3, 3), (3, 3)),
    ],
)
def test_a_box_is_cut_at_its_truncated_corners(box, rows, columns):
    assert box_corners(np.array([box]), 20, 30).tolist() == [[columns[0], rows[0], columns[1], rows[1]]]


def test_polygons_draw_the_mask_again_with_holes_made_solid():
    mask = np.zeros((30, 40), bool)
    mask[:12, :15] = True  # in the image's corner
    mask[20:28, 22:40] = True
    holed = mask.copy()
    holed[22:25, 26:30] = False
    for drawn in (mask, holed):
        np.testing.assert_array_equal(decode(polygons(encode(drawn)), 30, 40), mask)
