"""Paired bootstrap: what its interval covers, and what it says of methods that are equal or undefined."""

import bootstrap_coverage
import numpy as np
import pytest
from evaluation_factory import METRICS, made, run_on
from scipy import stats

from bcnet.evaluation.statistics.resampling import resampled
from bcnet.evaluation.statistics.significance import difference, draw_images


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
    runs = [resampled(run_on(*made(seed)), times, METRICS) for seed in range(seeds)]
    for metric in runs[0]:
        values = np.stack([each[metric] for each in runs])
        found = difference(values, values.copy())
        assert (found.value, found.low, found.high, found.p, found.std) == (0, 0, 0, 1, None if seeds == 1 else 0)


def test_one_image_has_an_interval_of_no_width():
    truth, predictions = made(0, images=1)
    times = draw_images(1, 20)
    ours, theirs = (resampled(run_on(truth, each), times, METRICS) for each in (predictions, predictions[::2]))
    found = difference(ours["AP"][None], theirs["AP"][None])
    assert found.low == found.high == pytest.approx(found.value)
    assert found.value > 0


def test_draws_without_objects_are_left_out():
    nan = float("nan")
    found = difference(row(0.5, [nan, 0.4, 0.6, nan]), row(0.1, [nan, 0.1, 0.1, nan]))
    assert (found.value, found.draws) == (0.4, 2)
    assert 0.3 < found.low < found.high < 0.5
    assert difference(row(nan, [0.1]), row(nan, [0.1])) is None
    assert difference(row(0.1, [nan]), row(0.1, [nan])) is None


def test_without_other_images_it_is_the_paired_t_test():
    ours, theirs = np.array([0.5, 0.7, 0.9]), np.array([0.1, 0.2, 0.1])
    draws = np.ones((1, 20001))
    found = difference(ours[:, None] * draws, theirs[:, None] * draws)
    by_seed = ours - theirs
    test = stats.ttest_rel(ours, theirs)
    assert (found.value, found.std) == (pytest.approx(by_seed.mean()), pytest.approx(by_seed.std(ddof=1)))
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()), abs=0.001)
    assert found.p == pytest.approx(test.pvalue, abs=0.001)
    one_run = difference(ours[:, None] * draws, theirs[:1, None] * draws)
    test = stats.ttest_1samp(ours - 0.1, 0)
    assert (one_run.value, one_run.std) == (pytest.approx(ours.mean() - 0.1), pytest.approx(ours.std(ddof=1)))
    assert one_run.p == pytest.approx(test.pvalue, abs=0.001)


def made_draws(
    seeds: int, common: float, own: float, training: float, random: np.random.Generator, draws: int
) -> np.ndarray:
    """(seeds, 1 + draws) normal differences whose true mean is 0, of variances of images alike for all seeds, of each
    seed's own errors on images, and of training."""
    split = random.normal(scale=common**0.5) + random.normal(scale=(own + training) ** 0.5, size=(seeds, 1))
    drawn = random.normal(scale=common**0.5, size=draws) + random.normal(scale=own**0.5, size=(seeds, draws))
    return np.hstack([split, split + drawn])


def written_out(by_seed: np.ndarray) -> tuple[float, float]:
    """Half the interval's width, were all draws normal, and the degrees of freedom: Satterthwaite's formula."""
    seeds, draws = by_seed.shape[0], by_seed.shape[1] - 1
    by_seed = by_seed.tolist()
    mean = sum(row[0] for row in by_seed) / seeds
    training = sum((row[0] - mean) ** 2 for row in by_seed) / (seeds - 1) / seeds
    means = [sum(row[draw] for row in by_seed) / seeds for draw in range(1, draws + 1)]
    images = sum((each - sum(means) / draws) ** 2 for each in means) / draws
    explained = 0.0
    for draw in range(1, draws + 1):
        off = [row[draw] - row[0] for row in by_seed]
        explained += sum((each - sum(off) / seeds) ** 2 for each in off) / (seeds - 1) / seeds / draws
    total = images + max(0.0, training - explained)
    freedom = total**2 / (training**2 / (seeds - 1))
    return stats.t(freedom).ppf(0.975) * total**0.5, freedom


@pytest.mark.parametrize("training", [0, 0.5, 20])
@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_the_interval_has_satterthwaites_width(seeds, training):
    """Several kinds of draws; in the last the images explain far more than the little that seeds differ by."""
    random = np.random.default_rng(seeds)
    for common, own, share in ((1, 0.2, 1), (1, 2, 1), (0.1, 5, 1), (0.1, 5, 0.05)):
        by_seed = made_draws(seeds, common, own, training, random, 2000)
        by_seed -= (1 - share) * (by_seed[:, :1] - by_seed[:, :1].mean())
        found = difference(by_seed, np.zeros_like(by_seed))
        half, freedom = written_out(by_seed)
        near = 0.1 if freedom > 3 else 0.4  # draws of images are not quite normal, which matters where tails are long
        assert found.high - found.low == pytest.approx(2 * half, rel=near)
        assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=near * half)
        assert found.value == pytest.approx(by_seed[:, 0].mean())


def test_the_order_of_the_draws_says_nothing():
    by_seed = made_draws(3, 1, 0.2, 5, np.random.default_rng(0), 2000)
    rising = np.hstack([by_seed[:, :1], by_seed[:, 1:][:, np.argsort(by_seed[:, 1:].mean(axis=0))]])
    found, ordered = (difference(each, np.zeros_like(each)) for each in (by_seed, rising))
    assert ordered.high - ordered.low == pytest.approx(found.high - found.low, rel=0.1)


def test_the_interval_of_three_seeds_covers_the_truth():
    """Whether images, own errors on them or training vary most; what p says agrees."""
    random = np.random.default_rng(0)
    for variances in ((1, 0, 0), (1, 0.3, 1), (1, 1, 1), (0, 1, 5), (0, 0.01, 5)):
        covered = []
        for _ in range(500):
            by_seed = made_draws(3, *variances, random, draws=400)
            found = difference(by_seed, np.zeros_like(by_seed))
            covered.append(found.low <= 0 <= found.high)
            assert covered[-1] == (found.p > 0.05) or 0.03 < found.p < 0.07
        assert 0.92 < np.mean(covered) < 0.98, (variances, np.mean(covered))


def test_seeds_without_variance_leave_the_draws_as_they_are():
    drawn = np.random.default_rng(0).normal(size=(1, 1001))
    one, three = (difference(np.repeat(drawn, seeds, axis=0), np.zeros((1, 1001))) for seeds in (1, 3))
    assert (three.low, three.high, three.p) == pytest.approx((one.low, one.high, one.p))
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn[:, 1:], [0.025, 0.975])))


def test_rounding_is_no_difference():
    ours = np.array([[0.1], [0.2], [0.3]]) * np.ones((1, 101))
    found = difference(ours, ours[::-1])
    assert found.value == 0
    single = difference(np.full((1, 101), 0.1 + 0.2), np.full((1, 101), 0.3))
    assert (single.value, single.low, single.high, single.p) == (0, 0, 0, 1)
