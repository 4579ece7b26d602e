"""Generators of data: what each consists of, and what all share."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class WrittenSample:
    """A sample (a video or a picture) that has been written.

    Attributes:
        split: The split that it belongs to.
        line: Its annotation: a line of the annotation files, or JSON from which they are made.
        digests: SHA-256 of its files, by path.
        truth: The ground truth from which the generator computes its floors. For AVE, (label, visible categories,
            audible categories) per second; for AVS, (mask of the sounding object, mask of all objects) per frame; for
            grounding, (split of the data set, number of objects, number of objects of the right category) per
            expression.
    """

    split: str
    line: str
    digests: dict[str, str]
    truth: list[tuple]


def no_media() -> str:
    """Return no checksum."""
    return ""


def no_floors(samples: Sequence[WrittenSample]) -> dict[str, float]:
    """Return no floors."""
    return {}


@dataclass(frozen=True)
class Generator:
    """A generator of data in one layout.

    Attributes:
        counts: Number of samples (videos or pictures) of each split.
        write_sample: Writes a sample, given the root, the seed, the split and the sample's number in it. It must be a
            function of a module, since other processes call it.
        write_annotations: Writes the annotation files, given the root and all samples; returns the files' digests.
        floors: Returns the primary test scores, in percent, that are possible without combining the streams, by the
            baseline's name, given all samples.
        version: Increases with every change of the generated data; a suite asks for it by `data.version`.
        world: The name of what it shows, which is part of the name of its folder in the cache.
        media: Returns the checksum of the media that the data is composed from, "" without any. Raises UsageError if
            the media are not there, and DataError if they are broken.
    """

    counts: Mapping[str, int]
    write_sample: Callable[[Path, int, str, int], WrittenSample]
    write_annotations: Callable[[Path, list[WrittenSample]], dict[str, str]]
    floors: Callable[[Sequence[WrittenSample]], dict[str, float]] = no_floors
    version: int = 1
    world: str = "mini"
    media: Callable[[], str] = no_media


def save(root: Path, path: Path | str, content: bytes, digests: dict[str, str]) -> None:
    """Write a file at `path` below `root`, and add its SHA-256 to `digests`."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    digests[Path(path).as_posix()] = sha256(content).hexdigest()


def save_json(path: str, root: Path, samples: Sequence[WrittenSample]) -> dict[str, str]:
    """Write a JSON file for each split, a list of its samples' lines, and return their digests.

    Args:
        path: The files' path below `root`, with `{split}` in place of the split.
        root: The folder to write to.
        samples: All samples; their lines are JSON.
    """
    digests: dict[str, str] = {}
    for split in dict.fromkeys(sample.split for sample in samples):
        lines = ",\n".join(sample.line for sample in samples if sample.split == split)
        save(root, path.format(split=split), f"[{lines}]\n".encode(), digests)
    return digests


def encode_image(pixels: Pixels | Mask, kind: str) -> bytes:
    """Return a picture, or a mask (white where True), encoded as "png" or "jpeg"."""
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels)
    if kind == "png":
        picture.save(buffer, "png", compress_level=1)
    else:
        picture.save(buffer, "jpeg", quality=92)
    return buffer.getvalue()
