"""Sounds of the small world: classes differ in timbre and rhythm, not in pitch or loudness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.datasets.mini import elementary
from bench.datasets.scenes.s4_layout import RATE

Wave = NDArray[np.float32]

_TABLE = 2048  # samples in one stored period of a tone


@dataclass(frozen=True)
class Timbre:
    """The sound of a source.

    Attributes:
        partials: Pairs of a multiple of the pitch and an amplitude; a non-integer multiple is inharmonic.
        noise: The share of noise, from 0 to 1.
        band: The noise's lowest and highest frequency, in Hz.
        beat: Events per second; 0 for a steady sound.
        decay: Seconds in which an event dies away; 0 for a swell over its whole length.
        sweep: Octaves by which the pitch rises during an event.
    """

    partials: tuple[tuple[float, float], ...] = ()
    noise: float = 0.0
    band: tuple[float, float] = (0.0, 8000.0)
    beat: float = 0.0
    decay: float = 0.0
    sweep: float = 0.0


TIMBRES: dict[str, Timbre] = {
    "flute": Timbre(partials=((1, 1.0), (2, 0.15)), noise=0.05, band=(1000, 5000)),
    "reed": Timbre(partials=tuple((k, 1 / k) for k in range(1, 16, 2))),
    "buzz": Timbre(partials=tuple((k, k**-0.6) for k in range(1, 21)), beat=9.0),
    "pluck": Timbre(partials=tuple((k, 1 / k) for k in range(1, 11)), beat=4.0, decay=0.09),
    "rattle": Timbre(noise=1.0, band=(3500, 7800), beat=7.0, decay=0.03),
    "wind": Timbre(noise=1.0, band=(80, 900)),
    "bell": Timbre(partials=((1, 1.0), (2.76, 0.7), (5.4, 0.5), (8.9, 0.3)), beat=2.0, decay=0.25),
    "siren": Timbre(partials=((1, 1.0), (2, 0.3), (3, 0.2)), beat=2.5, sweep=1.2),
}


@dataclass(frozen=True)
class Source:
    """A sound source.

    Attributes:
        timbre: A key of `TIMBRES`.
        pitch: Its pitch, in Hz.
        loudness: The root mean square of its waveform, where 1 is full scale.
        seed: Seed of its noise and timing.
    """

    timbre: str
    pitch: float
    loudness: float
    seed: int


def synthesize(source: Source, seconds: int) -> Wave:
    """Return a source's waveform, (seconds * RATE,)."""
    timbre = TIMBRES[source.timbre]
    rng = np.random.default_rng(source.seed)
    time = np.arange(seconds * RATE, dtype=np.float32) / np.float32(RATE)
    beat = timbre.beat * rng.uniform(0.85, 1.15)
    place = _fraction(
        (time * np.float32(beat) + np.float32(rng.uniform())).astype(np.float32)
    )  # position within the event, from 0 to 1
    wave = np.zeros_like(time)
    if timbre.partials:
        vibrato, start = rng.uniform(2, 9), rng.uniform(0, 6)  # radians a second, radians
        pitch = np.float32(source.pitch) * (
            1 + np.float32(0.01) * elementary.sin(np.float32(vibrato) * time + np.float32(start))
        )
        if timbre.sweep:
            pitch *= elementary.exp2(np.float32(timbre.sweep) * (place - np.float32(0.5)))
        wave += _tone(timbre, np.cumsum(pitch, dtype=np.float64) / RATE, source.pitch)
    if timbre.noise:
        hiss = _excerpt(_band_noise(timbre.band), len(time), rng)
        wave = np.float32(1 - timbre.noise) * wave + np.float32(timbre.noise) * hiss
    if beat:
        fade = np.float32(1 / (beat * timbre.decay)) if timbre.decay else None
        wave *= elementary.sin(np.float32(np.pi) * place) if fade is None else elementary.exp(-place * fade)
    return (wave * np.float32(source.loudness / (np.sqrt(np.mean(wave**2)) + 1e-9))).astype(np.float32)


def hum(level: float, seconds: int, rng: np.random.Generator) -> Wave:
    """Return background noise (seconds * RATE,) that falls off with frequency, with standard deviation `level`."""
    return _excerpt(_dull_noise(), seconds * RATE, rng) * np.float32(level)


def _fraction(values: Wave) -> Wave:
    """Return the fractional part of each value, several times faster than `% 1`."""
    return values - np.floor(values)


def _tone(timbre: Timbre, phase: NDArray[np.float64], pitch: float) -> Wave:
    """Return the sum of the partials below the Nyquist frequency; integer multiples share a stored, fast period."""
    partials = tuple((k, a) for k, a in timbre.partials if k * pitch * 2 ** (timbre.sweep / 2) < RATE / 2)
    wave = _period(partials)[(phase * _TABLE).astype(np.int64) & (_TABLE - 1)]
    for k, amplitude in partials:
        if not float(k).is_integer():
            cycles = k * phase
            wave += np.float32(amplitude) * elementary.sin((2 * np.pi * (cycles - np.floor(cycles))).astype(np.float32))
    return wave


@lru_cache
def _period(partials: tuple[tuple[float, float], ...]) -> Wave:
    """Return one period (_TABLE,) of the partials that are integer multiples of the pitch."""
    turns = np.arange(_TABLE) / _TABLE * 2 * np.pi
    table = np.zeros(_TABLE, dtype=np.float32)
    for k, amplitude in partials:
        if float(k).is_integer():
            table += (amplitude * np.sin(k * turns)).astype(np.float32)
    return table


# Filtering noise is the slowest part. So each kind is made once, long and seamless, and excerpts are taken at random.
_NOISE_SAMPLES = 1 << 20  # 65 s


def _excerpt(noise: Wave, count: int, rng: np.random.Generator) -> Wave:
    start = int(rng.integers(len(noise) - count))
    return noise[start : start + count]


@lru_cache
def _band_noise(band: tuple[float, float]) -> Wave:
    """Return white noise limited to a band of frequencies (Hz), with standard deviation 1."""
    rng = np.random.default_rng(int(band[1]))
    spectrum = np.fft.rfft(rng.standard_normal(_NOISE_SAMPLES, dtype=np.float32))
    frequency = np.fft.rfftfreq(_NOISE_SAMPLES, 1 / RATE)
    spectrum[(frequency < band[0]) | (frequency > band[1])] = 0
    wave = np.fft.irfft(spectrum, _NOISE_SAMPLES)
    return (wave / wave.std()).astype(np.float32)


@lru_cache
def _dull_noise() -> Wave:
    """Return noise that falls off with frequency, with standard deviation 1."""
    white = np.random.default_rng(0).standard_normal(_NOISE_SAMPLES + 1, dtype=np.float32)
    dull = white[1:] + np.float32(0.9) * white[:-1]
    return dull / dull.std()
