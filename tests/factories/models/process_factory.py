"""What processes that share a batch learn, beside what one learns on the whole of it.

`python process_factory.py FILE` computes it in four processes and writes how far it deviates, for test_processes.py. No
port is used but those that gloo finds itself. Numbers are float64, so that rounding decides nothing: which proposals
stay, which points are uncertain. (detectron2's boxes, its mask losses and FCOS's losses are always float32.)
"""

import json
import sys
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.proposal_generator import proposal_utils
from detectron2.structures import BitMasks, Boxes
from fcos_factory import SIZES, item
from model_factory import build, variants, with_boxes
from torch import Tensor, distributed, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

from bcnet.methods import bcnet
from bcnet.methods.bcnet import NonLocalBlock
from bcnet.methods.pointrend import PointRendHead
from bcnet.models.segmenter import Segmenter
from bcnet.params import methods
from bcnet.params.models import Predict

BATCHES = {4: ("ordinary", "uneven", "sparse"), 2: ("uneven",)}  # by how many processes
WORLDS = tuple(BATCHES)
VARIANTS = variants() | {
    "faster_rcnn bcnet fcn all": {
        "method": "bcnet",
        "detector": "faster_rcnn",
        "layer": "fcn",
        "occluder_rois": "all",
        "contour_loss": "bce_dice",
    },
    "fcos sipmask mmdetection": {"method": "sipmask", "edition": "mmdetection", "mask_iou": True},
}
VARIANTS["solov2"] |= {"grids": (20, 18, 12, 8, 6)}  # half as many cells along x and y: a quarter of the time
CASES = [(world, name, batch) for world in WORLDS for name in VARIANTS for batch in BATCHES[world]]


OF_ROIS = ("faster_rcnn bcnet", "fcos bcnet")  # whose norms see the RoIs of a process
OF_PICTURES = ("fcos condinst", "fcos blendmask")  # whose norms see the pictures of a process


def told(name: str) -> bool:
    """Whether the single process is told the shares: norms, and K of BCNet's occluder RoIs, are each process's own."""
    return name in OF_ROIS + OF_PICTURES


def batch_of(name: str) -> list[dict[str, Any]]:
    """Four pictures of one size, since smaller ones are padded to the largest of their process.

    Ordinary: of 3, 1, 2 and 5 objects. Uneven: 4, none, 3 without an occluder, and one of two pixels, in which no
    location of FCOS lies. Sparse: no object but one, in which a single location lies.
    """
    numbers = {"ordinary": (3, 1, 2, 5), "uneven": (4, 0, 3, 1), "sparse": (1, 0, 0, 0)}[name]
    batch = [item(seed, 96, 128, number) for seed, number in enumerate(numbers)]
    if name == "uneven":
        unoccluded, small = batch[2]["instances"], batch[3]["instances"]
        unoccluded.gt_occluder_masks = BitMasks(torch.zeros_like(unoccluded.gt_occluder_masks.tensor))
        put_square(small, 53, 55)
    if name == "sparse":
        put_square(batch[0]["instances"], 42, 48)
    return batch


