"""`bcnet show`: what a model finds in pictures, and the maps of its mask head for each object."""

from pathlib import Path

import numpy as np

from bcnet.data.coco.images import read_image
from bcnet.drawing.figures import COLOURS
from bcnet.drawing.roi_maps import detected
from bcnet.drawing.sheet import sheet
from bcnet.files import InputError, atomic_output
from bcnet.inference.detect import Detections, detect
from bcnet.models.detections import MAPS
from bcnet.models.device import pick_device
from bcnet.params.methods import METHODS
from bcnet.progress import progress
from bcnet.weights.model_file import ModelFile, load_model

MOST = 40  # objects of a picture


def show(weights: Path, pictures: list[Path], out: Path, score: float, objects: int) -> None:
    """Draw `NAME.png` and `NAME.svg` for each picture: the final masks, and for each object a row of its maps.

    Args:
        weights: a model file.
        pictures: picture files of different names; EXIF rotation is respected.
        out: the folder for the drawings.
        score: detections below it are not drawn; 0 to 1.
        objects: of a picture, at most so many are drawn, those of the highest score; 1 to 40.

    Raises:
        InputError: an argument is out of its range, two drawings would have one name or replace a picture that is to be
            shown, or the model or a picture is missing or corrupt.
    """
    if not 0 <= score <= 1:
        raise InputError(f"--score {score}: expected 0 to 1")
    if not 1 <= objects <= MOST:
        raise InputError(f"--objects {objects}: expected 1 to {MOST}")
    sources = {path.resolve() for path in pictures}
    names: dict[str, Path] = {}
    for path in pictures:
        if (first := names.setdefault(path.stem, path)) is not path:
            raise InputError(
                f"{path}: would be drawn to {out / path.stem}.png like {first}: show it into another --out"
            )
        if sources & {(out / f"{path.stem}{ending}").resolve() for ending in (".png", ".svg")}:
            raise InputError(f"{out / path.stem}.png: is one of the images to show, expected another folder as --out")
    model = load_model(weights)
    model.module.to(pick_device())
    for path in progress(pictures, "drawing"):
        picture = read_image(path)
        detections = detect(model, picture)
        for ending, content in sheet_of(model, path.name, picture, detections, score, objects).items():
            with atomic_output(out / f"{path.stem}.{ending}") as temporary:
                temporary.write_bytes(content)


def sheet_of(
    model: ModelFile, title: str, picture: np.ndarray, detections: Detections, score: float, objects: int
) -> dict[str, bytes]:
    """The sheet of a picture's detections: the files by ending, `png` and `svg`.

    Args:
        picture: (H, W, 3) uint8, RGB.
        score, objects: as of `show`.
    """
    above = sum(own >= score for own in detections.scores)
    best = [
        detected(model, detections, index, COLOURS[index % (len(COLOURS) - 1)]) for index in range(min(above, objects))
    ]
    return sheet(title, [_counted(above, len(best), score), *_about(model, detections)], picture, best)


def _counted(above: int, drawn: int, score: float) -> str:
    if above == 0:
        return f"no object above score {score:g}"
    which = f"the best {drawn} of {above} objects" if drawn < above else f"{above} object{'s' * (above > 1)}"
    return f"{which} with a score of at least {score:g}"


def _about(model: ModelFile, detections: Detections) -> list[str]:
    """The method, and which of the four maps its head does not have."""
    variant = model.variant
    method = variant.label or METHODS[variant.method].name
    about = f"{method} ({variant.detector_name}, {variant.backbone})"
    if not detections.maps:
        return [f"{about}: the box of each object, stretched to a square", "its masks are of the image, not of RoIs"]
    lines = [f"{about}: the RoI of each object and the maps there, stretched to squares"]
    missing = [name.replace("_", " ") for name in MAPS if name not in detections.maps]
    return [*lines, f"its mask head has no {', no '.join(missing)}"] if missing else lines
