"""Pictures of any mode and orientation, as their annotations see them."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from bcnet.files import InputError

UPRIGHT = {  # what an EXIF orientation asks for
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as its annotations see it, whatever its mode.

    The EXIF orientation is respected when that gives `size` or when no size is asked for; when only the picture as
    stored has that size, the annotations were made on it, and the orientation is ignored.

    Args:
        size: (height, width) of the annotations in pixels, or None.

    Returns:
        (H, W, 3) uint8, RGB, 0 to 255. 16-bit pictures keep their upper 8 bits; transparency is dropped.

    Raises:
        InputError: missing, corrupt or truncated, of a mode that is no picture, or of another size.
    """
    try:
        with Image.open(path) as image:
            stored = (image.height, image.width)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            turn = UPRIGHT.get(orientation)
            upright = stored[::-1] if orientation in (5, 6, 7, 8) else stored
            if size not in (None, stored, upright):
                expected = f"{size[1]}x{size[0]}" if size else ""
                raise InputError(f"{path}: the image is {upright[1]}x{upright[0]}, its annotation says {expected}")
            return _rgb(image.transpose(turn) if turn is not None and size in (None, upright) else image, path)
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # all by broken files
        raise InputError(f"{path}: not a readable image: {error}") from error


def _rgb(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "F":
        raise InputError(f"{path}: the image has floating-point pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):  # one channel of 16 bits, which Pillow would clip at 255
        grey = (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette may hold transparent colours, which Pillow warns of otherwise
    return np.asarray(image.convert("RGB"))
