"""Colours of the small world: things in full colours stand out against pale backgrounds."""

from __future__ import annotations

import colorsys

import numpy as np

from bench.datasets.mini.draw import Background

Colour = tuple[int, int, int]

_PALE = 0.25  # most saturation of a background


def colour(rng: np.random.Generator, hue: float, spread: float, saturation: tuple[float, float]) -> Colour:
    """Return a bright colour within `spread` of a hue (both in degrees), its saturation within a range from 0 to 1."""
    return _rgb(((hue + rng.uniform(-spread, spread)) % 360) / 360, rng.uniform(*saturation), rng.uniform(0.75, 1))


def grey(rng: np.random.Generator) -> Colour:
    """Nearly black or nearly white, for the second colour of a texture."""
    return _rgb(0.0, 0.0, rng.uniform(0, 0.15) if rng.random() < 0.5 else rng.uniform(0.85, 1))


def background(rng: np.random.Generator, clutter: int, grain: float) -> Background:
    """Return a pale field with at most `clutter` lines over it and noise of at most `grain`."""
    first, second = (_rgb(rng.random(), rng.uniform(0, _PALE), rng.uniform(0.25, 0.75)) for _ in range(2))
    return Background(
        colours=(first, second),
        clutter=int(rng.integers(0, clutter + 1)),
        grain=float(rng.uniform(0, grain)),
        seed=int(rng.integers(2**31)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
