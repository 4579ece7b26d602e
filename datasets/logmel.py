"""Kaldi's log-mel filter bank, as computed by AST's feature extractor, for batches of waveforms."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FLOOR = np.finfo(np.float32).eps  # Kaldi's smallest energy
PREEMPHASIS = 0.97
Matrix = NDArray[np.float32]


def log_mel(waves: Matrix, rate: int, bins: int, frames: int, filler: float = 0.0) -> Matrix:
    """Return the log-mel energies of waveforms.

    The mean of each waveform is removed. The Hann window is 25 ms long, the hop is 10 ms; there is no dither, and only
    frames entirely within the waveform are used.

    Args:
        waves: Waveforms, (count, samples).
        rate: Sample rate, in Hz.
        bins: Number of mel bins.
        frames: Number of frames of the result; longer spectrograms are cut, shorter ones padded.
        filler: The padding value; AST uses 0.

    Returns:
        Energies, (count, frames, bins).
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
    """Return the matrix of Kaldi's steps from a frame to its spectrum: real and imaginary parts, each (window, bands).

    All steps are linear, so one matrix represents them: remove the mean, apply preemphasis (subtract 0.97 of the
    preceding sample), multiply by the window, pad to a power of two, apply the Fourier transform.
    """
    frames = np.eye(window) - 1 / window
    preceding = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectra = np.fft.rfft((frames - PREEMPHASIS * preceding) * np.hanning(window), _fft_size(window))
    return spectra.real.astype(np.float32), spectra.imag.astype(np.float32)


@lru_cache
def _filters(rate: int, bins: int, window: int) -> Matrix:
    """Return triangular filters, evenly spaced on Kaldi's mel scale from 20 Hz to half the rate: (bands, bins)."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():  # with 128 bins some low triangles contain no band, as in Kaldi and AST
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
