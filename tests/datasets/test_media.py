from __future__ import annotations

import numpy as np
import pytest
import soundfile
from PIL import Image

from bench.datasets import media
from bench.errors import DataError


def test_audio_is_averaged_to_mono_and_resampled_from_its_own_rate(tmp_path):
    rate, tone = 44_100, 440.0
    time = np.arange(rate) / rate
    left = np.sin(2 * np.pi * tone * time)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -0.5 * left], axis=1), rate, subtype="FLOAT")
    wave = media.read_audio(tmp_path / "a.wav", "a", 16_000)
    assert wave.dtype == np.float32 and abs(len(wave) - 16_000) <= 1
    expected = 0.25 * np.sin(2 * np.pi * tone * np.arange(len(wave)) / 16_000)
    assert np.abs(wave - expected)[200:-200].max() < 1e-3


def test_seconds_are_cut_and_padded_with_silence():
    wave = np.arange(25, dtype=np.float32) + 1
    rows = media.seconds(wave, rate=10, count=3)
    assert rows.shape == (3, 10)
    assert rows[2].tolist() == [21, 22, 23, 24, 25, 0, 0, 0, 0, 0]
    assert media.seconds(wave, rate=10, count=2).tolist() == rows[:2].tolist()


def test_masks_are_foreground_over_127(tmp_path):
    Image.fromarray(np.array([[0, 127], [128, 255]], dtype=np.uint8)).save(tmp_path / "m.png")
    mask = media.read_mask(tmp_path / "m.png", "m", 4)
    assert mask.tolist() == [[False] * 4] * 2 + [[True] * 4] * 2


@pytest.mark.parametrize("reader", [media.read_image, media.read_mask, media.read_audio])
def test_missing_and_broken_files_are_named_with_their_sample(tmp_path, reader):
    missing, broken = tmp_path / "no.file", tmp_path / "broken.file"
    broken.write_bytes(b"neither a picture nor a sound")
    with pytest.raises(DataError, match=r"sample s1: .*no\.file is missing"):
        reader(missing, "s1", 16)
    with pytest.raises(DataError, match=r"sample s2: .*broken\.file cannot be read"):
        reader(broken, "s2", 16)


def test_a_truncated_image_is_an_error(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read"):
        media.read_image(tmp_path / "a.jpg", "a", 16)
