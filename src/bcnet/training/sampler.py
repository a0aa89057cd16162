"""Which pictures an iteration sees: a function of (seed, iteration), so that a resumed training goes on exactly."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler


@lru_cache(maxsize=2)  # a batch touches at most this epoch and the next, unless the data set is smaller than a batch
def _order(seed: int, epoch: int, pictures: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(pictures)


def batch_indices(seed: int, iteration: int, batch: int, pictures: int) -> list[int]:
    """The pictures of one iteration: the next `batch` of an endless row of epochs, each in an order of its own.

    Args:
        seed: of the training.
        iteration: from 0.
        batch: pictures an iteration.
        pictures: how many there are.
    """
    positions = range(iteration * batch, (iteration + 1) * batch)
    return [int(_order(seed, position // pictures, pictures)[position % pictures]) for position in positions]


class BatchKeys(Sampler[list[tuple[int, int, int]]]):
    """For each iteration from `start` on, the keys (iteration, position, index) of this process's share."""

    def __init__(
        self, seed: int, start: int, iterations: int, batch: int, pictures: int, rank: int = 0, world: int = 1
    ) -> None:
        self.seed, self.start, self.iterations, self.batch, self.pictures = seed, start, iterations, batch, pictures
        self.share = slice(rank * batch // world, (rank + 1) * batch // world)

    def __len__(self) -> int:
        return self.iterations - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for iteration in range(self.start, self.iterations):
            indices = batch_indices(self.seed, iteration, self.batch, self.pictures)
            yield [(iteration, position, index) for position, index in enumerate(indices)][self.share]
