"""How often 95 % intervals cover the truth, on simulated methods of which it is known, and what is bold by chance.

.venv/bin/python benchmarks/evaluation/bootstrap_coverage.py [cases]

The truth is the mean over very many splits of as many images. The columns `before` are intervals of this project's
version 0.1: percentiles of the draws of a difference, and of one method's draws around their mean.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import Drawn, drawn_means, sample_of_area
from bcnet.evaluation.statistics.resampling import Run, resampled
from bcnet.evaluation.statistics.samples import smaller
from bcnet.evaluation.statistics.significance import CONFIDENCE, corrected, difference, draw_images, estimate

DRAWS = 500
IMAGES_OF_TRUTH = 200_000  # over all splits that the truth is the mean of
COVERED, HIDDEN = 0.7, 0.95  # share of the box, from which an object is covered, or hidden: a tenth to a twentieth
EVEN = (1 / 3,) * 3  # shares of the categories
RARE = tuple(np.arange(1, 16) ** -1.5 / (np.arange(1, 16) ** -1.5).sum())  # the last one's: under 1 %
PAIRS = {"alike": (0.6, 0.0), "equal": (0.0, 0.0), "unequal": (0.6, -4.0), "against nothing": (0.6, -40.0)}
METRICS = ("AP", "AP50", "AR of covered", "found of hidden")


@dataclass(frozen=True)
class Case:
    """Two methods by their skill (a step of the ten IoU thresholds is 1), on so many images of such categories.

    `seeds`: runs of each; `spread`: standard deviation of the skill from run to run.
    """

    images: int
    pair: str = "alike"
    shares: tuple[float, ...] = EVEN
    seeds: int = 1
    spread: float = 0.0


CASES = (
    *(Case(images, pair, shares) for images in (20, 50, 150) for shares in (EVEN, RARE) for pair in PAIRS),
    Case(400),
    Case(400, "unequal", RARE),
    Case(150, seeds=3),
    Case(150, seeds=3, spread=0.1),
    Case(150, seeds=3, spread=0.3),
    Case(150, seeds=5, spread=0.3),
    Case(150, seeds=1, spread=0.1),
)


class Pictures:
    """Made pictures as an evaluation sees them: objects, and how hard each is to find for any method."""

    def __init__(self, images: int, shares: Sequence[float], random: np.random.Generator) -> None:
        self.images, self.shares, self.random = images, shares, random
        self.image = np.repeat(np.arange(images), random.poisson(4, images))
        self.category = random.choice(len(shares), size=len(self.image), p=shares)
        self.cover = random.random(len(self.image))
        self.hardness = random.normal(size=images)[self.image] + random.normal(size=len(self.image)) + 2 * self.cover

    def run(self, skill: float) -> tuple[Run, np.ndarray]:
        """A method's detections: better where objects are easy, with scores that tell something, and wrong ones.

        With them at how many of the ten IoU thresholds each object is found.
        """
        random, objects = self.random, len(self.image)
        level = np.rint(7 + skill - 2 * self.hardness + random.normal(size=objects)).clip(0, 10).astype(int)
        wrong = np.repeat(np.arange(self.images), random.poisson(3, self.images))
        image = np.concatenate([self.image, wrong])
        category = np.concatenate([self.category, random.choice(len(self.shares), size=len(wrong), p=self.shares)])
        score = np.concatenate([level / 10, np.full(len(wrong), 0.2)]) + random.normal(scale=0.3, size=len(image))
        matched = np.concatenate([(1 << level) - 1, np.zeros(len(wrong), int)]).astype(np.uint16)
        present, object_category = np.unique(self.category, return_inverse=True)
        order = np.lexsort((image, -score, category))
        order = order[np.isin(category[order], present)]
        run = Run(
            images=np.arange(self.images),
            image=image[order],
            category=np.searchsorted(present, category[order]),
            rank=np.zeros(len(order), int),
            matched={"all": matched[order]},
            ignored={"all": np.zeros(len(order), np.uint16)},
            object_image=self.image,
            object_category=object_category,
            area=np.full(objects, 100.0),
        )
        return run, level

    def measure(self, skill: float, times: np.ndarray) -> list[Drawn]:
        """The METRICS of a method of this skill on each choice of the images."""
        run, level = self.run(skill)
        values = resampled(run, times, METRICS[:2])
        means = {
            Metric(METRICS[2]): np.where(self.cover >= COVERED, level / 10, np.nan),
            Metric(METRICS[3]): np.where(self.cover >= HIDDEN, level > 5, np.nan),
        }
        of_coco = [Drawn(values[name], sample_of_area(run, name)) for name in METRICS[:2]]
        return of_coco + list(drawn_means(run, means, times).values())


@cache
def truth(images: int, shares: tuple[float, ...], skill: float) -> np.ndarray:
    """(4,) the METRICS of a method: means over splits of so many images."""
    random = np.random.default_rng([images, len(shares)])
    ones = np.ones((1, images), np.uint16)
    splits = [
        [drawn.values[0] for drawn in Pictures(images, shares, random).measure(skill, ones)]
        for _ in range(IMAGES_OF_TRUTH // images)
    ]
    return np.nanmean(splits, axis=0)


@dataclass
class Shares:
    """Shares of cases, for each of METRICS: whose interval covers the truth; and which has anything bold."""

    before: np.ndarray
    now: np.ndarray
    number_before: np.ndarray
    number_now: np.ndarray
    bold: float


def covered(case: Case, cases: int, draws: int, random: np.random.Generator) -> Shares:
    """How often intervals cover what is known: of the difference, and of the first method's numbers.

    Args:
        case: of what.
        cases: pairs of methods, each on pictures of its own.
    """
    times = draw_images(case.images, draws)
    known = [truth(case.images, case.shares, skill) for skill in PAIRS[case.pair]]
    hits: list[list[list[float]]] = []
    bold = 0
    for _ in range(cases):
        pictures = Pictures(case.images, case.shares, random)
        ours, theirs = (
            [pictures.measure(skill + random.normal(scale=case.spread), times) for _ in range(case.seeds)]
            for skill in PAIRS[case.pair]
        )
        hit, p = [], []
        for place in range(len(METRICS)):
            a, b = (np.stack([run[place].values for run in runs]) for runs in (ours, theirs))
            sample = smaller(ours[0][place].sample, theirs[0][place].sample)
            between, own = difference(a, b, sample), estimate(a, sample, 0, 1)
            gap = known[0][place] - known[1][place]
            if between is None or own is None:
                hit.append([np.nan] * 4)
                continue
            ends = (
                (*percentiles((a - b)[0], 0), gap),
                (between.low, between.high, gap),
                (*percentiles(a[0], (a[0, 1:] - a[0, 0])), known[0][place]),
                (own.low, own.high, known[0][place]),
            )
            hit.append([float(low - 1e-9 <= right <= high + 1e-9) for low, high, right in ends])
            if not sample.few:
                p.append(between.p)
        hits.append(hit)
        bold += any(level <= 1 - CONFIDENCE for level in corrected(p))
    return Shares(*np.nanmean(hits, axis=0).T, bold / cases)


def percentiles(drawn: np.ndarray, bias: np.ndarray | float) -> np.ndarray:
    """Percentiles of the draws, the split first, less what they are off on average."""
    return np.nanquantile(drawn[1:] - np.nanmean(bias), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])


def percent(shares: np.ndarray) -> str:
    return " ".join(f"{100 * share:5.1f}" for share in shares)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"percent of {number} cases; in each column {', '.join(METRICS)}")
    print("| images | categories | methods | seeds | difference, before | now | one method, before | now | bold |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        generator = np.random.default_rng([1, case.images, len(case.shares), case.seeds])
        found = covered(case, number, DRAWS, generator)
        seeds = f"{case.seeds}" + (f", skill ± {case.spread}" if case.spread else "")
        before = ("", "") if case.seeds > 1 else (percent(found.before), percent(found.number_before))
        print(
            f"| {case.images} | {'even' if case.shares == EVEN else 'rare'} | {case.pair} | {seeds} | {before[0]} | "
            f"{percent(found.now)} | {before[1]} | {percent(found.number_now)} | {100 * found.bold:.1f} |",
            flush=True,
        )
