"""The four losses of BCNet's head for 128 RoIs: all contours at once on the device, against one RoI after the other.

.venv/bin/python benchmarks/model_parts/loss_step.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from skimage.morphology import dilation, erosion
from torch import Tensor
from torch.nn import functional as F

from bcnet.methods.bcnet import bilayer_losses
from bcnet.models.device import pick_device
from bcnet.params import methods

ROIS, REPEATS = 128, 30
NAMES = ("occluder_mask", "occluder_contour", "target_mask", "target_contour")
VARIANT = methods.variant(detector="faster_rcnn", backbone="resnet50", method="bcnet")
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def contours_one_by_one(masks: Tensor) -> Tensor:
    """As the released code has it: each RoI's mask to the host, dilated and eroded by scikit-image, and back."""
    maps = []
    for mask in masks:
        array = mask.cpu().numpy()
        outer, inner = dilation(array, CROSS, mode="min"), erosion(array, CROSS, mode="max")
        maps.append(torch.from_numpy(outer != inner).to(mask.device))
    return torch.stack(maps)


def losses_one_by_one(outputs: dict[str, Tensor], targets: Tensor, occluders: Tensor) -> dict[str, Tensor]:
    """The released rules with those contours."""
    occluded = occluders.flatten(1).any(1).nonzero()[:, 0]
    chosen = torch.cat([occluded, torch.arange(len(occluded), device=occluded.device)])
    losses = {}
    edges = {"target": contours_one_by_one(targets), "occluder": contours_one_by_one(occluders)}
    masks = {"target": targets, "occluder": occluders}
    for name, logits in outputs.items():
        layer, kind = name.split("_")
        rois = chosen if layer == "occluder" else torch.arange(ROIS, device=chosen.device)
        truth = (edges if kind == "contour" else masks)[layer][rois].float()
        weight = 0.25 if name == "occluder_mask" else 1.0
        losses[f"loss_{name}"] = weight * F.binary_cross_entropy_with_logits(logits[rois, 0], truth)
    return losses


def seconds(losses: Callable[[], dict[str, Tensor]]) -> float:
    """Median time of losses and their gradients."""
    times = []
    for repeat in range(REPEATS + 3):
        start = time.perf_counter()
        torch.stack(list(losses().values())).sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if repeat >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print both times, and the largest difference between the two."""
    device = pick_device()
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    centres, radii = 28 * torch.rand(2, 2, ROIS, 1, 1), 4 + 8 * torch.rand(2, ROIS, 1, 1)
    discs = (y - centres[:, 0]).hypot(x - centres[:, 1]) < radii
    discs[1] &= torch.rand(ROIS, 1, 1) < 0.5  # half of the RoIs have no occluder
    targets, occluders = discs.to(device)
    outputs = {name: torch.randn(ROIS, 1, 28, 28, device=device, requires_grad=True) for name in NAMES}

    ours = lambda: bilayer_losses(outputs, targets, occluders, variant=VARIANT)  # noqa: E731
    theirs = lambda: losses_one_by_one(outputs, targets, occluders)  # noqa: E731
    expected = theirs()
    difference = max(abs(float(loss.detach() - expected[name].detach())) for name, loss in ours().items())
    fast, slow = seconds(ours), seconds(theirs)
    print(
        f"{device.type}, {torch.get_num_threads()} threads, {ROIS} RoIs: at once {1000 * fast:.2f} ms, one by one "
        f"{1000 * slow:.2f} ms, {slow / fast:.1f} times; largest difference of a loss {difference:.1e}"
    )


if __name__ == "__main__":
    main()
