"""Paired bootstrap: what its interval covers, and what it says of methods that are equal or undefined."""

import bootstrap_coverage
import numpy as np
import pytest
from evaluation_factory import EDGES, METRICS, made, run_on

from bcnet.evaluation.resampling import resampled
from bcnet.evaluation.significance import difference, draw_images


def row(value: float, draws: list[float]) -> np.ndarray:
    return np.array([[value, *draws]])


def test_the_interval_covers_a_known_difference():
    """200 cases of the benchmark's 1,000, with fewer draws; three metrics of each."""
    random = np.random.default_rng(1)
    truth = bootstrap_coverage.known(random)
    shares = bootstrap_coverage.covered(truth, 200, 150, 300, 1, 0, random)
    assert 0.92 < np.mean(list(shares.values())) < 0.97, shares


def test_draws_take_as_many_images_as_there_are_and_all_alike():
    times = draw_images(50, 4000)
    assert (times[0] == 1).all()
    assert (times.sum(axis=1) == 50).all()
    assert times[1:].mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert times[1:].var() == pytest.approx(1 - 1 / 50, rel=0.02)
    np.testing.assert_array_equal(times, draw_images(50, 4000))


def test_interval_and_p_are_those_of_the_draws():
    draws = np.linspace(-0.1, 0.9, 1001)
    found = difference(row(0.4, draws.tolist()), np.zeros((1, 1002)))
    assert (found.value, found.std, found.draws) == (0.4, None, 1001)
    assert (found.low, found.high) == (pytest.approx(-0.075), pytest.approx(0.875))
    assert found.p == pytest.approx(2 * (101 + 1) / 1002)
    turned = difference(np.zeros((1, 1002)), row(0.4, draws.tolist()))
    assert (turned.value, turned.low, turned.high) == (
        -found.value,
        pytest.approx(-found.high),
        pytest.approx(-found.low),
    )
    assert turned.p == found.p


def test_p_is_never_zero():
    assert difference(row(0.4, [0.5] * 999), np.zeros((1, 1000))).p == 2 / 1000


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_predictions_do_not_differ(seeds):
    times = draw_images(8, 100)
    runs = [resampled(run_on(*made(seed)), times, METRICS, EDGES) for seed in range(seeds)]
    for metric in runs[0]:
        values = np.stack([each[metric] for each in runs])
        found = difference(values, values.copy())
        assert (found.value, found.low, found.high, found.p, found.std) == (0, 0, 0, 1, None if seeds == 1 else 0)


def test_one_image_has_an_interval_of_no_width():
    truth, predictions = made(0, images=1)
    times = draw_images(1, 20)
    ours, theirs = (resampled(run_on(truth, each), times, METRICS, EDGES) for each in (predictions, predictions[::2]))
    found = difference(ours["AP", None, None][None], theirs["AP", None, None][None])
    assert found.low == found.high == pytest.approx(found.value)
    assert found.value > 0


def test_draws_without_objects_are_left_out():
    nan = float("nan")
    found = difference(row(0.5, [nan, 0.4, 0.6, nan]), row(0.1, [nan, 0.1, 0.1, nan]))
    assert (found.value, found.draws) == (0.4, 2)
    assert 0.3 < found.low < found.high < 0.5
    assert difference(row(nan, [0.1]), row(nan, [0.1])) is None
    assert difference(row(0.1, [nan]), row(0.1, [nan])) is None


def test_the_mean_is_over_seeds_and_their_spread_widens_the_interval():
    """Without images the variance of the draws is that of a mean of three: s² / 3."""
    ours, theirs = np.array([0.5, 0.7, 0.9]), np.array([0.1, 0.2, 0.1])
    draws = np.ones((1, 20001))
    found = difference(ours[:, None] * draws, theirs[:, None] * draws)
    by_seed = ours - theirs
    assert (found.value, found.std) == (pytest.approx(by_seed.mean()), pytest.approx(by_seed.std(ddof=1)))
    means = [(one + other) / 2 for one in by_seed for other in by_seed]  # of two seeds of three, all equally likely
    assert np.var(means) == pytest.approx(by_seed.var(ddof=1) / 3)
    assert (found.low, found.high) == (pytest.approx(min(means)), pytest.approx(max(means)))
    one_run = difference(ours[:, None] * draws, theirs[:1, None] * draws)
    assert one_run.value == pytest.approx(ours.mean() - 0.1)
    assert one_run.std == pytest.approx(ours.std(ddof=1))


def test_seeds_and_images_are_drawn_independently():
    """Both spread: the variances add up."""
    random = np.random.default_rng(0)
    of_images = random.normal(size=40)
    times = draw_images(40, 4000)
    drawn = times @ of_images / 40
    seeds = np.array([-1.0, 0.2, 0.8])
    found = difference(seeds[:, None] + drawn, np.zeros((1, 4001)))
    only_images = difference(drawn[None], np.zeros((1, 4001)))
    width = (found.high - found.low) ** 2 / (only_images.high - only_images.low) ** 2
    assert width == pytest.approx(1 + (seeds.var(ddof=1) / 3) / (of_images.var() / 40), rel=0.15)


def test_what_the_images_explain_of_the_seeds_is_not_counted_twice():
    """Runs of one skill, each with errors of its own on every picture: the interval is the mean's over pictures."""
    random = np.random.default_rng(0)
    times = draw_images(300, 4000)
    widths = []
    for _ in range(40):
        errors = random.normal(size=(3, 300))
        found = difference(errors @ times.T / 300, np.zeros((1, 4001)))
        widths.append((found.high - found.low) ** 2)
    only_images = (2 * 1.96) ** 2 / 3 / 300
    assert 1.0 < np.mean(widths) / only_images < 1.5  # half the time seeds happen to differ more; twice: 2


def test_rounding_is_no_difference():
    ours = np.array([[0.1], [0.2], [0.3]]) * np.ones((1, 101))
    found = difference(ours, ours[::-1])
    assert found.value == 0
    single = difference(np.full((1, 101), 0.1 + 0.2), np.full((1, 101), 0.3))
    assert (single.value, single.low, single.high, single.p) == (0, 0, 0, 1)
