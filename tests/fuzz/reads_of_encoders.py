"""Readers of an encoder's folder, up to a stream with valid inputs, and valid token ids."""

from __future__ import annotations

import math
import os
from pathlib import Path

import valid_encoders


def encoder(place: Path, name: str) -> None:
    """Load the encoder in `place`, one file of which is damaged.

    Args:
        place: Folder that contains the encoder's folder.
        name: Name of the valid encoder, from which the other files are copied.
    """
    import torch

    from bench.streams.load import load_stream

    stream = load_stream(str(_completed(place, name)))
    assert sum(parameter.numel() for parameter in stream.parameters()) < 10_000
    batch = stream.input.random(1, generator=torch.Generator().manual_seed(0))
    assert batch.numel() < 2**28
    assert math.isfinite(float(stream.input.normalize(batch).double().abs().sum()))


def tokenizer(place: Path, name: str) -> None:
    """Load only the tokenizer of an encoder in the same way, which is faster."""
    from bench.streams import inputs

    words = inputs.TextInput(str(_completed(place, name)), length=8)
    number, padding = words.vocabulary()
    ids = words.encode(["The reds \N{LATIN SMALL LETTER E WITH ACUTE} [PAD]", "", "\0", "a " * 5000])
    assert ids.shape == (4, 8) and ids.min() >= 0 and max(ids.max(), padding) < number


def _completed(place: Path, name: str) -> Path:
    folder = place / "encoder"
    for file, content in valid_encoders.folder(name).items():
        if not os.path.lexists(folder / file):
            (folder / file).write_bytes(content)
    return folder
