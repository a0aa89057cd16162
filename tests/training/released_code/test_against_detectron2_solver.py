"""The optimizer and its rates are those of detectron2's solver: every update equals one of its loop, bit for bit.

The rates of the short schedule are dyadic numbers (and tenths of them), which both sides compute without rounding.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.layers import Conv2d, cat, get_norm
from detectron2.solver import LRMultiplier, build_lr_scheduler, build_optimizer
from detectron2.solver.build import _generate_optimizer_class_with_gradient_clipping
from fcos_factory import item
from fcos_factory import model as fcos_model
from model_factory import PREDICT, SIZES, build
from places import ROOT
from ruamel.yaml import YAML
from torch import Tensor, nn
from torch.nn import functional as F

from bcnet.params import methods
from bcnet.params.models import Schedule
from bcnet.training.loop import step
from bcnet.training.schedule import learning_rate, make_optimizer, rate_of, set_rate

SHORT = Schedule(
    iterations=16, batch=2, lr=2**-6, momentum=0.9, weight_decay=0.01, warmup=4, warmup_factor=2**-3, steps=(7, 10),
    short_side=(48,), max_side=64,
)  # fmt: skip
DONE = 12  # iterations of it: beyond the last step
RELEASED = Schedule(  # 1x, of FCOS-BCNet
    iterations=90_000, batch=16, lr=0.01, warmup=1000, warmup_factor=0.001, steps=(60_000, 80_000),
    short_side=(600,), max_side=900,
)  # fmt: skip
COCO = Schedule.model_validate(YAML(typ="safe").load(ROOT / "presets/coco.yaml")["schedule"])  # 3x


def solver(schedule: Schedule) -> CfgNode:
    """detectron2's configuration of that schedule; what a schedule does not say is as detectron2 has it."""
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MOMENTUM = schedule.lr, schedule.momentum
    cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.WEIGHT_DECAY_NORM = schedule.weight_decay, schedule.weight_decay_norm
    cfg.SOLVER.WEIGHT_DECAY_BIAS, cfg.SOLVER.BIAS_LR_FACTOR = schedule.weight_decay_bias, schedule.bias_lr_factor
    cfg.SOLVER.WARMUP_METHOD = schedule.warmup_method
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.WARMUP_FACTOR = schedule.warmup, schedule.warmup_factor
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = schedule.iterations, schedule.steps
    return cfg


def scheduler_of(schedule: Schedule) -> LRMultiplier:
    """detectron2's, of an optimizer with one group."""
    cfg = solver(schedule)
    return build_lr_scheduler(cfg, build_optimizer(cfg, nn.Linear(1, 1)))


class Network(nn.Module):
    """Learns class and box of a picture's first object, through every kind of norm that is trained.

    Norms are registered last: then the parameters have the same order in the model as in the optimizer's groups, and
    their common norm, which clipping needs, is summed up in the same order by both sides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2d(3, 32, kernel_size=3, stride=2, bias=False)
        self.body = Conv2d(32, 32, kernel_size=3, stride=2)
        self.shared = nn.Linear(32, 32)
        self.scores, self.deltas = nn.Linear(32, 3), nn.Linear(32, 4)
        self.frozen = Conv2d(32, 32, kernel_size=1).requires_grad_(False)
        self.group_norm, self.batch_norm, self.layer_norm = get_norm("GN", 32), get_norm("BN", 32), nn.LayerNorm(32)

    def forward(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        x = torch.stack([each["image"] for each in batch]).float() / 128 - 1
        x = F.relu(self.batch_norm(self.stem(x)))
        x = F.relu(self.group_norm(self.body(x)) + self.frozen(x[:, :, :1, :1]))
        x = F.relu(self.layer_norm(self.shared(x.mean((2, 3)))))
        first = [each["instances"][0] for each in batch]
        classes = cat([each.gt_classes for each in first])
        boxes = cat([each.gt_boxes.tensor for each in first])
        return {
            "loss_cls": F.cross_entropy(self.scores(x), classes),
            "loss_box": F.l1_loss(self.deltas(x), boxes / 32),
        }


BATCH = [item(1, 48, 64), item(2, 48, 64)]


def network() -> Network:
    torch.manual_seed(0)
    return Network().train()


State = dict[str, Tensor]


def state_of(model: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def our_states(schedule: Schedule) -> list[State]:
    """Parameters and buffers after each iteration of this project's training."""
    model, states = network(), []
    optimizer, scaler = make_optimizer(model, schedule), torch.amp.GradScaler(enabled=False)
    for iteration in range(DONE):
        step(model, BATCH, optimizer, scaler, schedule, iteration)
        states.append(state_of(model))
    return states


class Recorder(HookBase):
    def __init__(self) -> None:
        self.states: list[State] = []

    def after_step(self) -> None:
        self.states.append(state_of(self.trainer.model))


