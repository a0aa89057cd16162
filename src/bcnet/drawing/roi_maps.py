"""One object as square pictures of its RoI: what its mask head gives, as the paper's figures show it."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageColor
from scipy.ndimage import binary_erosion

from bcnet.data.masks.segmentation import decode
from bcnet.inference.detect import Detections
from bcnet.weights.model_file import ModelFile

SIDE = 196  # of a square, pixels; seven for each cell of a 28x28 map
COLOUR_MAP = "magma"  # equal steps look equal, also in grey


@dataclass(frozen=True)
class DrawnDetection:
    """A detection as it is drawn."""

    label: str  # category and score
    colour: str
    box: np.ndarray  # (4,): left, top, right, bottom of the RoI, in pixels of the picture
    rle: dict[str, Any]  # the final mask, compressed: those of forty detections as arrays may take a gigabyte
    maps: dict[str, np.ndarray]  # (S, S) each, 0 to 1

    @property
    def mask(self) -> np.ndarray:
        """The final mask, (H, W) bool."""
        return decode(self.rle, *self.rle["size"])


def detected(model: ModelFile, detections: Detections, index: int, colour: str) -> DrawnDetection:
    """One of a picture's detections, as it is drawn."""
    name = model.categories[detections.classes[index]]["name"]
    maps = {key: maps[index] for key, maps in detections.maps.items()}
    label = f"{name} {detections.scores[index]:.2f}"
    return DrawnDetection(label, colour, detections.boxes[index], detections.masks.rles[index], maps)


def squares(picture: np.ndarray, detection: DrawnDetection) -> dict[str, np.ndarray]:
    """A detection's box in squares: the picture, each map in the paper's order, and the final mask over the picture.

    Args:
        picture: (H, W, 3) uint8, RGB.
        detection: the detection; its maps are drawn in their own order.

    Returns:
        By name, (S, S, 3) uint8 for a map of S cells a side, (SIDE, SIDE, 3) otherwise. The box is called one where
        nothing is a RoI.
    """
    maps = {name.replace("_", " "): heat_map(values) for name, values in detection.maps.items()}
    shown = "RoI" if maps else "box"
    return {shown: crop(picture, detection.box), **maps, "final mask": mask_over(picture, detection)}


def heat_map(values: np.ndarray) -> np.ndarray:
    """Probabilities as colours, always of the range 0 to 1: (S, S) float or bool to (S, S, 3) uint8."""
    return matplotlib.colormaps[COLOUR_MAP](values.astype(np.float64), bytes=True)[..., :3]


def crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What a box shows, stretched to a square as RoIAlign sees it: (H, W, …) uint8 to (SIDE, SIDE, …)."""
    left, top, right, bottom = map(float, box)
    part = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, right, bottom))
    return np.asarray(part)


def mask_over(picture: np.ndarray, detection: DrawnDetection) -> np.ndarray:
    """The final mask over the picture, in the RoI: its edge in colour, all around it pale; (SIDE, SIDE, 3) uint8."""
    shown, inside = crop(picture, detection.box), crop(detection.mask.astype(np.uint8) * 255, detection.box) >= 128
    pale = 170 + shown.mean(axis=2, keepdims=True) / 3
    drawn = np.where(inside[:, :, None], shown, pale).astype(np.uint8)
    drawn[inside & ~binary_erosion(inside, iterations=3, border_value=1)] = ImageColor.getrgb(detection.colour)
    return drawn


def png_uri(square: np.ndarray) -> str:
    """A square (S, S, 3) uint8 as a PNG data URI, every value as it is."""
    file = io.BytesIO()
    Image.fromarray(square).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def colour_bar() -> str:
    """The colours of `heat_map` from 0 to 1, as a PNG data URI of one row."""
    return png_uri(heat_map(np.linspace(0, 1, 256)[None]))
