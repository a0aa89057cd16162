"""Whether a difference between two methods is more than chance: paired bootstrap over images and seeds."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True)
class Difference:
    """Of one metric between two methods, in the metric's unit.

    `low` and `high`: 95 % interval; `p`: two-sided, of no difference; `draws`: how many of them it comes from; `std`:
    sample standard deviation of the difference over seeds, None with one run of each method.
    """

    value: float
    low: float
    high: float
    p: float
    draws: int
    std: float | None


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


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference | None:
    """The difference `ours` minus `theirs` of a metric, each the mean over its seeds, on the same draws.

    Chance means other pictures of the same kind, and other seeds. A draw's value is the mean over seeds on its images
    and a normal deviate for other seeds. Runs differ on a split also because each errs on pictures of its own; that is
    drawn with the images, and counts once: the deviate's variance is s² / S, with s² the sample variance over S seeds,
    less what images explain of it. Of few seeds s² says little: so the draws are moved away from the value, to where
    Student's t has the quantile that a normal has there, with Satterthwaite's degrees of freedom. If all images are
    alike, this is the paired t-test. With one run of each method, or seeds that do not differ, draws stay as they are.
    How well the interval covers: docs/significance.md.

    Draws in which the metric is undefined for want of objects are left out. `p` is twice the share of draws on the
    other side of zero, and counts the split itself among them, so that it is never zero.

    Args:
        ours: (S, 1 + draws), of the rows of `draw_images`; NaN: undefined.
        theirs: the same, of the same seeds in the same order; one row of either is compared with each of the other.

    Returns:
        None where the metric is undefined on the split or in all draws. Sources: Efron and Tibshirani, An Introduction
        to the Bootstrap, 1993: percentile interval (chapter 13), its significance level (chapter 15); Satterthwaite, An
        Approximate Distribution of Estimates of Variance Components, 1946; Welch, The Generalization of Student's
        Problem when Several Different Population Variances are Involved, 1947.
    """
    by_seed = ours - theirs
    defined = ~np.isnan(by_seed).any(axis=0)
    if not defined[0] or not defined[1:].any():
        return None
    split, drawn = by_seed[:, 0], by_seed[:, 1:][:, defined[1:]]
    # sums of the same numbers in another order differ in the last digit, and would count as above or below zero
    value, values = np.round(split.mean(), 12), np.round(_with_seeds(split, drawn), 12)
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    beyond = min(np.sum(values <= 0), np.sum(values >= 0))
    return Difference(
        value=float(value),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (1 + int(beyond)) / (1 + len(values))),
        draws=len(values),
        std=float(np.std(split, ddof=1)) if len(split) > 1 else None,
    )


def _with_seeds(split: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(draws,): means over seeds, with what other seeds would add, of differences (S,) and in draws (S, draws)."""
    seeds, draws = drawn.shape
    values = drawn.mean(axis=0)
    variance = np.var(split, ddof=1) / seeds if seeds > 1 else 0.0  # of the mean
    if variance == 0:
        return values
    of_images = np.var(drawn - split[:, None], axis=0, ddof=1).mean() / seeds
    normal = norm.ppf((np.arange(draws) + 0.5) / draws)  # quantiles: of drawn numbers the tails would be left to luck
    random = np.random.default_rng([SEED, 1])  # other numbers than the images'
    values += np.sqrt(max(0.0, variance - of_images)) * random.permutation(normal)
    std = values.std()
    if std == 0:
        return values
    # only s² / S, S - 1 degrees of freedom, is uncertain: what the images add or take away is known from many
    freedom = (seeds - 1) * max(1.0, std**2 / variance) ** 2
    away = (values - split.mean()) / std
    return split.mean() + std * np.sign(away) * t.isf(norm.sf(np.abs(away)), freedom)