def their_states(schedule: Schedule) -> list[State]:
    """The same of detectron2's loop, with its hook for the rate."""
    model, cfg, recorder = network(), solver(schedule), Recorder()
    optimizer = build_optimizer(cfg, model)
    if limit := schedule.clip_gradients:
        # its configuration clips each parameter by itself only; this is its place for clipping the whole gradient
        optimizer.__class__ = _generate_optimizer_class_with_gradient_clipping(
            torch.optim.SGD, global_clipper=lambda parameters: nn.utils.clip_grad_norm_(parameters, limit)
        )
    trainer = SimpleTrainer(model, repeat(BATCH), optimizer)
    trainer.register_hooks([hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer)), recorder])
    trainer.train(0, DONE)
    return recorder.states


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"clip_gradients": 0.5},
        {"weight_decay_norm": 0.02},
        {"warmup_method": "constant"},
        {"bias_lr_factor": 2.0, "weight_decay_bias": 0.03},
    ],
)
def test_every_update_is_detectron2s_bit_for_bit(change: dict[str, float]) -> None:
    schedule = SHORT.model_copy(update=change)
    ours, theirs = our_states(schedule), their_states(schedule)
    assert len(theirs) == DONE
    before = state_of(network())
    for iteration, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(tensor, before[name]) == name.startswith("frozen"), (iteration, name)  # all others move
            assert torch.equal(found[name], tensor), (iteration, name)
        before = expected


@pytest.mark.parametrize(
    "change",
    [
        {"clip_gradients": 0.5},
        {"weight_decay": 0.0},
        {"momentum": 0.0},
        {"steps": ()},
        {"warmup_method": "constant"},
        {"bias_lr_factor": 2.0},
        {"weight_decay_bias": 0.5, "weight_decay_norm": 0.5},
    ],
)
def test_those_updates_depend_on(change: dict[str, Any]) -> None:
    """Or their being equal would say nothing about it."""
    as_it_is, changed = our_states(SHORT)[-1], our_states(SHORT.model_copy(update=change))[-1]
    for name in ("body.weight", "scores.bias", "group_norm.weight", "batch_norm.weight", "layer_norm.weight"):
        assert not torch.equal(as_it_is[name], changed[name]), name


@pytest.mark.parametrize("schedule", [RELEASED, COCO], ids=["1x", "3x"])
def test_the_rates_of_a_long_schedule_are_detectron2s(schedule: Schedule) -> None:
    scheduler = scheduler_of(schedule)
    steps = [iteration for step in schedule.steps for iteration in (step - 1, step)]
    for iteration in (0, 1, 10, 500, 999, 1000, 1001, *steps, schedule.iterations - 1):
        scheduler.last_epoch = iteration
        assert learning_rate(schedule, iteration) == pytest.approx(scheduler.get_lr()[0], rel=1e-12), iteration


def test_the_rates_of_the_short_schedule_are_equal_without_rounding() -> None:
    scheduler, rates = scheduler_of(SHORT), []
    for iteration in range(DONE):
        scheduler.last_epoch = iteration
        rates += scheduler.get_lr()
    assert [learning_rate(SHORT, iteration) for iteration in range(DONE)] == rates
    assert len(set(rates)) == 4 + 3  # of warm-up, and between the steps


def hyperparameters(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    """By parameter: what its group says of rate, momentum, decay and all else."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    ours = {"params", "lr_factor"}  # detectron2 has the factor in the rate that its scheduler multiplies
    groups = [({k: v for k, v in group.items() if k not in ours}, group["params"]) for group in optimizer.param_groups]
    return {names[parameter]: about for about, parameters in groups for parameter in parameters}


def faster_rcnn(method: str) -> nn.Module:
    return build(
        methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method=method), SIZES, PREDICT, 3
    )


def solov2() -> nn.Module:
    return build(methods.variant(backbone="efficientnet_lite0", method="solov2"), SIZES, PREDICT, 3)


@pytest.mark.parametrize(
    ("make", "norms"),
    [
        (network, 6),
        (lambda: fcos_model("bcnet"), 16 + 4),  # GroupNorm of both towers, BatchNorm of the two non-local blocks
        (lambda: faster_rcnn("bcnet"), 4),
        (lambda: faster_rcnn("mask_rcnn"), 0),
        (lambda: faster_rcnn("pointrend"), 0),
        (lambda: fcos_model("condinst"), 16 + 2 * 7),  # of the mask branch
        (lambda: fcos_model("blendmask"), 16 + 2 * (7 + 2)),  # of the bases and of the semantic head
        (lambda: fcos_model("centermask"), 16),
        (lambda: fcos_model("sipmask"), 16),  # the aligned layer's is one of them
        (solov2, 16 + 2 * 8),  # of the mask features
    ],
    ids=[
        *("network", "fcos-bcnet", "bcnet", "mask_rcnn", "pointrend"),
        *("condinst", "blendmask", "centermask", "sipmask", "solov2"),
    ],
)
def test_parameters_are_grouped_as_detectron2_groups_them(make: Callable[[], nn.Module], norms: int) -> None:
    model = make()
    found = hyperparameters(make_optimizer(model, RELEASED), model)
    assert found == hyperparameters(build_optimizer(solver(RELEASED), model), model)
    assert found.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert sum(group["weight_decay"] == 0 for group in found.values()) == norms


def test_biases_are_grouped_as_detectron2_groups_them() -> None:
    schedule = RELEASED.model_copy(update={"bias_lr_factor": 2.0, "weight_decay_bias": 0.0, "weight_decay_norm": 0.5})
    model = fcos_model("bcnet")
    optimizer = make_optimizer(model, schedule)
    found = hyperparameters(optimizer, model)
    assert found == hyperparameters(build_optimizer(solver(schedule), model), model)
    of_biases = [group for name, group in found.items() if name.endswith("bias")]
    assert {(group["lr"], group["weight_decay"]) for group in of_biases} == {(0.02, 0)}
    set_rate(optimizer, 0.125)
    assert {group["lr"] for group in hyperparameters(optimizer, model).values()} == {0.125, 0.25}
    assert rate_of(optimizer) == 0.125
