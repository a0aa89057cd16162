"""How sure a number or a difference is: one bootstrap over images and seeds for both (docs/significance.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from bcnet.evaluation.statistics.samples import Sample

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A number, or a difference between two methods, in the metric's unit.

    `low` and `high`: 95 % interval; `p`: two-sided, of zero; `draws`: how many of them it comes from; `std`: sample
    standard deviation over seeds, None with one run; `sample`: what it rests on.
    """

    value: float
    low: float
    high: float
    p: float
    draws: int
    std: float | None
    sample: Sample


def draw_images(images: int, draws: int) -> np.ndarray:
    """How often each image is in each draw of the bootstrap: as many images as there are, with replacement.

    The same for equal arguments, so that all methods are measured on the same draws.

    Returns:
        (1 + draws, images) uint16; the first row is ones, the split as it is.
    """
    random = np.random.default_rng(SEED)
    times = np.ones((1 + draws, images), np.uint16)
    for row in times[1:]:
        row[:] = np.bincount(random.integers(images, size=images), minlength=images)
    return times


def estimate(by_seed: np.ndarray, sample: Sample, least: float, most: float) -> Estimate | None:
    """A number or a difference, the mean over its seeds, with its interval and p.

    Chance means other images of the same kind, as many, and other seeds. The interval comes from the draws' distance to
    their own mean: AP of drawn images is higher on average than AP of others, which says nothing of the method. It is
    widened for few images (`samples.sample`) and few seeds. A draw's value is the mean over seeds on its images and a
    normal deviate for other seeds. Runs differ on a split also because each errs on images of its own; that is drawn
    with the images, and counts once: the deviate's variance is s² / S, with s² the sample variance over S seeds, less
    what images explain of it. The ends lie as far out as Student's t lies beyond a normal, with Satterthwaite's degrees
    of freedom; if all images are alike, they are those of the t-test.

    `p` follows from the end towards zero: it is the level at which that end, moved along Student's t, meets zero. So it
    is below .05 just where the interval excludes zero, and is not limited by the number of draws.

    Where all draws are alike they show no variance, and k images with such objects bound it: other images may differ
    with a probability of up to 1 - .025^(1/k), by all that is possible (Clopper and Pearson's interval of none of k).

    Draws in which the number is undefined for want of objects are left out.

    Args:
        by_seed: (S, 1 + draws), the number or difference of each seed on the rows of `draw_images`; NaN: undefined.
        sample: what it rests on.
        least, most: what is possible; the interval ends there.

    Returns:
        None where it is undefined on the split or in all draws. Sources: Efron and Tibshirani, An Introduction to the
        Bootstrap, 1993, chapters 10 (bias), 13 (percentiles); Hesterberg, What Teachers Should Know About the
        Bootstrap, 2015 (widening for few); Satterthwaite, An Approximate Distribution of Estimates of Variance
        Components, 1946; Clopper and Pearson, The Use of Confidence or Fiducial Limits, 1934.
    """
    defined = ~np.isnan(by_seed).any(axis=0)
    if not defined[0] or not defined[1:].any():
        return None
    split, drawn = by_seed[:, 0], by_seed[:, 1:][:, defined[1:]]
    # sums of the same numbers in another order differ in the last digit, and would count as a difference
    value = float(np.round(split.mean(), 12)) + 0.0  # no negative zero
    values, freedom = _with_seeds(split, drawn, sample)
    spread = float(np.round(values.std(), 12))
    if spread == 0:
        low, high, p = _without_spread(value, sample.images, least, most)
    else:
        student = float(stdtrit(freedom, 1 - TAIL))
        ends = np.abs(np.quantile(values, [TAIL, 1 - TAIL]) - values.mean()) * student / ndtri(1 - TAIL)
        below, above = np.maximum(ends, spread)  # of draws that are mostly alike, an end may lie at their mean
        low, high = value - below, value + above
        p = float(2 * stdtr(freedom, -student * abs(value) / (below if value > 0 else above)))
    return Estimate(
        value=value,
        low=float(max(least, low)),
        high=float(min(most, high)),
        p=p,
        draws=drawn.shape[1],
        std=float(np.std(split, ddof=1)) if len(split) > 1 else None,
        sample=sample,
    )


def difference(ours: np.ndarray, theirs: np.ndarray, sample: Sample) -> Estimate | None:
    """The difference `ours` minus `theirs` of a metric from 0 to 1, on the same draws (`estimate`).

    Args:
        ours: (S, 1 + draws), of the rows of `draw_images`; NaN: undefined.
        theirs: the same, of the same seeds in the same order; one row of either is compared with each of the other.
        sample: what the difference rests on.
    """
    return estimate(ours - theirs, sample, -1.0, 1.0)


def corrected(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are: the false discovery rate at which it counts.

    Of the differences whose corrected p is at most .05, at most one in twenty is expected to be nothing. Source:
    Benjamini and Hochberg, Controlling the False Discovery Rate, 1995.
    """
    from scipy.stats import false_discovery_control  # takes half a second to load, and `evaluate` never needs it

    return [float(each) for each in false_discovery_control(p)] if p else []


def _with_seeds(split: np.ndarray, drawn: np.ndarray, sample: Sample) -> tuple[np.ndarray, float]:
    """Means over seeds in draws, widened and with what other seeds would add, and their degrees of freedom.

    Args:
        split: (S,) numbers on the split; `drawn`: (S, draws) in the draws.
    """
    seeds, draws = drawn.shape
    means = drawn.mean(axis=0)
    values = means.mean() + np.sqrt(sample.widening) * (means - means.mean())
    variance = np.var(split, ddof=1) / seeds if seeds > 1 else 0.0  # of the mean over seeds
    of_images = values.var()
    if variance > 0:
        own = sample.widening * np.var(drawn - split[:, None], axis=0, ddof=1).mean() / seeds
        normal = ndtri((np.arange(draws) + 0.5) / draws)  # quantiles: of drawn numbers the tails would be luck
        random = np.random.default_rng([SEED, 1])  # other numbers than the images'
        values = values + np.sqrt(max(0.0, variance - own)) * random.permutation(normal)
    total = values.var()
    if total == 0:
        return values, sample.freedom
    # only s² / S is uncertain to S - 1 degrees of freedom: what images add to or take from it is known better
    shares = np.array([of_images / total, min(1.0, variance / total)])
    return values, float(1 / (shares**2 / [sample.freedom, max(1, seeds - 1)]).sum())


def _without_spread(value: float, images: int, least: float, most: float) -> tuple[float, float, float]:
    """Low, high and p of a number that all draws share."""
    other = 1 - TAIL ** (1 / images)  # probability of another image to differ, at most
    away = value - least if value > 0 else most - value
    p = min(1.0, 2 * (1 - abs(value) / away) ** images) if value and away else 1.0
    return value - other * (value - least), value + other * (most - value), p
