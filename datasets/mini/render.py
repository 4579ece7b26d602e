"""From what happens in a video to its pictures, masks and sound."""

from __future__ import annotations

import numpy as np

from bench.datasets.mini.draw import Mask, Pixels, paint, paint_background
from bench.datasets.mini.sound import RATE, Source, Wave, hum, synthesise
from bench.datasets.mini.world import Video

SIDE = 80  # pixels


def pictures(video: Video, rng: np.random.Generator) -> list[tuple[Pixels, list[Mask]]]:
    """For each second the picture (SIDE, SIDE, 3) and, for each thing, the mask of what is seen of it."""
    backdrop = paint_background(video.background, SIDE)
    grain = video.background.grain / 2
    rendered = []
    for moment in video.moments:
        flicker = rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * np.float32(grain)
        rendered.append(paint(moment.things, backdrop + flicker))
    return rendered


def waveform(video: Video, rng: np.random.Generator) -> Wave:
    """The sound of the whole video, (seconds * RATE,), each source faded in and out where it starts and stops."""
    seconds = len(video.moments)
    wave = hum(video.hum, seconds, rng)
    for source in dict.fromkeys(source for moment in video.moments for source in moment.sources):
        wave += synthesise(source, seconds) * _gate(video, source)
    return np.clip(wave, -1, 1)


def _gate(video: Video, source: Source) -> Wave:
    """1 in the seconds in which the source is heard, with ramps of 10 ms at the changes."""
    on = [float(source in moment.sources) for moment in video.moments]
    gate = np.repeat(np.array(on, dtype=np.float32), RATE)
    ramp = RATE // 100
    for second in range(1, len(on)):
        if on[second] != on[second - 1]:
            gate[second * RATE - ramp : second * RATE] = np.linspace(on[second - 1], on[second], ramp)
    return gate
