"""Kaldi's log-mel filter bank, as AST's feature extractor computes it, over many waveforms at once."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FLOOR = np.finfo(np.float32).eps  # Kaldi's smallest energy
PREEMPHASIS = 0.97
Matrix = NDArray[np.float32]


def log_mel(waves: Matrix, rate: int, bins: int, frames: int, filler: float = 0.0) -> Matrix:
    """Log-mel energies of waveforms (count, samples): (count, frames, bins).

    The mean of each waveform is removed. Hann window of 25 ms, shift of 10 ms, no dither, frames wholly inside the
    waveform only. Longer results are cut to `frames`, shorter ones filled up with `filler`; AST takes 0.
    """
    window, shift = round(0.025 * rate), round(0.010 * rate)
    waves = waves - waves.mean(axis=1, keepdims=True)
    pieces = np.lib.stride_tricks.sliding_window_view(waves, window, axis=1)[:, ::shift][:, :frames]
    real, imaginary = _transform(window)
    flat = np.ascontiguousarray(pieces).reshape(-1, window)
    power = np.square(flat @ real) + np.square(flat @ imaginary)
    energy = np.log(np.maximum(power @ _filters(rate, bins, window), FLOOR))
    result = np.full((len(waves), frames, bins), filler, dtype=np.float32)
    result[:, : pieces.shape[1]] = energy.reshape(*pieces.shape[:2], bins)
    return result


def _fft_size(window: int) -> int:
    return 1 << (window - 1).bit_length()


@lru_cache
def _transform(window: int) -> tuple[Matrix, Matrix]:
    """Kaldi's steps from a frame to its spectrum, all linear and so one matrix: real and imaginary, (window, bands).

    A frame loses its mean, then its low frequencies (each sample less 0.97 of the one before), is windowed, padded to a
    power of two and Fourier-transformed.
    """
    frames = np.eye(window) - 1 / window
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectra = np.fft.rfft((frames - PREEMPHASIS * before) * np.hanning(window), _fft_size(window))
    return spectra.real.astype(np.float32), spectra.imag.astype(np.float32)


@lru_cache
def _filters(rate: int, bins: int, window: int) -> Matrix:
    """Triangles evenly spaced on Kaldi's mel scale from 20 Hz to half the rate: (bands, bins)."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():  # with 128 bins some low triangles hold no band: so it is in Kaldi and AST too
        warnings.simplefilter("ignore", UserWarning)
        filters = mel_filter_bank(
            num_frequency_bins=_fft_size(window) // 2 + 1,
            num_mel_filters=bins,
            min_frequency=20.0,
            max_frequency=rate / 2,
            sampling_rate=rate,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return filters.astype(np.float32)
