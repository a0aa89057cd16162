"""Cut and paste: whole objects put in front of those of another picture, so that who hides what is known exactly.

The idea is that of the synthetic occlusion data of BCNet's journal version; how exactly it is done is chosen here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage.measure import label

from bcnet.data.masks.crops import Crop, Window, crop, seen_through
from bcnet.data.masks.segmentation import decode
from bcnet.data.occlusion.geometry import occlusions
from bcnet.params.data import Convert, Synthetic

SIZES = (0.5, 2.0)  # area of a pasted object, as a share of its target's
MAX_SCALE = 1.5  # objects are not enlarged further: it would show
TRIES = 150  # draws of a target, an object and its size, for one picture
PLACES = 10  # places tried for each of them


class Source(NamedTuple):
    """An object to paste: its mask in its own picture, and what names it."""

    mask: Crop
    name: tuple[int, int]


class Pasted(NamedTuple):
    """An object that was pasted: what it is, which object of the base picture it hides, and its whole mask there."""

    source: Source
    target: int
    flip: bool
    mask: Crop


def whole_objects(annotations: Sequence[dict[str, Any]], height: int, width: int, min_pixels: int) -> list[int]:
    """Places of the objects that nothing hides, as far as an annotation file tells.

    Whole is what is no crowd, has at least `min_pixels` pixels in one piece (something that is not annotated divides an
    object into several), does not touch the border, and in whose box there is no pixel of another's mask, crowd or not
    (`box_cover` 0). Where there is an amodal mask, it must be no larger than the visible one.

    Args:
        annotations: those of one image, checked (`coco.read`).
        height, width: size of the image, in pixels.
    """
    candidates = []
    for place, annotation in enumerate(annotations):
        if annotation["iscrowd"]:
            continue
        mask = decode(annotation["segmentation"], height, width)
        if mask.sum() < min_pixels or mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue
        if label(crop(mask).pixels).max() > 1:
            continue
        amodal = annotation.get("amodal_segmentation")
        if amodal is None or decode(amodal, height, width).sum() == mask.sum():
            candidates.append(place)
    if not candidates:
        return []
    measures = occlusions([{**annotation, "iscrowd": 0} for annotation in annotations], height, width, Convert())
    return [place for place in candidates if measures[place].box_cover == 0]


def arrange(
    rng: np.random.Generator,
    objects: Sequence[Crop],
    targets: Sequence[int],
    draw: Callable[[], Source],
    size: tuple[int, int],
    settings: Synthetic,
) -> list[Pasted]:
    """Choose what is pasted where into a picture.

    Each object lies inside the picture and hides a share of its target's mask within `settings.hidden`. To all that is
    pasted together, no object, pasted or of the base picture, loses a larger share of its visible pixels than that
    allows, and each keeps a pixel. Targets that nothing hides yet come first.

    Args:
        rng: what is drawn at random is drawn from.
        objects: visible masks of all annotations of the base picture.
        targets: which of them are whole.
        draw: gives a whole object of another picture.
        size: (height, width) of the base picture.

    Returns:
        From back to front; fewer than `settings.pasted` asks for where no more were found within `TRIES`.
    """
    count = rng.integers(settings.pasted[0], settings.pasted[1] + 1)
    pasted: list[Pasted] = []
    layers = [*objects]  # what can be hidden
    seen = [layer.pixels for layer in layers]  # what is still visible of it
    for _ in range(TRIES):
        if len(pasted) == count:
            break
        free = [target for target in targets if all(one.target != target for one in pasted)]
        target, source = int(rng.choice(free or targets)), draw()
        pixels = objects[target].pixels.sum()
        scale = np.sqrt(np.exp(rng.uniform(*np.log(SIZES))) * pixels / source.mask.pixels.sum())
        shape = [max(1, round(scale * side)) for side in source.mask.pixels.shape]
        flip = bool(rng.random() < 0.5)
        if scale > MAX_SCALE or shape[0] > size[0] or shape[1] > size[1]:
            continue
        mask = resized_mask(source.mask.pixels, (shape[0], shape[1]), flip)
        if place := _place(rng, mask, objects[target], size, (layers, seen), settings.hidden):
            placed, left = place
            pasted.append(Pasted(source, target, flip, placed))
            layers, seen = [*layers, placed], [*left, mask]
    return pasted


def _place(
    rng: np.random.Generator,
    mask: np.ndarray,
    target: Crop,
    size: tuple[int, int],
    before: tuple[list[Crop], list[np.ndarray]],
    hidden: tuple[float, float],
) -> tuple[Crop, list[np.ndarray]] | None:
    """A place for a mask, (h, w) bool, and what it leaves visible of all that lies below; None: none was found.

    Args:
        target: what it hides a share of.
        size: (height, width) of the picture.
        before: what can be hidden, and what is still visible of each.
        hidden: least and most share.
    """
    least, most = hidden
    for _ in range(PLACES):
        placed = _placed(rng, mask, target.window, size)
        share = (seen_through(placed, target.window) & target.pixels).sum() / target.pixels.sum()
        if not (share > 0 and least <= share <= most):
            continue
        left = [was & ~seen_through(placed, layer.window) for layer, was in zip(*before, strict=True)]
        if all(_enough(now, layer.pixels, most) for now, layer in zip(left, before[0], strict=True)):
            return placed, left
    return None


def _placed(rng: np.random.Generator, mask: np.ndarray, target: Window, size: tuple[int, int]) -> Crop:
    """A mask, (h, w) bool, somewhere in a picture of that size so that its box and the target's share a pixel."""
    corner = [
        int(rng.integers(max(0, side.start - length + 1), min(whole - length, side.stop - 1) + 1))
        for side, length, whole in zip(target, mask.shape, size, strict=True)
    ]
    return Crop((slice(corner[0], corner[0] + mask.shape[0]), slice(corner[1], corner[1] + mask.shape[1])), mask)


