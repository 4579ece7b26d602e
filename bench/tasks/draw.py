"""Draws samples: what the tasks' pictures are put together from. Pixels are (height, width, 3), uint8."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.text import escape

TRUE, FOUND = (0, 150, 70), (220, 40, 40)  # colours of what is true and of what was predicted
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_GAP = 8
_TINT = 0.45


def enlarged(pixels: np.ndarray, side: int) -> Image.Image:
    """A picture whose longer side is at least `side` pixels, by a whole factor."""
    picture = Image.fromarray(pixels)
    factor = max(1, -(-side // max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def tinted(picture: Image.Image, mask: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    """The picture with a mask (height, width), True inside, of any resolution, in a colour over it."""
    cover = Image.fromarray(mask.astype(np.uint8) * round(255 * _TINT)).resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(Image.new("RGB", picture.size, colour), picture, cover)


def framed(picture: Image.Image, box: Sequence[float], colour: tuple[int, int, int]) -> Image.Image:
    """The picture with a box, in shares of its width and height: left, top, right, bottom."""
    picture = picture.copy()
    scale = picture.width, picture.height, picture.width, picture.height
    left, top, right, bottom = (value * factor for value, factor in zip(box, scale, strict=True))
    if right >= left and bottom >= top:
        ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline=colour, width=3)
    return picture


def text(line: str, width: int, colour: tuple[int, int, int] = _INK, size: int = 14) -> Image.Image:
    """A line of text on paper, broken so that it is at most `width` pixels wide."""
    font = ImageFont.load_default(size)
    letters = max(8, round(width / (0.52 * size)))
    lines = textwrap.wrap(escape.line(line), letters) or [""]
    height = round(1.35 * size)
    paper = Image.new("RGB", (width, height * len(lines)), _PAPER)
    pen = ImageDraw.Draw(paper)
    for row, words in enumerate(lines):
        pen.text((0, row * height), words, fill=colour, font=font)
    return paper


def beside(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Pictures in a row."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    return _paste(pictures, (width, max(picture.height for picture in pictures)), gap, across=True)


def below(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Pictures in a column."""
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    return _paste(pictures, (max(picture.width for picture in pictures), height), gap, across=False)


def bar(colours: Sequence[tuple[int, int, int]], width: int, height: int) -> Image.Image:
    """Cells of equal width in a row, each of a colour."""
    paper = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(paper)
    for number, colour in enumerate(colours):
        left, right = (round(edge * width / len(colours)) for edge in (number, number + 1))
        pen.rectangle((left, 0, right - 2, height - 1), fill=colour)
    return paper


def page(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a column, with a margin."""
    content = below(pictures, 3 * _GAP)
    paper = Image.new("RGB", (content.width + 4 * _GAP, content.height + 4 * _GAP), _PAPER)
    paper.paste(content, (2 * _GAP, 2 * _GAP))
    return paper


def _paste(pictures: Sequence[Image.Image], size: tuple[int, int], gap: int, *, across: bool) -> Image.Image:
    paper = Image.new("RGB", size, _PAPER)
    at = 0
    for picture in pictures:
        paper.paste(picture, (at, 0) if across else (0, at))
        at += (picture.width if across else picture.height) + gap
    return paper
