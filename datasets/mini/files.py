"""What the writers of all layouts share: saving a file with its digest, and what a written sample leaves behind."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets.mini.draw import Mask, Pixels


@dataclass(frozen=True)
class Written:
    """What one sample (a video, or a picture) left behind.

    Attributes:
        split: the split that it was made for.
        line: what the annotation files say of it: a line of them, or JSON to make them from.
        digests: its files' digests by their paths.
        truth: what the floors are computed from. For AVE, one (label, seen, heard) a second; for AVS, one (mask of what
            sounds, mask of all that is seen) a frame; for grounding, one (split of its data set, objects in the
            picture, those of them of the right category) an expression.
    """

    split: str
    line: str
    digests: dict[str, str]
    truth: list[tuple]


@dataclass(frozen=True)
class Layout:
    """One benchmark's layout: how many samples a split holds, what writes one, and what writes the annotation files."""

    videos: dict[str, int]
    write_video: Callable[[Path, int, str, int], Written]
    write_annotations: Callable[[Path, list[Written]], dict[str, str]]


def save(root: Path, path: Path, content: bytes, digests: dict[str, str]) -> None:
    """Write a file of a benchmark at `path` under its `root`, and notes its digest."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    digests[path.as_posix()] = sha256(content).hexdigest()


def encode_image(pixels: Pixels | Mask, kind: str) -> bytes:
    """Return a picture as "png" or "jpeg"; a mask is white where it is True."""
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels)
    if kind == "png":
        picture.save(buffer, "png", compress_level=1)
    else:
        picture.save(buffer, "jpeg", quality=92)
    return buffer.getvalue()
