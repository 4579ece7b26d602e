"""Pictures of the small world: textured shapes on backgrounds, painted back to front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.datasets.generator import Mask, Pixels

Colors = tuple[tuple[int, int, int], tuple[int, int, int]]

SUPERSAMPLE = 3  # shapes are drawn this much larger and averaged down, for smooth edges


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        shape: A key of `SHAPES`.
        texture: One of `TEXTURES`.
        colors: The two colors of its texture.
        size: Its diameter, as a share of the image's side.
        x: Its center from the left, as a share of the image's side.
        y: Its center from the top, as a share of the image's side.
        angle: Its rotation, in radians.
    """

    shape: str
    texture: str
    colors: Colors
    size: float
    x: float
    y: float
    angle: float


@dataclass(frozen=True)
class Background:
    """A smooth two-color field under `clutter` thin lines; `grain` is the deviation of the pixel noise (0-255)."""

    colors: Colors
    clutter: int
    grain: float
    seed: int


def _regular(corners: int, inner: float = 1.0, turn: float = 0.0) -> NDArray[np.float64]:
    """Return the corners (n, 2) of a regular polygon, or of a star if every other corner is at radius `inner` < 1."""
    count = corners * 2 if inner < 1.0 else corners
    angles = np.arange(count) * 2 * np.pi / count + turn - np.pi / 2
    radius = np.where(np.arange(count) % 2 == 1, inner, 1.0) if inner < 1.0 else np.ones(count)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _cross(arm: float = 0.36) -> NDArray[np.float64]:
    a, b = arm, 1.0
    points = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    return np.array(points)


def _crescent() -> NDArray[np.float64]:
    outer = np.linspace(0.3 * np.pi, 1.7 * np.pi, 24)
    inner = np.linspace(1.62 * np.pi, 0.38 * np.pi, 24)
    out = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    cut = np.stack([0.45 + 0.75 * np.cos(inner), 0.75 * np.sin(inner)], axis=1)
    return np.concatenate([out, cut]) + np.array([0.2, 0.0])


def _heart() -> NDArray[np.float64]:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1) / 16


# Each shape is a list of outlines in the unit circle; a second outline is a hole.
SHAPES: dict[str, list[NDArray[np.float64]]] = {
    "disc": [_regular(32)],
    "square": [_regular(4, turn=np.pi / 4)],
    "triangle": [_regular(3)],
    "star": [_regular(5, inner=0.42)],
    "ring": [_regular(32), _regular(32) * 0.55],
    "cross": [_cross()],
    "crescent": [_crescent()],
    "heart": [_heart()],
}


@lru_cache(maxsize=1024)
def _texture(name: str, side: int) -> NDArray[np.float32]:
    """Return a texture's share of the second color per pixel, (side, side, 1); its period is a third of the side."""
    v, u = np.mgrid[0:side, 0:side] / side * 2 * np.pi * 3
    share = {
        "plain": lambda: np.zeros((side, side)),
        "bars": lambda: np.sin(u) > 0,
        "stripes": lambda: np.sin(v) > 0,
        "checks": lambda: np.sin(u) * np.sin(v) > 0,
        "dots": lambda: np.sin(u) * np.sin(v) > 0.45,
        "slant": lambda: np.sin(u + v) > 0,
        "grid": lambda: np.maximum(np.sin(u), np.sin(v)) > 0.8,
        "shade": lambda: (u + v) / (12 * np.pi),
    }[name]()
    return share[..., None].astype(np.float32)


TEXTURES = ("plain", "bars", "stripes", "checks", "dots", "slant", "grid", "shade")


def coverage(thing: Thing, side: int) -> tuple[NDArray[np.float32], int, int]:
    """Return how much of each pixel an object covers, in an image of `side` by `side` pixels.

    Returns:
        A patch (h, w) of shares from 0 to 1, and its left and top edge in pixels. It may extend beyond the image.
    """
    radius = thing.size * side / 2
    half = int(np.ceil(radius * 1.15)) + 1
    left, top = round(thing.x * side) - half, round(thing.y * side) - half
    center = np.array([thing.x * side - left, thing.y * side - top])
    right, down = np.array([[np.cos(thing.angle), np.sin(thing.angle)], [-np.sin(thing.angle), np.cos(thing.angle)]])
    canvas = Image.new("L", (2 * half * SUPERSAMPLE,) * 2)
    pen = ImageDraw.Draw(canvas)
    for outline, ink in zip(SHAPES[thing.shape], (255, 0), strict=False):
        rotated = outline[:, :1] * right + outline[:, 1:] * down  # a matrix product's rounding would vary by machine
        points = (rotated * radius + center) * SUPERSAMPLE
        pen.polygon([(float(x), float(y)) for x, y in points], fill=ink)
    patch = canvas.resize((2 * half,) * 2, Image.Resampling.BOX)
    return np.asarray(patch, dtype=np.float32) / np.float32(255), left, top


def paint_background(background: Background, side: int) -> NDArray[np.float32]:
    """Return the picture behind the objects: (side, side, 3), from 0 to 255."""
    rng = np.random.default_rng(background.seed)
    field = Image.fromarray(rng.integers(0, 256, (5, 5), dtype=np.uint8))
    smooth = np.asarray(field.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)[..., None]
    canvas = Image.fromarray(_mixed(background.colors, smooth / np.float32(255)).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    for _ in range(background.clutter):
        ends = [(float(x), float(y)) for x, y in rng.uniform(0, side, (2, 2))]
        pen.line(ends, fill=tuple(int(c) for c in rng.integers(0, 256, 3)), width=int(rng.integers(1, 3)))
    noise = rng.standard_normal((side, side, 1), dtype=np.float32) * np.float32(background.grain)
    return np.asarray(canvas, dtype=np.float32) + noise


def _mixed(colors: Colors, share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a blend of two colors (..., 3): the first where `share` (..., 1) is 0, the second where it is 1."""
    first, second = (np.array(color, dtype=np.float32) for color in colors)
    return first + share * (second - first)


def paint(things: Sequence[Thing], backdrop: NDArray[np.float32]) -> tuple[Pixels, list[Mask]]:
    """Paint objects over a backdrop (side, side, 3), the last one in front.

    Returns:
        The picture (side, side, 3) and, for each object, the mask (side, side) of its visible pixels.
    """
    picture = backdrop.copy()
    side = picture.shape[0]
    masks: list[Mask] = []
    for thing in things:
        patch, left, top = coverage(thing, side)
        rows = slice(max(top, 0), max(min(top + patch.shape[0], side), 0))
        columns = slice(max(left, 0), max(min(left + patch.shape[1], side), 0))
        inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        alpha = patch[inside]
        ink = _mixed(thing.colors, _texture(thing.texture, patch.shape[0])[inside])
        picture[rows, columns] += alpha[..., None] * (ink - picture[rows, columns])
        mask = np.zeros((side, side), dtype=bool)
        mask[rows, columns] = alpha > 0.5
        for hidden_mask in masks:
            hidden_mask &= ~mask
        masks.append(mask)
    return np.clip(picture, 0, 255).astype(np.uint8), masks
