"""The bootstrap over images and seeds: what its intervals cover, and what it says of methods that are equal."""

import bootstrap_coverage
import numpy as np
import pytest
from bootstrap_coverage import RARE, Case
from evaluation_factory import METRICS, made, run_on
from scipy import stats

from bcnet.evaluation.statistics.resampling import resampled
from bcnet.evaluation.statistics.samples import Sample
from bcnet.evaluation.statistics.significance import corrected, difference, draw_images, estimate

MANY = Sample(10**9, 10**9, 1.0, 1e9)  # so many images that few are no matter


def row(value: float, draws: list[float]) -> np.ndarray:
    return np.array([[value, *draws]])


@pytest.mark.parametrize(
    "case", [Case(150), Case(50, "against nothing"), Case(20, "unequal"), Case(50, "equal", RARE)], ids=str
)
def test_intervals_cover_what_is_known(case, monkeypatch):
    """Of differences and of numbers: 150 of the benchmark's cases, with fewer draws; AP, AP50, AR together."""
    monkeypatch.setattr(bootstrap_coverage, "IMAGES_OF_TRUTH", 12_000)
    shares = bootstrap_coverage.covered(case, 150, 200, np.random.default_rng(1))
    assert np.mean(shares.now[:3]) > 0.90, shares
    assert np.mean(shares.number_now[:3]) > 0.90, shares


def test_what_all_draws_have_in_common_moves_no_interval():
    """AP of drawn images is higher than that of others, of one method more than of another."""
    random = np.random.default_rng(0)
    noise = random.normal(scale=0.02, size=(1, 1001))
    noise[0, 0] = 0
    ours = 0.3 + noise
    ours[0, 1:] += 0.03
    one, both = estimate(ours, MANY, 0, 1), difference(ours, np.zeros((1, 1001)), MANY)
    assert (one.low, one.high, one.value) == (both.low, both.high, both.value)
    assert (one.low + one.high) / 2 == pytest.approx(0.3, abs=0.004)


def test_draws_take_as_many_images_as_there_are_and_all_alike():
    times = draw_images(50, 4000)
    assert (times[0] == 1).all()
    assert (times.sum(axis=1) == 50).all()
    assert times[1:].mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert times[1:].var() == pytest.approx(1 - 1 / 50, rel=0.02)
    np.testing.assert_array_equal(times, draw_images(50, 4000))


def test_interval_and_p_are_those_of_the_draws():
    draws = np.linspace(-0.1, 0.9, 1001)
    found = difference(row(0.4, draws.tolist()), np.zeros((1, 1002)), MANY)
    assert (found.value, found.std, found.draws) == (0.4, None, 1001)
    assert (found.low, found.high) == (pytest.approx(-0.075), pytest.approx(0.875))
    assert found.p == pytest.approx(2 * stats.norm.sf(1.96 * 0.4 / 0.475), abs=1e-4)
    turned = difference(np.zeros((1, 1002)), row(0.4, draws.tolist()), MANY)
    assert (turned.value, turned.low, turned.high) == (
        -found.value,
        pytest.approx(-found.high),
        pytest.approx(-found.low),
    )
    assert turned.p == pytest.approx(found.p)


def test_p_is_below_5_percent_just_where_the_interval_excludes_zero():
    random = np.random.default_rng(0)
    sides = []
    for sample in (MANY, Sample(30, 7, 7 / 6, 6.0)):
        for _ in range(300):
            drawn = random.gumbel(size=(1, 201)) / 4  # skewed
            drawn[0, 0] = random.normal(scale=0.7)
            found = difference(drawn / 9, np.zeros((1, 201)), sample)
            sides.append(found.low > 0 or found.high < 0)
            assert sides[-1] == (found.p < 0.05)
    assert 100 < sum(sides) < 500


def test_p_is_not_limited_by_the_number_of_draws():
    draws = stats.norm.ppf((np.arange(100) + 0.5) / 100) * 0.1
    found = difference(row(0.6, (0.6 + draws).tolist()), np.zeros((1, 101)), MANY)
    assert 1e-10 < found.p < 1e-7  # six standard errors


