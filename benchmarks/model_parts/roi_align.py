"""RoIAlign against torchvision's, and cutting targets out of shared masks against detectron2's copies, on one CPU.

.venv/bin/python benchmarks/model_parts/roi_align.py
"""

import time
from collections.abc import Callable

import torch
from detectron2.structures import BitMasks
from torchvision.ops import roi_align

from bcnet.models.layers.roi_align import RoIAlign
from bcnet.models.masks.object_masks import ObjectMasks

REPEATS = 4
# pictures, channels, height and width of a level of stride 4; side and number of RoIs, and their least and largest side
CASES = {
    "demo, boxes": ((4, 64, 40, 40), 7, 256, (20, 70)),
    "demo, masks": ((4, 64, 40, 40), 14, 64, (20, 70)),
    "COCO, boxes": ((1, 256, 200, 334), 7, 512, (16, 160)),
    "COCO, masks": ((1, 256, 200, 334), 14, 128, (16, 160)),
}


def best(work: Callable[[], object]) -> str:
    """Milliseconds of the processor, the fewest of some runs after one that does not count."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return f"{1000 * min(seconds[1:]):.1f}"


def pooling(name: str) -> None:
    """Print a row: forward and backward of both."""
    shape, side, count, (least, largest) = CASES[name]
    level = torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    extent = torch.tensor([4.0 * shape[3], 4.0 * shape[2]])
    first = torch.rand(count, 2) * extent
    boxes = torch.cat([first, first + least + torch.rand(count, 2) * (largest - least)], 1)
    rois = torch.cat([torch.randint(0, shape[0], (count, 1)), boxes], 1)
    ours = RoIAlign(side, 1 / 4, 0, aligned=True)
    theirs = lambda level, rois: roi_align(level, rois, side, 1 / 4, 0, True)  # noqa: E731
    cells, gradients = [], []
    for pool in (theirs, ours):
        pooled = pool(level, rois)
        weights = torch.linspace(0, 1, pooled.numel()).view(pooled.shape)
        gradients += torch.autograd.grad(pooled, level, weights, retain_graph=True)
        cells.append(best(lambda pool=pool: pool(level, rois)))
        cells.append(best(lambda pooled=pooled, w=weights: torch.autograd.grad(pooled, level, w, retain_graph=True)))
    equal = torch.equal(*gradients) and torch.equal(theirs(level, rois), ours(level, rois))
    print(f"| {name} | {' | '.join(cells)} | {'yes' if equal else 'no'} |", flush=True)


def main() -> None:
    """Print both tables."""
    torch.manual_seed(0)
    print("| ms | torchvision, forward | backward | here, forward | backward | equal |\n|---|---|---|---|---|---|")
    for name in CASES:
        pooling(name)
    masks, sampled, boxes = torch.rand(7, 800, 1333) > 0.5, torch.randint(0, 7, (512,)), torch.rand(128, 4) * 100
    boxes[:, 2:] += boxes[:, :2] + 50
    for kind in (BitMasks, ObjectMasks):
        of_picture = kind(masks)
        taken = best(lambda of_picture=of_picture: of_picture[sampled][:128].crop_and_resize(boxes, 28))
        print(f"{kind.__name__}: {taken} ms for 128 targets of 512 RoIs, 7 masks of 800 x 1333")


if __name__ == "__main__":
    main()
