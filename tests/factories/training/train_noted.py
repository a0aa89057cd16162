"""`bcnet train` as torchrun starts it, with notes of what each process does: `train_noted.py FOLDER [nan] ARGUMENT…`.

`FOLDER/RANK.json` has them. With `nan`, the second process's loss is no number.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bcnet.cli import main
from bcnet.models.roi_segmenter import RoISegmenter
from bcnet.training import loop

STEP = loop.step


class Notes:
    """Of each step the next random number and the pictures; the parameters after the last."""

    def __init__(self) -> None:
        self.draws: list[float] = []
        self.pictures: list[list[str]] = []
        self.parameters = ""

    def step(self, model: torch.nn.Module, batch: list[dict[str, Any]], *others: Any) -> dict[str, Tensor]:
        """In the place of `loop.step`."""
        ahead = torch.Generator()
        ahead.set_state(torch.get_rng_state())
        self.draws.append(float(torch.rand(1, generator=ahead)))
        self.pictures.append([digest([picture["image"]]) for picture in batch])
        losses = STEP(model, batch, *others)
        self.parameters = digest(list(model.parameters()))
        return losses


def digest(tensors: list[Tensor]) -> str:
    return hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest()


if __name__ == "__main__":
    folder, arguments, rank = Path(sys.argv[1]), sys.argv[2:], os.environ["RANK"]
    notes = Notes()
    loop.step = notes.step
    if arguments[0] == "nan":
        arguments.pop(0)
        if rank == "1":
            forward = RoISegmenter.forward
            RoISegmenter.forward = lambda *those: {name: loss * float("nan") for name, loss in forward(*those).items()}
    status = main(arguments)
    (folder / f"{rank}.json").write_text(json.dumps({"status": status, **vars(notes)}))
