"""Colors of the small world: saturated objects stand out against pale backgrounds."""

from __future__ import annotations

import colorsys

import numpy as np

from bench.datasets.mini.draw import Background

Color = tuple[int, int, int]

_MAX_BACKGROUND_SATURATION = 0.25


def color(rng: np.random.Generator, hue: float, spread: float, saturation: tuple[float, float]) -> Color:
    """Return a random bright color.

    Args:
        rng: The random number generator.
        hue: The hue, in degrees.
        spread: The largest deviation from the hue, in degrees.
        saturation: The range of the saturation, within 0 to 1.
    """
    return _rgb(((hue + rng.uniform(-spread, spread)) % 360) / 360, rng.uniform(*saturation), rng.uniform(0.75, 1))


def gray(rng: np.random.Generator) -> Color:
    """Return a nearly black or nearly white color, for the second color of a texture."""
    return _rgb(0.0, 0.0, rng.uniform(0, 0.15) if rng.random() < 0.5 else rng.uniform(0.85, 1))


def background(rng: np.random.Generator, clutter: int, grain: float) -> Background:
    """Return a random pale background with at most `clutter` lines and pixel noise of deviation at most `grain`."""
    saturation = _MAX_BACKGROUND_SATURATION
    first, second = (_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(0.25, 0.75)) for _ in range(2))
    return Background(
        colors=(first, second),
        clutter=int(rng.integers(0, clutter + 1)),
        grain=float(rng.uniform(0, grain)),
        seed=int(rng.integers(2**31)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
