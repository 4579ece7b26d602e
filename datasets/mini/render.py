"""Renders a video of the small world: its pictures, masks and sound."""

from __future__ import annotations

import numpy as np

from bench.datasets.generator import Mask, Pixels
from bench.datasets.mini.draw import paint, paint_background
from bench.datasets.mini.sound import RATE, Wave, hum, synthesize
from bench.datasets.mini.world import Moment, Video

SIDE = 64  # pixels
_RAMP = RATE // 100  # samples over which each second fades in and out, so that the cut does not click


def pictures(video: Video) -> list[tuple[Pixels, list[Mask]]]:
    """Return, for each second, the picture (SIDE, SIDE, 3) and each object's mask (SIDE, SIDE) of visible pixels."""
    painted = {m: paint(m.things, paint_background(m.background, SIDE)) for m in dict.fromkeys(video.moments)}
    return [painted[moment] for moment in video.moments]


def waveform(video: Video, rng: np.random.Generator) -> Wave:
    """Return the sound of the whole video: (seconds * RATE,)."""
    waves = {moment: _second(moment, rng) for moment in dict.fromkeys(video.moments)}
    return np.concatenate([waves[moment] for moment in video.moments])


def _second(moment: Moment, rng: np.random.Generator) -> Wave:
    wave = sum((synthesize(source, 1) for source in moment.sources), start=np.zeros(RATE, dtype=np.float32))
    ramp = np.linspace(0, 1, _RAMP, dtype=np.float32)
    wave[:_RAMP] *= ramp
    wave[-_RAMP:] *= ramp[::-1]
    return np.clip(wave + hum(moment.hum, 1, rng), -1, 1)
