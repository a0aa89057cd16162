"""What the authors' own code of a method gave with weights made by a formula: the numbers, and those weights.

`golden/README.md` says what the files are.
"""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from places import GOLDEN
from pycocotools import mask as rle
from torch import Tensor


@dataclass(frozen=True)
class Golden:
    """The folder of a method in `golden/`."""

    method: str

    def read(self, name: str) -> Any:
        """A JSON file of it."""
        return json.loads((GOLDEN / self.method / f"{name}.json").read_text())

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """An npz file of it."""
        with np.load(GOLDEN / self.method / f"{name}.npz") as file:
            return dict(file)

    def tensors(self, *beginnings: str, changed: bool = True) -> dict[str, Tensor]:
        """The checkpoint under the authors' names: those that begin so, or all; as the recipe changes them."""
        made = {
            name: _number(name, tuple(shape))
            for name, shape in self.read("state").items()
            if name.startswith(beginnings or "")
        }
        for change in self.read("recipe")["changes"] if changed else ():
            if (tensor := made.get(change["key"])) is not None:
                _change(tensor, change)
        return made

    def checkpoint(self, path: Path, **beside: Tensor) -> Path:
        """The checkpoint as a file, with other tensors beside or in their place."""
        torch.save({"model": self.tensors() | beside}, path)
        return path


def _number(name: str, shape: tuple[int, ...]) -> Tensor:
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if name.endswith("running_mean"):
        return 0.05 * normal
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if len(shape) >= 2:
        return normal / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.05 * normal if name.endswith(("weight", "scale")) else 0.02 * normal


def _change(tensor: Tensor, change: dict[str, Any]) -> None:
    """One of the recipe's changes, in place."""
    value = change["value"]
    match change["op"]:
        case "multiply":
            tensor *= value
        case "multiply_input_channel":
            tensor[:, change["index"]] *= value
        case "add":
            tensor += value
        case "add_to_element":
            tensor[change["index"]] += value
        case other:
            raise ValueError(other)


def picture(name: str = "two_stage") -> Tensor:
    """(3, H, W) uint8, BGR."""
    rgb = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
    return torch.from_numpy(rgb[:, :, ::-1].transpose(2, 0, 1).copy())


def bits(hexadecimal: list[str], side: int = 28) -> Tensor:
    """(N, side, side) bool of targets that are packed row by row."""
    packed = np.array([np.frombuffer(bytes.fromhex(text), np.uint8) for text in hexadecimal], np.uint8)
    unpacked = np.unpackbits(packed.reshape(len(hexadecimal), side * side // 8), axis=1)
    return torch.from_numpy(unpacked.reshape(-1, side, side).astype(bool))


def partners(boxes: np.ndarray, classes: np.ndarray, golden_boxes: np.ndarray, golden_classes: np.ndarray) -> list[int]:
    """For each golden detection the one of its class whose box is nearest; all different.

    Scores lie too close together to match them by rank.
    """
    distances = np.abs(boxes[None] - golden_boxes[:, None]).max(2)
    distances[classes[None] != golden_classes[:, None]] = np.inf
    chosen = distances.argmin(1)
    assert len(set(chosen.tolist())) == len(golden_boxes) == len(boxes)
    return chosen.tolist()


def overlaps(masks: np.ndarray, golden: list[dict[str, Any]]) -> np.ndarray:
    """IoU of masks (N, H, W) bool and those of compressed RLE, in pairs; two empty masks are equal."""
    truth = np.stack([rle.decode({"size": each["size"], "counts": each["counts"].encode()}) for each in golden]) > 0
    union = (masks | truth).sum((1, 2))
    return np.where(union == 0, 1.0, (masks & truth).sum((1, 2)) / np.maximum(union, 1))
