"""Pictures of every mode and orientation are read as their annotations see them; others are refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from bcnet.data.coco.images import bits_in_use, read_image
from bcnet.files import InputError


def picture(height=4, width=6):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(path, orientation=1, image=None):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (Image.fromarray(picture()) if image is None else image).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_respected_where_it_gives_the_annotated_size(tmp_path, orientation):
    path = saved(tmp_path / "p.png", orientation)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path), upright)
    np.testing.assert_array_equal(read_image(path, upright.shape[:2]), upright)
    np.testing.assert_array_equal(read_image(path, (4, 6)), picture() if orientation > 4 else upright)


def test_a_picture_of_another_size_is_refused_with_both_sizes(tmp_path):
    with pytest.raises(InputError, match=r"p\.png: the image is 4x6, its annotation says 8x8"):
        read_image(saved(tmp_path / "p.png", orientation=6), (8, 8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    black_and_white = np.arange(24, dtype=np.uint8).reshape(4, 6) % 2 * 255
    if mode.startswith("I"):  # 16 bits, of which the upper 8 count
        image = Image.fromarray((black_and_white * 256.0 + 7).astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        grey = Image.fromarray(black_and_white)
        image = grey.convert("P").convert("PA") if mode == "PA" else grey.convert(mode)
    assert image.mode == mode
    path = tmp_path / ("p.png" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "p.tif")
    image.save(path)
    found = read_image(path, (4, 6))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.repeat(black_and_white[:, :, None], 3, axis=2))


def test_transparent_palettes_are_read_without_a_warning(tmp_path, recwarn):
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).convert("P")
    image.save(tmp_path / "p.png", transparency=bytes(range(24)))
    assert read_image(tmp_path / "p.png").max() == 23
    assert not recwarn.list


def test_corrupt_truncated_missing_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "p.jpg"
    Image.fromarray(picture(60, 80)).save(path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no picture", whole[:4] + bytes(200)):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"p\.jpg: not a readable image"):
            read_image(path)
    with pytest.raises(InputError, match="none"):
        read_image(tmp_path / "none.jpg")
    Image.fromarray(np.ones((4, 6), np.float32)).save(tmp_path / "real.tif")
    with pytest.raises(InputError, match="floating-point pixels"):
        read_image(tmp_path / "real.tif")


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@pytest.mark.parametrize(("bits", "high"), [(8, 255), (10, 256), (10, 1023), (12, 4095), (16, 4096), (16, 65535)])
def test_the_bits_in_use_are_what_is_seen(tmp_path, bits, high, kind):
    values = np.linspace(0, high, 24).astype(kind).reshape(4, 6)
    path = tmp_path / ("p.png" if kind is np.uint16 else "p.tif")
    Image.fromarray(values).save(path)
    assert bits_in_use(path) == bits
    np.testing.assert_array_equal(read_image(path)[:, :, 1], np.floor(values * 2.0 ** (8 - bits)))


def test_pictures_of_8_bits_have_no_other_depth(tmp_path):
    assert bits_in_use(saved(tmp_path / "p.png")) is None


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_values_that_are_not_16_bits_are_refused(tmp_path, values):
    Image.fromarray(np.array([values], np.int32)).save(tmp_path / "p.tif")
    with pytest.raises(InputError, match=f"values from {values[0]} to {values[1]}, expected 8 or 16 bits"):
        read_image(tmp_path / "p.tif")


def png_of_16_bit_colours(path, values):
    """(H, W, 3) uint16, which Pillow cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def test_colours_of_16_bits_are_read_or_refused_but_never_black(tmp_path):
    path = tmp_path / "p.png"
    png_of_16_bit_colours(path, picture().astype(np.uint16) * 256)
    np.testing.assert_array_equal(read_image(path), picture())
    for bits in (1, 16):
        png_of_16_bit_colours(path, picture().astype(np.uint16) * bits)
        with pytest.raises(InputError, match="colours of 16 bits that use 12 or fewer"):
            read_image(path)
