"""What a device can do at most, measured on it: operations a second and bytes a second; and what a model moves."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REPEATS = 5


@dataclass(frozen=True)
class Bound:
    """A device's best.

    Attributes:
        gflops: thousand million operations a second of a large matrix product of float32, as PyTorch is set.
        gflops_amp: of one of float16; 0: not measured.
        gigabytes: 1e9 bytes a second, read and written, of a large copy.
    """

    gflops: float
    gflops_amp: float
    gigabytes: float

    def shares(self, operations: float, moved: float, seconds: float, amp: bool) -> dict[str, float]:
        """What share of the time the operations, and the bytes, would take at best.

        Args:
            operations: thousand million.
            moved: 1e9 bytes.
            seconds: taken.
            amp: whether convolutions and products were of float16.
        """
        best = self.gflops_amp if amp else self.gflops
        return {"of_operations": operations / best / seconds, "of_bytes": moved / self.gigabytes / seconds}


def bound_of(device: torch.device) -> Bound:
    """Measured: the best of some products and copies."""
    gpu = device.type == "cuda"
    side, length = (8192, 2**28) if gpu else (512, 2**22)

    def product(dtype: torch.dtype) -> float:
        a = torch.randn(side, side, device=device).to(dtype)
        return 2 * side**3 / 1e9 / best(lambda: a @ a, device)

    source = torch.zeros(length, device=device)
    target = torch.empty_like(source)
    copied = 2 * 4 * length / 1e9 / best(lambda: target.copy_(source), device)
    return Bound(product(torch.float32), product(torch.float16) if gpu else 0.0, copied)


def best(work: Callable[[], object], device: torch.device) -> float:
    """The fewest seconds of some runs, after one that does not count."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


class _Moved(TorchDispatchMode):
    """Counts the bytes that operators read and write, each on its own; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += _size(tree_leaves((args, kwargs, result)))
        return result


def _size(values: Iterable[object]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))


def moved_bytes(work: Callable[[], object]) -> float:
    """1e9 bytes that the operators of a piece of work read and write, as if no two were fused and nothing cached."""
    with _Moved() as moved:
        work()
    return moved.bytes / 1e9
