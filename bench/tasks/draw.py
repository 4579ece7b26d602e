"""Building blocks of the tasks' pictures. Pixels are (height, width, 3), uint8."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.text import escape

TRUE, PREDICTED = (0, 150, 70), (220, 40, 40)  # colors of the truth and of the prediction
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_GAP = 8
_TINT = 0.45


def enlarged(pixels: np.ndarray, side: int) -> Image.Image:
    """Return a picture enlarged by the smallest integer factor that makes its longer side at least `side` pixels."""
    picture = Image.fromarray(pixels)
    factor = max(1, -(-side // max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def tinted(picture: Image.Image, mask: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """Return the picture with a mask (height, width) of any resolution, True inside, tinted in a color."""
    cover = Image.fromarray(mask.astype(np.uint8) * round(255 * _TINT)).resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(Image.new("RGB", picture.size, color), picture, cover)


def framed(picture: Image.Image, box: Sequence[float], color: tuple[int, int, int]) -> Image.Image:
    """Return the picture with a box: left, top, right, bottom in fractions of its width and height."""
    picture = picture.copy()
    scale = picture.width, picture.height, picture.width, picture.height
    left, top, right, bottom = (value * factor for value, factor in zip(box, scale, strict=True))
    if right >= left and bottom >= top:
        ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline=color, width=3)
    return picture


def text(line: str, width: int, color: tuple[int, int, int] = _INK, size: int = 14) -> Image.Image:
    """Return a line of text on paper, wrapped to at most `width` pixels."""
    font = ImageFont.load_default(size)
    letters = max(8, round(width / (0.52 * size)))
    lines = textwrap.wrap(escape.line(line), letters) or [""]
    height = round(1.35 * size)
    paper = Image.new("RGB", (width, height * len(lines)), _PAPER)
    pen = ImageDraw.Draw(paper)
    for row, words in enumerate(lines):
        pen.text((0, row * height), words, fill=color, font=font)
    return paper


def in_row(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Return pictures in a row, `gap` pixels apart."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    return _paste(pictures, (width, max(picture.height for picture in pictures)), gap, horizontal=True)


def in_column(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Return pictures in a column, `gap` pixels apart."""
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    return _paste(pictures, (max(picture.width for picture in pictures), height), gap, horizontal=False)


def bar(colors: Sequence[tuple[int, int, int]], width: int, height: int) -> Image.Image:
    """Return a row of cells of equal width, one of each color."""
    paper = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(paper)
    for number, color in enumerate(colors):
        left, right = (round(edge * width / len(colors)) for edge in (number, number + 1))
        pen.rectangle((left, 0, right - 2, height - 1), fill=color)
    return paper


def page(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures in a column with a margin."""
    content = in_column(pictures, 3 * _GAP)
    paper = Image.new("RGB", (content.width + 4 * _GAP, content.height + 4 * _GAP), _PAPER)
    paper.paste(content, (2 * _GAP, 2 * _GAP))
    return paper


def _paste(pictures: Sequence[Image.Image], size: tuple[int, int], gap: int, *, horizontal: bool) -> Image.Image:
    paper = Image.new("RGB", size, _PAPER)
    offset = 0
    for picture in pictures:
        paper.paste(picture, (offset, 0) if horizontal else (0, offset))
        offset += (picture.width if horizontal else picture.height) + gap
    return paper
