"""How often the 95 % interval of a difference covers the true one, on simulated pairs whose difference is known.

.venv/bin/python benchmarks/bootstrap_coverage.py [cases]
"""

import sys

import numpy as np

from bcnet.evaluation.statistics.resampling import Run, resampled, resampled_means
from bcnet.evaluation.statistics.significance import difference, draw_images

CATEGORIES = 3
COVERED = 0.3  # share of the box, from which an object is covered
SKILLS = (0.6, 0.0)  # of the two methods; a step of the ten IoU thresholds is 1
MANY = 200_000  # pictures, for the difference to be known
CASES = (  # as of `covered`
    (150, 1, 0),
    (400, 1, 0),
    (150, 3, 0),
    (150, 3, 0.1),
    (150, 1, 0.1),
    (150, 3, 0.3),
    (150, 5, 0.3),
)
METRICS = ("AP", "AP50", "AR of covered objects")


class Pictures:
    """Made pictures as an evaluation sees them: objects, and how hard each is to find for any method."""

    def __init__(self, images: int, random: np.random.Generator) -> None:
        self.images, self.random = images, random
        self.image = np.repeat(np.arange(images), random.poisson(4, images))
        self.category = random.integers(CATEGORIES, size=len(self.image))
        self.cover = random.random(len(self.image))
        self.hardness = random.normal(size=images)[self.image] + random.normal(size=len(self.image)) + 2 * self.cover

    def run(self, skill: float) -> tuple[Run, np.ndarray]:
        """A method's detections: better where objects are easy, with scores that tell something, and wrong ones.

        With them the share of IoU thresholds at which each object is found, NaN for one that is not covered.
        """
        random, objects = self.random, len(self.image)
        level = np.rint(7 + skill - 2 * self.hardness + random.normal(size=objects)).clip(0, 10).astype(int)
        wrong = np.repeat(np.arange(self.images), random.poisson(3, self.images))
        image = np.concatenate([self.image, wrong])
        category = np.concatenate([self.category, random.integers(CATEGORIES, size=len(wrong))])
        score = np.concatenate([level / 10, np.full(len(wrong), 0.2)]) + random.normal(scale=0.3, size=len(image))
        matched = np.concatenate([(1 << level) - 1, np.zeros(len(wrong), int)]).astype(np.uint16)
        order = np.lexsort((image, -score, category))
        run = Run(
            images=np.arange(self.images),
            image=image[order],
            category=category[order],
            rank=np.zeros(len(order), int),
            matched={"all": matched[order]},
            ignored={"all": np.zeros(len(order), np.uint16)},
            object_image=self.image,
            object_category=self.category,
            area=np.full(objects, 100.0),
        )
        return run, np.where(self.cover >= COVERED, level / 10, np.nan)


def measure(measured: tuple[Run, np.ndarray], times: np.ndarray) -> dict[str, np.ndarray]:
    run, found = measured
    return resampled(run, times, METRICS[:2]) | resampled_means(run, times, {METRICS[2]: found})


def known(random: np.random.Generator) -> dict[str, float]:
    """The differences of the two skills, on very many pictures."""
    pictures = Pictures(MANY, random)
    ours, theirs = (measure(pictures.run(skill), np.ones((1, MANY), np.uint16)) for skill in SKILLS)
    return {metric: float(ours[metric][0] - theirs[metric][0]) for metric in METRICS}


def covered(
    truth: dict[str, float],
    cases: int,
    images: int,
    draws: int,
    seeds: int,
    spread: float,
    random: np.random.Generator,
) -> dict[str, float]:
    """The share of cases whose interval covers the known difference.

    Args:
        truth: what is known.
        cases: pairs of methods, each on pictures of its own.
        images: pictures of a case.
        draws: of the bootstrap.
        seeds: runs of each method.
        spread: standard deviation of the skill from seed to seed.
    """
    times = draw_images(images, draws)
    hits = dict.fromkeys(METRICS, 0)
    for _ in range(cases):
        pictures = Pictures(images, random)
        ours, theirs = (
            [measure(pictures.run(skill + random.normal(scale=spread)), times) for _ in range(seeds)]
            for skill in SKILLS
        )
        for metric in METRICS:
            found = difference(np.stack([each[metric] for each in ours]), np.stack([each[metric] for each in theirs]))
            hits[metric] += found is not None and found.low <= truth[metric] <= found.high
    return {metric: count / cases for metric, count in hits.items()}


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    generator = np.random.default_rng(0)
    right = known(generator)
    print("known differences:", {metric: round(value, 4) for metric, value in right.items()})
    for pictures_of_a_case, runs, of_skill in CASES:
        shares = covered(right, number, pictures_of_a_case, 1000, runs, of_skill, generator)
        line = ", ".join(f"{metric} {100 * share:.1f} %" for metric, share in shares.items())
        print(f"{pictures_of_a_case} pictures, {runs} seeds, skill ± {of_skill}: {line} of {number}", flush=True)
