"""Models: load one, let it predict a picture, draw what it sees."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bcnet.api.inputs import File
from bcnet.drawing.figures import COLOURS
from bcnet.drawing.roi_maps import SIDE, detected, squares
from bcnet.drawing.show import MOST, sheet_of
from bcnet.files import InputError
from bcnet.inference.detect import Detections, detect
from bcnet.weights.model_file import ModelFile
from bcnet.weights.model_file import load_model as model_file

GAP = 8  # pixels between two squares of `draw_maps`


def load_model(path: File, device: str | None = None) -> ModelFile:
    """Read a model file, written by `bcnet train` or `bcnet import-weights`.

    Args:
        device: as PyTorch calls it, such as "cpu" or "cuda:1"; None: the GPU where there is one.

    Returns:
        The model in evaluation mode, and what its file says of it, such as its `categories`.

    Raises:
        InputError: no such file, or not a model file.
    """
    model = model_file(Path(path))
    model.module.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return model


def predict(model: ModelFile, picture: np.ndarray, *, occluders: bool = False) -> Detections:
    """The objects that a model detects in a picture, best first.

    Args:
        model: from `load_model`.
        picture: (H, W, 3) uint8, RGB.
        occluders: give the occluder's mask of each object, too, where the method predicts one.

    Returns:
        N detections: `classes` (places in `model.categories`), `scores` (0 to 1), `boxes` (N, 4), `masks`, of
        which each is (H, W) bool (`numpy.asarray(masks)` is all of them in one array), and `maps`, of which each is
        (N, S, S): the probabilities that the mask head gives in the box; `occluders`, masks as well, where they were
        asked for; `box_scores` of a method that scores its masks otherwise than its boxes.

    Raises:
        InputError: the picture is of another shape or type.
    """
    with _flushed_denormals():
        own = model.predict.model_copy(update={"occluders": occluders})
        return detect(replace(model, predict=own), _checked(picture))


def draw_maps(model: ModelFile, picture: np.ndarray, detections: Detections, index: int = 0) -> np.ndarray:
    """One detected object as a row of squares: its box in the picture, the mask head's maps there, the final mask.

    BCNet has four maps: contour and mask of the occluder, contour and mask of the target (0: dark, 1: bright).

    Args:
        picture: the one that was predicted, (H, W, 3) uint8, RGB.
        detections: from `predict`.
        index: of the object, from 0, the best.

    Returns:
        (196, width, 3) uint8, RGB.

    Raises:
        InputError: there is no such object.
    """
    if not 0 <= index < len(detections.scores):
        raise InputError(f"index: {index}: expected a place among {len(detections.scores)} detections, from 0")
    row = squares(_checked(picture), detected(model, detections, index, COLOURS[0])).values()
    sized = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.NEAREST)) for one in row]
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.hstack([part for square in sized for part in (gap, square)][1:])


def draw_sheet(
    model: ModelFile,
    picture: np.ndarray,
    detections: Detections,
    *,
    title: str = "",
    score: float = 0.5,
    objects: int = 10,
) -> np.ndarray:
    """The sheet that `bcnet show` draws of a picture: all masks over it, and a row of squares for each object.

    Args:
        picture, detections: as of `draw_maps`.
        title: above the picture.
        score: objects below it are not drawn; 0 to 1.
        objects: at most so many are drawn, the best ones; 1 to 40.

    Returns:
        (height, 1320, 3) uint8, RGB.

    Raises:
        InputError: `score` or `objects` is out of its range.
    """
    if not 0 <= score <= 1:
        raise InputError(f"score: {score}: expected 0 to 1")
    if not 1 <= objects <= MOST:
        raise InputError(f"objects: {objects}: expected 1 to {MOST}")
    drawn = sheet_of(model, title, _checked(picture), detections, score, objects)
    return np.asarray(Image.open(io.BytesIO(drawn["png"])).convert("RGB"))


def _checked(picture: np.ndarray) -> np.ndarray:
    """The picture.

    Raises:
        InputError: it is not (H, W, 3) uint8.
    """
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise InputError(f"picture: {kind}: expected an array of uint8")
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise InputError(f"picture: shape {picture.shape}: expected (height, width, 3), RGB")
    return picture


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """On a CPU, with numbers below 1e-38 as zero, as the program predicts (`pick_device`); afterwards as before."""
    before = not (torch.full((1,), 1e-38) / 2).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
