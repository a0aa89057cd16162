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
DEPTHS = (8, 10, 12, 16)  # bits of a value that are in use
READING = (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError)  # all raised by broken files


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as its annotations see it, whatever its mode.

    The EXIF orientation is respected when that gives `size` or when no size is asked for; when only the picture as
    stored has that size, the annotations were made on it, and the orientation is ignored.

    Args:
        size: (height, width) of the annotations in pixels, or None.

    Returns:
        (H, W, 3) uint8, RGB, 0 to 255. Of 16-bit pictures the upper 8 of the bits in use (`bits_in_use`) are kept;
        transparency is dropped.

    Raises:
        InputError: missing, corrupt or truncated, of a mode that is no picture, of another size, or of 16-bit colours
            that would all be black.
    """
    try:
        with Image.open(path) as image:
            stored = (image.height, image.width)
            deep = any(";16" in str(tile[3]) for tile in image.tile)  # gone once the picture is read, as for its EXIF
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            turn = UPRIGHT.get(orientation)
            upright = stored[::-1] if orientation in (5, 6, 7, 8) else stored
            if size not in (None, stored, upright):
                expected = f"{size[1]}x{size[0]}" if size else ""
                raise InputError(f"{path}: the image is {upright[1]}x{upright[0]}, its annotation says {expected}")
            return _rgb(image.transpose(turn) if turn is not None and size in (None, upright) else image, deep, path)
    except READING as error:
        raise _unreadable(path, error) from error


def bits_in_use(path: Path) -> int | None:
    """How many bits of a grey picture of 16 or 32 bits are in use: 8, 10, 12 or 16; None for any other picture.

    Cameras store 10 and 12 bits, and programs 8, as the low bits of 16. A picture of 16 bits that is as dark as that
    would be black.

    Raises:
        InputError: it cannot be read, or has values below 0 or beyond 16 bits.
    """
    try:
        with Image.open(path) as image:
            return _bits(image, path) if image.mode.startswith("I") else None
    except READING as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    if path.is_dir():
        return InputError(f"{path}: is a folder, expected an image file")
    system = isinstance(error, OSError) and error.strerror
    return InputError(f"{path}: not a readable image: {system or error}")


def _bits(image: Image.Image, path: Path) -> int:
    pixels = np.asarray(image)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise InputError(f"{path}: the image has values from {low} to {high}, expected 8 or 16 bits, 0 to 65535")
    return next(bits for bits in DEPTHS if high < 2**bits)


def _rgb(image: Image.Image, deep: bool, path: Path) -> np.ndarray:
    """The pixels; `deep`: whether the file has more than 8 bits of each colour."""
    if image.mode == "F":
        raise InputError(f"{path}: the image has floating-point pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):  # one channel of 16 bits, which Pillow would clip at 255
        grey = (np.asarray(image) >> (_bits(image, path) - 8)).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette may hold transparent colours, which Pillow warns of otherwise
    pixels = np.asarray(image.convert("RGB"))
    if deep and pixels.max(initial=0) < 2**4:
        raise InputError(f"{path}: the image has colours of 16 bits that use 12 or fewer: store them as 8 bits")
    return pixels
