from __future__ import annotations

import pytest
import torch

from bench.streams.inputs import AudioInput, ImageInput

IMAGE = ImageInput(size=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
AUDIO = AudioInput(sample_rate=16000, mel_bins=128, frames=98, mean=-4.0, std=4.5)


def test_bytes_and_floats_are_normalised_alike():
    image = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (image / 255 - torch.tensor(IMAGE.mean).view(3, 1, 1)) / torch.tensor(IMAGE.std).view(3, 1, 1)
    assert torch.equal(IMAGE.normalise(image), expected)
    assert torch.equal(IMAGE.normalise(image.float() / 255), expected)


def test_audio_is_divided_by_twice_its_deviation():
    assert AUDIO.normalise(torch.tensor(5.0)).item() == pytest.approx(1.0)


def test_preprocessor_round_trip():
    assert ImageInput.from_preprocessor(IMAGE.to_preprocessor()) == IMAGE
    assert AudioInput.from_preprocessor(AUDIO.to_preprocessor()) == AUDIO


def test_size_and_frames_can_be_overruled():
    assert ImageInput.from_preprocessor(IMAGE.to_preprocessor(), size=96).size == 96
    assert AudioInput.from_preprocessor(AUDIO.to_preprocessor(), frames=1024).frames == 1024


def test_the_size_is_what_is_cropped():
    dinov2 = {
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "size": {"shortest_edge": 256},
        "image_mean": IMAGE.mean,
        "image_std": IMAGE.std,
    }
    assert ImageInput.from_preprocessor(dinov2).size == 224
