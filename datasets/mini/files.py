"""What the writers of all layouts share: saving a file with its digest, and the description of a written sample."""

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
class WrittenSample:
    """A sample (a video or a picture) that has been written.

    Attributes:
        split: The split that it belongs to.
        line: Its annotation: a line of the annotation files, or JSON from which they are made.
        digests: SHA-256 of its files, by path.
        truth: The ground truth from which the floors are computed. For AVE, (label, visible categories, audible
            categories) per second; for AVS, (mask of the sounding object, mask of all objects) per frame; for
            grounding, (split of the data set, number of objects, number of objects of the right category) per
            expression.
    """

    split: str
    line: str
    digests: dict[str, str]
    truth: list[tuple]


@dataclass(frozen=True)
class Layout:
    """A benchmark's layout.

    Attributes:
        videos: Number of samples of each split.
        write_video: Writes a sample, given the root, the seed, the split and the sample's number in it.
        write_annotations: Writes the annotation files, given the root and all samples; returns the files' digests.
    """

    videos: dict[str, int]
    write_video: Callable[[Path, int, str, int], WrittenSample]
    write_annotations: Callable[[Path, list[WrittenSample]], dict[str, str]]


def save(root: Path, path: Path, content: bytes, digests: dict[str, str]) -> None:
    """Write a file of a benchmark at `path` under `root`, and add its SHA-256 to `digests`."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    digests[path.as_posix()] = sha256(content).hexdigest()


def encode_image(pixels: Pixels | Mask, kind: str) -> bytes:
    """Return a picture, or a mask (white where True), encoded as "png" or "jpeg"."""
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels)
    if kind == "png":
        picture.save(buffer, "png", compress_level=1)
    else:
        picture.save(buffer, "jpeg", quality=92)
    return buffer.getvalue()
