"""What a number rests on: its objects, their images, and how draws of few images fall short."""

import numpy as np
import pytest

from bcnet.evaluation.statistics.samples import FEW, sample, smaller
from bcnet.evaluation.statistics.significance import draw_images


def test_a_mean_over_objects_is_as_sure_as_its_images_are_many():
    found = sample(np.array([3, 3, 5, 8, 8, 8]), np.zeros(6, int), 100)
    assert (found.objects, found.images) == (6, 3)
    assert (found.widening, found.freedom) == (pytest.approx(3 / 2), pytest.approx(2))
    every = sample(np.arange(50), np.zeros(50, int), 50)
    assert (every.widening, every.freedom) == (pytest.approx(50 / 49), pytest.approx(49))


def test_draws_fall_short_of_the_variance_by_what_widens_them():
    """The variance of the mean of 12 numbers over draws, averaged over many sets of numbers, against the true one."""
    random, times = np.random.default_rng(0), draw_images(12, 2000)[1:]
    values = random.normal(size=(12, 4000))
    widening = sample(np.arange(12), np.zeros(12, int), 12).widening
    assert widening * (times @ values / 12).var(axis=0).mean() == pytest.approx(1 / 12, rel=0.03)


def test_the_rarest_categories_decide_over_a_mean_of_categories():
    """Two common categories and one that two images have."""
    image = np.concatenate([np.arange(40), np.arange(40), [0, 1]])
    group = np.repeat([0, 1, 2], [40, 40, 2])
    found = sample(image, group, 40)
    parts = np.array([1 / 40, 1 / 40, 1 / 2])
    drawn = parts * [39 / 40, 39 / 40, 1 / 2]
    assert found.widening == pytest.approx(parts.sum() / drawn.sum())
    assert found.freedom == pytest.approx(parts.sum() ** 2 / (parts**2 / [39, 39, 1]).sum())
    assert found.images == 40
    single = sample(np.array([4]), np.array([2]), 40)  # a category that one image has counts as if two had it
    assert (single.widening, single.freedom) == (2, 1)


def test_no_mean_is_surer_than_its_images_are_many():
    """Fifty categories in each of four images are alike in each."""
    image, group = np.repeat(np.arange(4), 50), np.tile(np.arange(50), 4)
    assert sample(image, group, 4).freedom == 3


def test_no_object_and_one_image_are_no_error():
    assert sample(np.zeros(0, int), np.zeros(0, int), 5) == (0, 0, 1, 1)
    assert sample(np.zeros(3, int), np.zeros(3, int), 1)[:2] == (3, 1)


def test_few_objects_or_images_are_few():
    many = sample(np.arange(FEW), np.zeros(FEW, int), 100)
    fewer = sample(np.arange(FEW - 1), np.zeros(FEW - 1, int), 100)
    assert (many.few, fewer.few) == (False, True)
    assert sample(np.zeros(500, int), np.zeros(500, int), 100).few  # of one image
    assert smaller(many, fewer) is fewer
