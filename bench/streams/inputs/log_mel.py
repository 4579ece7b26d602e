"""Log-mel filter banks for batches of waveforms: Kaldi's, which AST reads, and Whisper's."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FLOOR = np.finfo(np.float32).eps  # Kaldi's smallest energy
PREEMPHASIS = 0.97
_WHISPER_FLOOR = 1e-10  # smallest energy
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


def whisper_log_mel(waves: Matrix, rate: int, bins: int, fft_size: int, hop: int) -> Matrix:
    """Return the log-mel energies (natural logarithm) of waveforms, as Whisper's feature extractor computes them.

    A frame is centered on every `hop`-th sample. Waveforms are continued by reflection at both ends.

    Args:
        waves: Waveforms, (count, samples), with more than half of `fft_size` samples.
        rate: Sample rate, in Hz.
        bins: Number of mel bins.
        fft_size: Samples of a frame.
        hop: Samples from one frame to the next.

    Returns:
        Energies, (count, samples // hop, bins).
    """
    padded = np.pad(waves, ((0, 0), (fft_size // 2, fft_size // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft_size, axis=1)[:, ::hop][:, : waves.shape[1] // hop]
    window = np.hanning(fft_size + 1)[:-1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window)))
    return np.log(np.maximum(power @ _whisper_filters(rate, bins, fft_size), _WHISPER_FLOOR)).astype(np.float32)


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


@lru_cache
def _whisper_filters(rate: int, bins: int, fft_size: int) -> Matrix:
    """Return Whisper's triangular filters, on Slaney's mel scale and with equal areas, to 8 kHz: (bands, bins)."""
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(
        num_frequency_bins=1 + fft_size // 2,
        num_mel_filters=bins,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=rate,
        norm="slaney",
        mel_scale="slaney",
    )
