"""Textures of the embedded data: two colours mixed by a pattern that covers the whole picture.

A texture belongs to the picture, not to the object that shows it: two objects with one texture continue each other's
stripes and dots, so that what lies inside them does not tell where one ends and the other begins.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from skimage.color import hsv2rgb

# Functions of two turned coordinates in radians (a period is 2π), whose values are cut to -0.5..0.5.
PATTERNS: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda u, v: np.sin(u),  # stripes
    lambda u, v: np.sin(u + 1.2 * np.sin(0.6 * v)),  # waves
    lambda u, v: np.sin(0.8 * u) * np.sin(0.8 * v) * 1.5,  # checks
    lambda u, v: np.cos(u) + np.cos(v) - 0.4,  # dots
    lambda u, v: np.sin(0.25 * u) * 0.5,  # gradient
)


def clouds(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise: a random grid, enlarged.

    Args:
        rng: where the grid comes from.
        size: side of the picture, pixels.
        cells: side of the grid; more cells make finer clouds.

    Returns:
        (size, size) float32, about -0.5 to 0.5.
    """
    grid = Image.fromarray(rng.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def _pattern(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random pattern of random scale and direction: (size, size) float, -0.5 to 0.5."""
    kind = int(rng.integers(len(PATTERNS) + 1))
    if kind == len(PATTERNS):
        return np.clip(1.5 * clouds(rng, size, int(rng.integers(24, 40))), -0.5, 0.5)
    periods, angle, shift = rng.uniform(12, 22), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2)
    y, x = np.mgrid[:size, :size] * (2 * np.pi * periods / size)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.clip(PATTERNS[kind](u + shift[0], v + shift[1]), -0.5, 0.5)


def _mix(pattern: np.ndarray, hsv: np.ndarray) -> np.ndarray:
    """Mix two colours, hsv (2, 3), by a pattern of -0.5 to 0.5: RGB (size, size, 3), 0 to 1."""
    dark, light = hsv2rgb(hsv[None])[0]
    return dark + (light - dark) * (pattern[..., None] + 0.5)


def object_texture(seed: int, size: int) -> np.ndarray:
    """The texture with this number, strong in colour and contrast.

    Args:
        seed: names the texture: the same number is the same texture.
        size: side of the picture, pixels.

    Returns:
        (size, size, 3) float RGB, 0 to 1.
    """
    rng = np.random.default_rng(seed)
    hue, saturation, value = rng.random(), rng.uniform(0.4, 0.85), rng.uniform(0.45, 0.7)
    other = (hue + rng.uniform(-0.12, 0.12)) % 1, saturation * rng.uniform(0.5, 1), value + rng.uniform(0.18, 0.3)
    return _mix(_pattern(rng, size), np.array([(hue, saturation, value), other]))


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A greyish ground: large clouds with a faint pattern over them.

    Args:
        rng: what the ground is drawn from.
        size: side of the picture, pixels.

    Returns:
        (size, size, 3) float RGB, 0 to 1.
    """
    hue, value = rng.random(), rng.uniform(0.35, 0.6)
    hsv = np.array([(hue, rng.uniform(0.05, 0.3), value), (rng.random(), rng.uniform(0.05, 0.3), value + 0.25)])
    ground = 0.8 * clouds(rng, size, int(rng.integers(3, 9))) + 0.3 * _pattern(rng, size)
    return _mix(np.clip(ground, -0.5, 0.5), hsv)
