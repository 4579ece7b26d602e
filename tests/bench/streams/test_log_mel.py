from __future__ import annotations

import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from bench.streams.inputs.log_mel import log_mel


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("frames", [98, 60, 128])
def test_equals_the_filter_bank_of_transformers(frames):
    rng = np.random.default_rng(0)
    waves = (rng.standard_normal((3, 16_000)) * 0.1 + 0.05).astype(np.float32)
    filters = mel_filter_bank(257, 128, 20, 8000, 16_000, None, "kaldi", True)
    window = window_function(400, "hann", periodic=False)
    log_mels = log_mel(waves, 16_000, 128, frames)
    assert log_mels.shape == (3, frames, 128)
    for wave, mine in zip(waves, log_mels, strict=True):
        reference = spectrogram(
            wave - wave.mean(), window, frame_length=400, hop_length=160, fft_length=512, power=2.0, center=False,
            preemphasis=0.97, mel_filters=filters, log_mel="log", mel_floor=1.192092955078125e-07,
            remove_dc_offset=True,
        ).T  # fmt: skip
        length = min(frames, 98)
        np.testing.assert_allclose(mine[:length], reference[:length], atol=2e-3)
        assert not mine[length:].any()


def test_shorter_inputs_are_padded():
    waves = np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32)
    plain, filled = (log_mel(waves, 16_000, 128, 120, filler) for filler in (0.0, -4.985))
    assert (plain[:, :98] == filled[:, :98]).all()
    assert (plain[:, 98:] == 0).all() and (filled[:, 98:] == np.float32(-4.985)).all()


def test_silence_is_finite():
    assert np.isfinite(log_mel(np.zeros((1, 16_000), dtype=np.float32), 16_000, 128, 98)).all()


def test_a_waveform_gives_the_same_features_in_any_batch():
    """To rounding: with more rows the products are summed in another order."""
    waves = (np.random.default_rng(1).standard_normal((5, 16_000)) * 0.1).astype(np.float32)
    batch = log_mel(waves, 16_000, 128, 98)
    for wave, expected in zip(waves, batch, strict=True):
        np.testing.assert_allclose(log_mel(wave[None], 16_000, 128, 98)[0], expected, rtol=0, atol=1e-3)
