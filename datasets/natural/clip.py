"""Videos of three natural things, one of which is heard: its recorded call, in noise or with another call far away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.natural.scene import THINGS, composed, render
from bench.datasets.natural.things import Thing, call_of, catalogue, loud_second
from bench.datasets.scenes.s4_layout import RATE, Clip, Shot
from bench.datasets.scenes.wording import any_of

_SECONDS = 5
_SIZES = {"large": (0.46, 0.56)}  # as `SIZES`: nothing is said of size, and a mask is to have some patches
_LOUDNESS = (0.05, 0.15)  # of the call
_FAR = (0.1, 0.3)  # of another call, relative to this one
_NOISE = (0.01, 0.1)  # of noise, relative to the call


def random_clip(folder: Path, rng: np.random.Generator, split: str) -> Clip:
    """Return a random video of three things, all of which have calls, so that sight alone does not tell which is heard.

    In a training video, of which one frame is annotated, the picture stands still; in others every second is another
    scene of the same things.

    Args:
        folder: The folder of the media.
        rng: The source of chance.
        split: "train", "val" or "test", for the backgrounds.
    """
    pool = [thing for thing in catalogue(folder) if thing.call]
    things: list[Thing] = []
    while len(things) < THINGS:
        thing = any_of(rng, pool)
        if thing.noun not in {member.noun for member in things}:
            things.append(thing)
    far = any_of(rng, [thing for thing in pool if thing.noun not in {member.noun for member in things}] or things[1:])
    shots = [_shot(folder, rng, split, things) for _ in range(1 if split == "train" else _SECONDS)]
    wave = _sound(rng, call_of(folder, things[0].stamp), call_of(folder, far.stamp) if rng.random() < 0.5 else None)
    return Clip(things[0].noun, (shots * _SECONDS)[:_SECONDS], wave)


def _shot(folder: Path, rng: np.random.Generator, split: str, things: list[Thing]) -> Shot:
    """Return a random scene of things, of which the first one sounds, as a frame."""
    order = rng.permutation(len(things))
    pixels, masks = render(folder, composed(folder, rng, split, [things[index] for index in order], _SIZES))
    return Shot(pixels, masks[int(np.flatnonzero(order == 0)[0])], np.logical_or.reduce(masks))


def _sound(rng: np.random.Generator, call: NDArray[np.float32], far: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return five seconds of a call, each of which has some of it, with noise and perhaps a call that is far away."""
    loudness, far_share, noise_share = (float(rng.uniform(*bounds)) for bounds in (_LOUDNESS, _FAR, _NOISE))
    wave = np.concatenate([loud_second(call, rng.random()) for _ in range(_SECONDS)])
    if far is not None:
        wave = wave + far_share * np.concatenate([loud_second(far, rng.random()) for _ in range(_SECONDS)])
    noise = rng.standard_normal(_SECONDS * RATE, dtype=np.float32)
    return np.clip(loudness * (wave + noise_share * noise), -1, 1).astype(np.float32)