def test_few_images_widen_the_interval_as_in_the_t_test():
    """A mean over seven images of one object each: the draws' interval becomes about that of the t-test."""
    values = np.array([0.1, 0.35, 0.4, 0.2, 0.5, 0.3, 0.6])
    drawn = draw_images(7, 20000) @ values / 7
    found = estimate(drawn[None], Sample(7, 7, 7 / 6, 6.0), 0, 1)
    test = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(test), abs=0.02)
    narrow = estimate(drawn[None], MANY, 0, 1)
    assert narrow.high - narrow.low < 0.75 * (found.high - found.low)


@pytest.mark.parametrize("images", [1, 2, 12, 150])
def test_draws_that_are_all_alike_are_no_certainty(images):
    """None of k: Clopper and Pearson's interval; all of k found by one method only: the sign test."""
    sample = Sample(images, images, 1.0, 1.0)
    none = estimate(np.zeros((1, 101)), sample, 0, 1)
    exact = stats.binomtest(0, images).proportion_ci(method="exact")
    assert (none.low, none.high) == (0, pytest.approx(exact.high))
    found = difference(np.ones((1, 101)), np.zeros((1, 101)), sample)
    assert found.p == pytest.approx(stats.binomtest(images, images).pvalue)
    assert (found.low > 0) == (found.p < 0.05) == (images > 5)
    alike = difference(np.full((1, 101), 0.3), np.full((1, 101), 0.3), sample)
    assert (alike.value, alike.p) == (0, 1)
    assert alike.high == -alike.low == pytest.approx(exact.high)


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_predictions_do_not_differ(seeds):
    times = draw_images(8, 100)
    runs = [resampled(run_on(*made(seed)), times, METRICS) for seed in range(seeds)]
    for metric in runs[0]:
        values = np.stack([each[metric] for each in runs])
        found = difference(values, values.copy(), MANY)
        assert (found.value, found.p, found.std) == (0, 1, None if seeds == 1 else 0)
        assert (found.low, found.high) == pytest.approx((0, 0), abs=1e-7)


def test_draws_without_objects_are_left_out():
    nan = float("nan")
    found = difference(row(0.5, [nan, 0.4, 0.6, nan]), row(0.1, [nan, 0.1, 0.1, nan]), MANY)
    assert (found.value, found.draws) == (0.4, 2)
    assert 0.2 < found.low < found.high < 0.6
    assert difference(row(nan, [0.1]), row(nan, [0.1]), MANY) is None
    assert difference(row(0.1, [nan]), row(0.1, [nan]), MANY) is None


def test_an_interval_ends_where_numbers_do():
    found = estimate(row(0.95, np.linspace(0.5, 1, 100).tolist()), MANY, 0, 1)
    assert (found.high, found.low > 0.6) == (1.0, True)
    assert difference(row(0.95, np.linspace(0, 1, 100).tolist()), np.zeros((1, 101)), MANY).high == 1


def test_without_other_images_it_is_the_paired_t_test():
    ours, theirs = np.array([0.5, 0.7, 0.9]), np.array([0.4, 0.4, 0.4])
    draws = np.ones((1, 20001))
    found = difference(ours[:, None] * draws, theirs[:, None] * draws, MANY)
    by_seed = ours - theirs
    test = stats.ttest_rel(ours, theirs)
    assert (found.value, found.std) == (pytest.approx(by_seed.mean()), pytest.approx(by_seed.std(ddof=1)))
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()), abs=0.001)
    assert found.p == pytest.approx(test.pvalue, abs=0.001)
    one_run = difference(ours[:, None] * draws, theirs[:1, None] * draws, MANY)
    test = stats.ttest_1samp(ours - 0.4, 0)
    assert (one_run.value, one_run.std) == (pytest.approx(ours.mean() - 0.4), pytest.approx(ours.std(ddof=1)))
    assert one_run.p == pytest.approx(test.pvalue, abs=0.001)


def test_p_is_corrected_as_benjamini_and_hochberg_do():
    p = [0.01, 0.04, 0.03, 0.005, 0.8]
    slow = [
        min(min(1.0, other * len(p) / sum(each <= other for each in p)) for other in p if other >= own) for own in p
    ]
    assert corrected(p) == pytest.approx(slow)
    assert corrected([]) == []
    assert corrected([0.02]) == [0.02]


def made_draws(
    seeds: int, common: float, own: float, training: float, random: np.random.Generator, draws: int
) -> np.ndarray:
    """(seeds, 1 + draws) normal differences whose true mean is 0, of variances of images alike for all seeds, of each
    seed's own errors on images, and of training."""
    split = random.normal(scale=common**0.5) + random.normal(scale=(own + training) ** 0.5, size=(seeds, 1))
    drawn = random.normal(scale=common**0.5, size=draws) + random.normal(scale=own**0.5, size=(seeds, draws))
    return np.hstack([split, split + drawn])


