"""Processes that share a batch learn what a single one would on the whole of it.

DistributedDataParallel takes the mean of their gradients. That is the gradient of the whole batch if each process
divides its sums by the mean count of all processes, not by its own count: then an object weighs the same, whichever
process has it. Every process must take part, also one that has nothing to count.
"""

import torch
from detectron2.structures import Instances
from torch import Tensor, distributed


def mean_over_processes(values: Tensor, least: float | None = None, plus: float = 0) -> Tensor:
    """The mean of each value over the processes; of a single process, the values as they are.

    Args:
        values: float, of the same shape in every process, without a gradient.
        least: what the sum over the processes counts as if it is less, so that no divisor is zero.
        plus: what is added to the sum over the processes.
    """
    total, processes = values.clone(), 1
    if distributed.is_initialized():
        distributed.all_reduce(total)
        processes = distributed.get_world_size()
    total = total + plus
    if least is not None:
        total = total.clamp(min=least)
    return total / processes


def over_all_rois(losses: dict[str, Tensor], rois: list[Instances]) -> dict[str, Tensor]:
    """This process's part of losses that are means over RoIs: detectron2's, which count its own RoIs only.

    Args:
        losses: by name, each the mean over `rois`; without any, zero.
        rois: those of each picture.
    """
    own = torch.tensor(float(sum(map(len, rois))), device=next(iter(losses.values())).device)
    share = own / mean_over_processes(own, least=1)  # 1 in a single process
    return {name: share * loss for name, loss in losses.items()}