def _enough(now: np.ndarray, before: np.ndarray, most: float) -> bool:
    """Whether what is left of a mask is enough; one that had no pixels at all has nothing to lose."""
    return not before.any() or bool(now.any() and before.sum() - now.sum() <= most * before.sum())


def resized_mask(mask: np.ndarray, size: tuple[int, int], flip: bool) -> np.ndarray:
    """A mask, (h, w) bool, at another (height, width): the pixels of which at least half is covered."""
    covered = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BILINEAR)
    return (np.asarray(covered) >= 128)[:, :: -1 if flip else 1]


def cut_out(picture: np.ndarray, pasted: Pasted) -> np.ndarray:
    """The pixels of a pasted object, (h, w, 3) uint8 as large as its mask, from its own picture, (H, W, 3) uint8."""
    height, width = pasted.mask.pixels.shape
    pixels = Image.fromarray(picture[pasted.source.mask.window]).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(pixels)[:, :: -1 if pasted.flip else 1]


def blend(picture: np.ndarray, pixels: np.ndarray, mask: Crop) -> None:
    """Put an object into a picture, in place, with a soft edge of one pixel.

    The edge lies inside the mask: what is outside keeps its colours exactly, so that nothing of the background that the
    object was cut from surrounds it; what is inside, but for the outermost pixels, has the object's colours exactly.

    Args:
        picture: (H, W, 3) uint8.
        pixels: (h, w, 3) uint8, the object in the shape of its mask.
        mask: where it goes.
    """
    padded = np.pad(mask.pixels, 1).astype(np.float32)
    opacity = (uniform_filter(padded, 3)[1:-1, 1:-1] * mask.pixels)[..., None]
    below = picture[mask.window].astype(np.float32)
    picture[mask.window] = (below + opacity * (pixels - below)).round().astype(np.uint8)


def crops(annotations: Sequence[dict[str, Any]], height: int, width: int) -> list[Crop]:
    """The visible masks of an image's annotations."""
    return [crop(decode(annotation["segmentation"], height, width)) for annotation in annotations]