def written_out(by_seed: np.ndarray, sample: Sample) -> tuple[float, float]:
    """Half the interval's width, were all draws normal, and the degrees of freedom: Satterthwaite's formula."""
    seeds, draws = by_seed.shape[0], by_seed.shape[1] - 1
    by_seed = by_seed.tolist()
    mean = sum(row[0] for row in by_seed) / seeds
    training = sum((row[0] - mean) ** 2 for row in by_seed) / (seeds - 1) / seeds
    means = [sum(row[draw] for row in by_seed) / seeds for draw in range(1, draws + 1)]
    images = sample.widening * sum((each - sum(means) / draws) ** 2 for each in means) / draws
    explained = 0.0
    for draw in range(1, draws + 1):
        off = [row[draw] - row[0] for row in by_seed]
        explained += sum((each - sum(off) / seeds) ** 2 for each in off) / (seeds - 1) / seeds / draws
    total = images + max(0.0, training - sample.widening * explained)
    counted = min(training, total)
    freedom = total**2 / (images**2 / sample.freedom + counted**2 / (seeds - 1))
    return stats.t(freedom).ppf(0.975) * total**0.5, freedom


@pytest.mark.parametrize("training", [0, 0.5, 20])
@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_the_interval_has_satterthwaites_width(seeds, training):
    """Several kinds of draws; in the last the images explain far more than the little that seeds differ by."""
    random = np.random.default_rng(seeds)
    for sample in (MANY, Sample(40, 12, 12 / 11, 11.0)):
        for common, own, share in ((1, 0.2, 1), (1, 2, 1), (0.1, 5, 1), (0.1, 5, 0.05)):
            by_seed = made_draws(seeds, common, own, training, random, 2000)
            by_seed -= (1 - share) * (by_seed[:, :1] - by_seed[:, :1].mean())
            found = estimate(by_seed, sample, -np.inf, np.inf)
            half, freedom = written_out(by_seed, sample)
            near = 0.1 if freedom > 3 else 0.4  # draws are not quite normal, which matters where tails are long
            assert found.high - found.low == pytest.approx(2 * half, rel=near)
            assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=near * half)
            assert found.value == pytest.approx(by_seed[:, 0].mean())


def test_the_order_of_the_draws_says_nothing():
    by_seed = made_draws(3, 1, 0.2, 5, np.random.default_rng(0), 2000)
    rising = np.hstack([by_seed[:, :1], by_seed[:, 1:][:, np.argsort(by_seed[:, 1:].mean(axis=0))]])
    found, ordered = (estimate(each, MANY, -np.inf, np.inf) for each in (by_seed, rising))
    assert ordered.high - ordered.low == pytest.approx(found.high - found.low, rel=0.1)


def test_the_interval_of_three_seeds_covers_the_truth():
    """Whether images, own errors on them or training vary most."""
    random = np.random.default_rng(0)
    for variances in ((1, 0, 0), (1, 0.3, 1), (1, 1, 1), (0, 1, 5), (0, 0.01, 5)):
        covered = []
        for _ in range(500):
            by_seed = made_draws(3, *variances, random, draws=400)
            found = estimate(by_seed, MANY, -np.inf, np.inf)
            covered.append(found.low <= 0 <= found.high)
        assert 0.92 < np.mean(covered) < 0.98, (variances, np.mean(covered))


def test_seeds_without_variance_leave_the_draws_as_they_are():
    drawn = np.random.default_rng(0).normal(size=(1, 1001))
    one, three = (estimate(np.repeat(drawn, seeds, axis=0), MANY, -np.inf, np.inf) for seeds in (1, 3))
    assert (three.low, three.high, three.p) == pytest.approx((one.low, one.high, one.p))
    middle = drawn[0, 0] - drawn[0, 1:].mean()
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn[:, 1:], [0.025, 0.975]) + middle))


def test_rounding_is_no_difference():
    ours = np.array([[0.1], [0.2], [0.3]]) * np.ones((1, 101))
    assert difference(ours, ours[::-1], MANY).value == 0
    single = difference(np.full((1, 101), 0.1 + 0.2), np.full((1, 101), 0.3), MANY)
    assert (single.value, single.p) == (0, 1)
