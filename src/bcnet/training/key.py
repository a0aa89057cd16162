"""All that determines a model, and how its file describes it."""

from pathlib import Path
from typing import Any

import torch

from bcnet import __version__
from bcnet.files import sha256
from bcnet.params import Params
from bcnet.params.models import Predict
from bcnet.training.progress import Training


def determining(
    params: Params, name: str, seed: int, annotations: Path, image_hashes: Path, weights: Path
) -> dict[str, Any]:
    """What determines the weights of a model, but for the machine and the code; the last three are the inputs."""
    return {
        "train_on": params.train_on,
        # without what is not said, so that reading it back checks it alike; a label changes nothing, and what it starts
        # from is in the weights
        "variant": params.variant(name).model_dump(mode="json", exclude_unset=True, exclude={"label", "init"}),
        "schedule": params.schedule_of(name).determining(),
        "model": params.model.model_dump(mode="json"),
        "seed": seed,
        "annotations_sha256": sha256(annotations),
        "images_sha256": sha256(image_hashes),
        "weights_sha256": sha256(weights),
        "versions": {"bcnet": __version__, "torch": torch.__version__},
    }


def at_test_time(params: Params, name: str) -> Predict:
    """Test-time settings of the file alone: `predict` of params.yaml replaces them without a new training."""
    schedule = params.schedule_of(name)
    return Predict(short_side=max(schedule.short_side), max_side=schedule.max_side)


def describe(
    params: Params, training: Training, key: dict[str, Any], categories: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a model's file says of it.

    Args:
        params: the run's parameters.
        training: finished.
        key: of `determining`, and `processes` and `device`.
        categories: of the model's classes.
    """
    init = params.variant(training.name).init
    provenance = {
        "name": training.name,
        "dataset": params.dataset,
        **({} if init is None else {"init": str(init)}),
        **{part: value for part, value in key.items() if part not in ("processes", "device")},
        "device": key["device"],
        "processes": key["processes"],
        "threads": training.log["threads"],
    }
    if training.log["resumed"]:
        provenance["resumed"] = training.log["resumed"]
    return {
        "variant": key["variant"],
        "model": key["model"],
        "predict": at_test_time(params, training.name).model_dump(mode="json"),
        "categories": categories,
        "provenance": provenance,
    }
