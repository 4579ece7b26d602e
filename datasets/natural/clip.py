"""Videos of three natural things, one of which is heard: its recorded call, or its name as somebody says it.

It is heard in noise, and in half of the videos with the call or the name of something else far away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.natural import media
from bench.datasets.natural.facts import LANGUAGES
from bench.datasets.natural.scene import THINGS, composed, render
from bench.datasets.natural.things import (
    Thing,
    all_languages,
    call_of,
    catalogue,
    is_named,
    loud_second,
    name_of,
)
from bench.datasets.scenes.s4_layout import RATE, Clip, Shot
from bench.datasets.scenes.wording import any_of
from bench.errors import DataError

_SECONDS = 5
_SIZES = {"large": (0.46, 0.56)}  # as `SIZES`: nothing is said of size, and a mask is to have some patches
_LOUDNESS = (0.05, 0.15)  # of what is heard of the thing
_FAR = (0.1, 0.3)  # of something else, relative to it
_NOISE = (0.01, 0.1)  # of noise, relative to it


def random_clip(folder: Path, rng: np.random.Generator, split: str) -> Clip:
    """Return a random video of three things, all of which have calls, so that sight alone does not tell which is heard.

    Args:
        folder: The folder of the media.
        rng: The source of chance.
        split: "train", "val" or "test", for the backgrounds.
    """
    return _clip(folder, rng, split, [thing for thing in catalogue(folder) if thing.call], partial(call_of, folder))


def random_named_clip(folder: Path, rng: np.random.Generator, split: str) -> Clip:
    """Return the same of the names of such things, as they are spoken in one of the languages of the split.

    Args:
        folder: The folder of the media.
        rng: The source of chance.
        split: "train", "val" or "test", for the backgrounds and the languages, of which no two splits share any.

    Raises:
        DataError: Fewer than three things are named in all languages.
    """
    language = any_of(rng, LANGUAGES[split])
    return _clip(folder, rng, split, named_things(folder), partial(name_of, folder, language))


@lru_cache(maxsize=2)
def named_things(folder: Path) -> list[Thing]:
    """Return the things with calls whose names are spoken in the languages of all splits.

    Raises:
        DataError: There are fewer than three nouns of them.
    """
    things = [thing for thing in catalogue(folder) if is_named(folder, thing)]
    if len({thing.noun for thing in things}) < THINGS:
        raise DataError(
            f"{folder / media.STAMPS}: hardly any thing is named in all of {', '.join(all_languages())} (files "
            f"*_desc_LANGUAGE.ogg), as data.sounds=names needs; {media.ADVICE}"
        )
    return things


def _clip(
    folder: Path,
    rng: np.random.Generator,
    split: str,
    pool: list[Thing],
    recording: Callable[[str], NDArray[np.float32]],
) -> Clip:
    """Return a random video of three things of a pool, given what returns the recording of a stamp.

    In a training video, of which one frame is annotated, the picture stands still; in others every second is another
    scene of the same things.
    """
    things: list[Thing] = []
    while len(things) < THINGS:
        thing = any_of(rng, pool)
        if thing.noun not in {member.noun for member in things}:
            things.append(thing)
    far = any_of(rng, [thing for thing in pool if thing.noun not in {member.noun for member in things}] or things[1:])
    shots = [_shot(folder, rng, split, things) for _ in range(1 if split == "train" else _SECONDS)]
    wave = _sound(rng, recording(things[0].stamp), recording(far.stamp) if rng.random() < 0.5 else None)
    return Clip(things[0].noun, (shots * _SECONDS)[:_SECONDS], wave)


def _shot(folder: Path, rng: np.random.Generator, split: str, things: list[Thing]) -> Shot:
    """Return a random scene of things, of which the first one sounds, as a frame."""
    order = rng.permutation(len(things))
    pixels, masks = render(folder, composed(folder, rng, split, [things[index] for index in order], _SIZES))
    return Shot(pixels, masks[int(np.flatnonzero(order == 0)[0])], np.logical_or.reduce(masks))


def _sound(rng: np.random.Generator, near: NDArray[np.float32], far: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return five seconds of a recording, each of which has some of it, with noise and perhaps one that is far away."""
    loudness, far_share, noise_share = (float(rng.uniform(*bounds)) for bounds in (_LOUDNESS, _FAR, _NOISE))
    wave = np.concatenate([loud_second(near, rng.random()) for _ in range(_SECONDS)])
    if far is not None:
        wave = wave + far_share * np.concatenate([loud_second(far, rng.random()) for _ in range(_SECONDS)])
    noise = rng.standard_normal(_SECONDS * RATE, dtype=np.float32)
    return np.clip(loudness * (wave + noise_share * noise), -1, 1).astype(np.float32)
