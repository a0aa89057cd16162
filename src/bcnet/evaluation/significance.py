"""Whether a difference between two methods is more than chance: paired bootstrap over images and seeds."""

from dataclasses import dataclass

import numpy as np

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

    Chance means other pictures of the same kind, and other seeds. A draw has its images and, of S seeds, S - 1 with
    replacement, the same for both methods, since a seed gives both the same batches. (With S - 1 the variance of their
    mean is right; with S it would be too small by (S - 1) / S.) Runs differ on a split also because each errs on
    pictures of its own; that is drawn with the images, and counts once: the seeds' deviations are made smaller by the
    share of their variance that the images explain. With one run of each method the interval covers other pictures
    only. How well it covers both: docs/significance.md.

    Draws in which the metric is undefined for want of objects are left out. `p` is twice the share of draws on the
    other side of zero, and counts the split itself among them, so that it is never zero.

    Args:
        ours: (S, 1 + draws), of the rows of `draw_images`; NaN: undefined.
        theirs: the same, of the same seeds in the same order; one row of either is compared with each of the other.

    Returns:
        None where the metric is undefined on the split or in all draws. Sources: Efron and Tibshirani, An Introduction
        to the Bootstrap, 1993: percentile interval (chapter 13), its significance level (chapter 15); McCarthy and
        Snowden, The Bootstrap and Finite Population Sampling, 1985: S - 1.
    """
    by_seed = ours - theirs
    defined = ~np.isnan(by_seed).any(axis=0)
    if not defined[0] or not defined[1:].any():
        return None
    split, drawn = by_seed[:, 0], by_seed[:, 1:][:, defined[1:]]
    # sums of the same numbers in another order differ in the last digit, and would count as above or below zero
    value, values = np.round(split.mean(), 12), np.round(drawn.mean(axis=0) + _of_seeds(split, drawn), 12)
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


def _of_seeds(split: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(draws,): what other seeds would add, of differences on the split (S,) and in each draw of images (S, draws)."""
    seeds, draws = drawn.shape
    variance = np.var(split, ddof=1) if seeds > 1 else 0.0
    if variance == 0:
        return np.zeros(draws)
    of_images = np.var(drawn - split[:, None], axis=0, ddof=1).mean()
    random = np.random.default_rng([SEED, 1])  # other numbers than the images'
    shares = random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=draws) / (seeds - 1)
    return np.sqrt(max(0.0, 1 - of_images / variance)) * (shares @ (split - split.mean()))
