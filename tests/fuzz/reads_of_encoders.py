"""How the folder of an encoder is read, up to a stream that can take what it reads, and token ids that it can take."""

from __future__ import annotations

import math
import os
from pathlib import Path

import valid_encoders


def encoder(place: Path, name: str) -> None:
    """Load the encoder in `place`, of which one file is damaged and the others are as they should be.

    Args:
        place: folder of the folder.
        name: of the valid one.
    """
    import torch

    from bench.streams.load import load_stream

    stream = load_stream(str(_completed(place, name)))
    assert sum(parameter.numel() for parameter in stream.parameters()) < 10_000
    made_up = stream.input.random(1, generator=torch.Generator().manual_seed(0))
    assert made_up.numel() < 2**28
    assert math.isfinite(float(stream.input.normalize(made_up).double().abs().sum()))


def tokenizer(place: Path, name: str) -> None:
    """Load the tokenizer of an encoder likewise, and not the rest of it, which takes longer."""
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