def put_square(objects: Any, start: int, end: int) -> None:
    """Make the only object a square, the left half of which is occluded."""
    for masks, right in ((objects.gt_masks, end), (objects.gt_occluder_masks, (start + end) // 2)):
        masks.tensor.zero_()
        masks.tensor[:, start:end, start:right] = True
    objects.gt_boxes = Boxes(torch.tensor([[start, start, end, end]]))


def model_of(name: str) -> Segmenter:
    """Equal in every process. Of the backbone, only the first convolution learns: what reaches it passed the others.

    Those are one of each kind, and average where the backbone convolves each channel by itself: in float64, that would
    take most of the time.
    """
    torch.manual_seed(0)
    variant = methods.variant(backbone="efficientnet_lite0", **VARIANTS[name])
    # a GroupNorm of one channel a group takes away what biases do
    channels = 32 if getattr(variant, "detector", None) == "faster_rcnn" else 64
    few = {"proposals_train": 30}  # fewer than `rois`, so that the box head has not always the same number of RoIs
    sizes = SIZES.model_copy(update={"freeze_at": 5, "fpn_channels": channels, **few})
    model = build(variant, sizes, Predict(short_side=96, max_side=128), 3).train()
    model.get_submodule("backbone.bottom_up.body.conv_stem").requires_grad_(True)
    for blocks in model.get_submodule("backbone.bottom_up.body.blocks").children():
        del blocks[1:]
        blocks[0].conv_dw = nn.AvgPool2d(3, blocks[0].conv_dw.stride, padding=1)
    if variant.method == "sipmask":  # boxes, and masks so full that only some processes have a loss above 1
        with_boxes(model)
        nn.init.constant_(model.get_parameter("basis.refine.bias"), 1.0)
        nn.init.constant_(model.get_parameter("fcos.head.top.bias"), 0.06)
    for module in model.modules():
        if isinstance(module, NonLocalBlock):
            nn.init.constant_(module.norm.weight, 0.5)  # at zero, as it starts, the block does nothing
    return model


def prepare() -> None:
    """Draw what depends on the picture only, and let detectron2 take float64."""
    torch.set_default_dtype(torch.float64)
    torch.randperm = lambda count, device=None: torch.arange(count, device=device)
    rand = torch.rand

    def points(*size: int, generator: torch.Generator | None = None, **how: Any) -> Tensor:
        if generator:  # of the pictures
            return rand(*size, generator=generator, **how)
        return rand(1, *size[1:], generator=torch.Generator().manual_seed(0), **how).repeat(size[0], 1, 1)

    torch.rand = points  # every RoI's are the same
    nms = proposal_utils.batched_nms
    proposal_utils.batched_nms = lambda boxes, scores, *rest: nms(boxes, scores.float(), *rest)
    point_features = sys.modules[PointRendHead.__base__.__module__.replace("mask_head", "point_features")]
    sample = point_features.point_sample
    point_features.point_sample = lambda values, at, **how: sample(values.to(at.dtype), at, **how)


def tell_pictures(model: Segmenter, world: int) -> None:
    """Let the norms of a single process treat the pictures of each share as a process does that has no others."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.training:
            norm = module.forward
            module.forward = lambda x, norm=norm: torch.cat([norm(part) for part in x.chunk(world)])


def tell(model: GeneralizedRCNN, world: int) -> None:
    """Let a single process treat the RoIs of each share as a process does that has no others."""
    counts: list[int] = []

    def count(_: nn.Module, inputs: tuple[Tensor, list[Any]]) -> None:
        rois = [len(picture) for picture in inputs[1]]
        counts[:] = [sum(rois[i * len(rois) // world : (i + 1) * len(rois) // world]) for i in range(world)]

    model.roi_heads.mask_head.register_forward_pre_hook(count)
    for module in model.modules():
        if isinstance(module, NonLocalBlock):
            norm = module.norm.forward
            module.norm.forward = lambda x, norm=norm: torch.cat([norm(part) for part in x.split(counts) if len(part)])
    weights = bcnet.occluder_roi_weights
    bcnet.occluder_roi_weights = lambda masks, rule: torch.cat([weights(part, rule) for part in masks.split(counts)])


def learn(model: nn.Module, batch: list[dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """Losses and gradients by name."""
    model.zero_grad()
    losses = model(batch)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.requires_grad}
    return {name: loss.detach() for name, loss in losses.items()}, gradients


def alone(folder: Path, models: dict[str, Segmenter]) -> None:
    """Keep what one process learns on the whole of each batch."""
    weights = bcnet.occluder_roi_weights
    for name, built in models.items():
        for world in WORLDS if told(name) else WORLDS[:1]:
            model = deepcopy(built)
            if told(name):
                (tell if name in OF_ROIS else tell_pictures)(model, world)
            for batch in BATCHES[world]:
                torch.save(learn(model, batch_of(batch)), reference(folder, world, name, batch))
            bcnet.occluder_roi_weights = weights


def reference(folder: Path, world: int, name: str, batch: str) -> Path:
    return folder / f"{world if told(name) else WORLDS[0]} {name} {batch}.pt"


def together(folder: Path, models: dict[str, Segmenter], rank: int, world: int) -> dict[str, Any]:
    """What a process of several learns, beside that: each loss's mean over them, and how far gradients deviate."""
    found = {}
    for name, built in models.items():
        model = DistributedDataParallel(deepcopy(built))
        for batch in BATCHES[world]:
            pictures = batch_of(batch)
            share = pictures[rank * len(pictures) // world : (rank + 1) * len(pictures) // world]
            losses, gradients = learn(model, share)
            expected, expected_gradients = torch.load(reference(folder, world, name, batch))
            means = {}
            for key, loss in losses.items():
                distributed.all_reduce(loss)
                means[key] = (float(loss / world), float(expected[key]))
            apart = {key: deviation(gradients[key], whole) for key, whole in expected_gradients.items()}
            found[f"{name} {batch}"] = {"losses": means, "gradients": apart}
    return found


def deviation(own: Tensor | None, whole: Tensor | None) -> float | None:
    """The largest difference over the largest value; None without a gradient, or with one that is no number."""
    if own is None or whole is None or not torch.isfinite(own).all():
        return None
    return float((own - whole).abs().max() / whole.abs().max().clamp(min=1e-30))


def chosen(models: dict[str, Segmenter], place: int, world: int) -> dict[str, Segmenter]:
    """Every `world`-th model."""
    return dict(list(models.items())[place::world])


def work(rank: int, folder: Path, models: dict[str, Segmenter]) -> None:
    """One of four processes: alone, then all, then two groups of two."""
    alone(folder, chosen(models, rank, WORLDS[0]))
    for world in WORLDS:
        group, place = divmod(rank, world)
        store = f"file://{folder}/{world}-{group}.store"
        patience = timedelta(minutes=10)  # on a busy machine
        distributed.init_process_group("gloo", store, patience, rank=place, world_size=world)
        found = together(folder, chosen(models, group, WORLDS[0] // world), place, world)
        (folder / f"{world} {group} {place}.json").write_text(json.dumps(found))
        distributed.destroy_process_group()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        # forked from here, where no gradient was computed yet: what is imported and built is so once
        torch.set_num_threads(1)  # several would not outlive the fork
        prepare()
        models = {name: model_of(name) for name in VARIANTS}
        start_processes(work, (Path(folder), models), nprocs=WORLDS[0], start_method="fork")
        results = [(path.stem, json.loads(path.read_text())) for path in sorted(Path(folder).glob("*.json"))]
    Path(sys.argv[1]).write_text(json.dumps(results))
