"""AP in bins of occlusion: COCO's own with one bin, and by the definition with several."""

import numpy as np
import pytest
from evaluation_factory import coco_api, made
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bcnet.evaluation.matching.outcomes import CROWD, NOTHING
from bcnet.evaluation.metrics.occlusion.occlusion_ap import Draws, ap_by_bin


def matched(truth, predictions):
    """Arrays of all detections and objects from the COCO API's matching, and its AP."""
    evaluator = coco_api(truth, predictions, "segm")
    solid = [each for each in truth["annotations"] if not each["iscrowd"]]
    place = {each["id"]: index for index, each in enumerate(solid)}
    categories = sorted(each["id"] for each in truth["categories"])
    rows = []
    for pairs in evaluator.evalImgs:
        if pairs is None or pairs["aRng"] != evaluator.params.areaRng[0]:
            continue
        for index, score in enumerate(pairs["dtScores"]):
            ids, ignored = pairs["dtMatches"][:, index], pairs["dtIgnore"][:, index]
            places = [
                CROWD if ignored_ else place[int(id_)] if id_ else NOTHING
                for id_, ignored_ in zip(ids, ignored, strict=True)
            ]
            rows.append((categories.index(pairs["category_id"]), -score, pairs["image_id"], index, places))
    rows.sort(key=lambda row: row[:4])
    category = np.array([row[0] for row in rows])
    object_category = np.array([categories.index(each["category_id"]) for each in solid])
    return category, np.array([row[4] for row in rows], np.int32), object_category, evaluator.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_one_bin_is_cocos_ap(seed):
    category, places, object_category, ap = matched(*made(seed, images=12))  # with crowds, and ties of scores
    found = ap_by_bin(category, places, object_category, np.zeros(len(object_category), int), 1)
    assert np.ravel(found) == pytest.approx([ap, ap], abs=1e-12)
    assert 0.1 < ap < 0.9
    assert {NOTHING, CROWD} < set(places.flat)


def slowly(category, places, object_category, object_bin, where):
    """AP and APn of one bin, or nothing: a list of precisions and recalls for each category and threshold."""
    values = []
    for each in set(object_category[object_bin == where].tolist()):
        objects = np.sum((object_category == each) & (object_bin == where))
        total = np.sum(object_category == each)
        for threshold in range(places.shape[1]):
            curve, right, wrong = [], 0, 0
            for place in places[category == each, threshold]:
                if place == -1:
                    wrong += 1
                if place < 0 or object_bin[place] != where:
                    continue
                right += 1
                recall = right / objects
                curve.append((recall, right / (right + wrong), recall * total / (recall * total + wrong)))
            for wanted in np.linspace(0, 1, 101):
                beyond = [point for point in curve if point[0] >= wanted]
                values.append([max((point[form] for point in beyond), default=0) for form in (1, 2)])
    return np.mean(values, axis=0) if values else np.array([np.nan, np.nan])


@st.composite
def splits(draw):
    """Detections by category, each with an object of its category or none; no object is matched twice."""
    count = draw(st.integers(0, 9))
    object_category = draw(arrays(int, count, elements=st.integers(0, 2)))
    object_bin = draw(arrays(int, count, elements=st.integers(-1, 2)))
    category = np.sort(draw(arrays(int, draw(st.integers(0, 14)), elements=st.integers(0, 3))))
    places = np.full((len(category), 10), NOTHING, np.int32)
    for threshold in range(10):
        free = set(range(count))
        for index, each in enumerate(category):
            mine = [place for place in sorted(free) if object_category[place] == each]
            places[index, threshold] = draw(st.sampled_from([NOTHING, CROWD, *mine]))
            free.discard(int(places[index, threshold]))
    return category, places, object_category, object_bin


@given(splits())
def test_bins_follow_the_definition(split):
    expected = np.array([slowly(*split, where) for where in range(3)])
    np.testing.assert_allclose(np.concatenate(ap_by_bin(*split, 3)).T, expected, atol=1e-12)


@st.composite
def draws_of_images(draw):
    """A split of three images with five bins, a detection in the image of its objects; two draws of these images."""
    category, places, object_category, object_bin = draw(splits())
    object_image = draw(arrays(int, len(object_category), elements=st.integers(0, 2)))
    object_bin = np.where(
        object_bin < 0, -1, object_bin + 2 * draw(arrays(int, len(object_bin), elements=st.integers(0, 1)))
    )
    image = draw(arrays(int, len(category), elements=st.integers(0, 2)))
    image = np.where(places[:, 0] >= 0, np.append(object_image, 0)[np.maximum(places[:, 0], -1)], image)
    elsewhere = (places >= 0) & (np.append(object_image, -1)[np.maximum(places, -1)] != image[:, None])
    places = np.where(elsewhere, NOTHING, places).astype(np.int32)
    times = draw(arrays(np.uint16, (2, 3), elements=st.integers(0, 2)))
    return (category, places, object_category, object_bin), Draws(image, object_image, times)


def in_a_draw(split, draws, times):
    """The split in which each image stands so many times, written out."""
    category, places, object_category, object_bin = split
    objects = [(g, copy) for g, image in enumerate(draws.object_image) for copy in range(times[image])]
    place_of = {own: place for place, own in enumerate(objects)}
    detections = [(d, copy) for d, image in enumerate(draws.image) for copy in range(times[image])]
    rows = [[place if place < 0 else place_of[int(place), copy] for place in places[d]] for d, copy in detections]
    return (
        np.array([category[d] for d, _ in detections], int),
        np.array(rows, np.int32).reshape(-1, places.shape[1]),
        np.array([object_category[g] for g, _ in objects], int),
        np.array([object_bin[g] for g, _ in objects], int),
    )


@given(draws_of_images())
def test_draws_of_images_are_splits_in_which_images_stand_several_times(drawn):
    split, draws = drawn
    found = ap_by_bin(*split, 5, draws)
    for place, times in enumerate(draws.times):
        expected = np.array([slowly(*in_a_draw(split, draws, times), where) for where in range(5)])
        np.testing.assert_allclose(np.column_stack([of_form[place] for of_form in found]), expected, atol=1e-12)


def one_category(places, bins):
    """Numbers of two bins of one category, for detections that are matched alike at all thresholds."""
    rows = np.repeat(np.array(places, np.int32).reshape(-1, 1), 10, axis=1)
    found = ap_by_bin(np.zeros(len(places), int), rows, np.zeros(len(bins), int), np.array(bins), 2)
    return [each.tolist() for (each,) in found]


def test_perfect_and_nothing():
    assert one_category(range(5), [0, 0, 0, 0, 1]) == [[1, 1], [1, 1]]
    assert one_category([], [0, 0, 0, 0, 1]) == [[0, 0], [0, 0]]


def test_few_objects_cost_ap_but_not_normalised_ap():
    bins = [0] * 8 + [1] * 2
    ap, normalised = one_category([NOTHING, NOTHING, *range(10)], bins)  # both bins found alike, after two false ones
    assert ap == pytest.approx([8 / 10, 2 / 4])
    assert normalised == pytest.approx([10 / 12, 10 / 12])


def test_a_bin_without_objects_has_no_number():
    ap, normalised = one_category([0], [0])
    assert ap[0] == normalised[0] == 1
    assert np.isnan(ap[1])
    assert np.isnan(normalised[1])
