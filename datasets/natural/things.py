"""The catalogue of things: stamps that are photographs, with their names, and which of them training shows."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets.media import read_audio
from bench.datasets.natural import media
from bench.datasets.natural.facts import CALLERS, CALLS_LEFT_OUT, COMPOUNDS, GROUPS, LANGUAGES, LEFT_OUT, NAMES
from bench.datasets.scenes.s4_layout import RATE
from bench.errors import DataError

# What a picture must have to be a good cut-out, in the pixels that are opaque and the box around them.
_MIN_COLORS = 150  # at 32 levels of each channel: drawings have fewer
_MIN_SIDES = (24, 64)  # pixels of the shorter and the longer side
_MIN_COVERAGE = 0.15  # of the box
_NEW_SHARE = 0.25  # of each group's nouns
_TITLE = re.compile(r"(?:An?|The) ((?:[\w'\u2019-]+ ){0,3}[\w'\u2019-]+)")
_LOUD = 0.3  # of a call's loudest second: seconds that are quieter than this are no call
_PAUSE = RATE // 6  # samples between repetitions of a short call
_SILENT = 0.003  # loudness below which a recording is silent


@dataclass(frozen=True)
class Thing:
    """A photographed thing.

    Attributes:
        stamp: Its path below `stamps`, without the ending.
        group: The word for what is in its folder: "bird".
        noun: What it is: "heron".
        title: Its whole name: "great blue heron".
        mirrors: Whether it may be mirrored.
        call: Whether it has a recorded call of its own, and one of the nouns in `CALLERS`.
    """

    stamp: str
    group: str
    noun: str
    title: str
    mirrors: bool
    call: bool


def title_of(stamp: str, text: str) -> str:
    """Return the name of a stamp, in lower case; "" if its text is none.

    "An albino peahen (a female peafowl, or peacock)." is "albino peahen".
    """
    if stamp in NAMES:
        return NAMES[stamp]
    sentence = re.split(r"[.!,(]", text, maxsplit=1)[0].strip()
    match = _TITLE.fullmatch(sentence)
    return match[1].lower() if match else ""


def noun_of(title: str) -> str:
    """Return the noun of a name: its last word, or the last two of a compound."""
    return next((compound for compound in COMPOUNDS if title.endswith(compound)), title.rpartition(" ")[2])


@lru_cache(maxsize=2)
def catalogue(folder: Path) -> tuple[Thing, ...]:
    """Return the things in the media's folder, sorted by their stamps.

    Raises:
        DataError: A file is broken or too large, or hardly any stamp is a photograph.
    """
    things = _things(folder)
    if problem := _too_few(things):
        raise DataError(f"{folder / media.STAMPS} has too few photographs of things: {problem}; {media.ADVICE}")
    return tuple(things)


def _things(folder: Path, broken: Collection[str] = ()) -> list[Thing]:
    """Return the things in the media's folder, however few, sorted by their stamps.

    Args:
        folder: The folder of the media.
        broken: Stamps to leave out, since a file of theirs cannot be read.

    Raises:
        DataError: A file of another stamp is broken or too large.
    """
    things = []
    calls: set[bytes] = set()
    for stamp in media.stamps(folder):
        if stamp in broken:
            continue
        title = title_of(stamp, media.text_of(folder, stamp))
        if not title or stamp in LEFT_OUT or not is_photograph(media.read_stamp(folder, stamp)):
            continue
        group = next(word for place, word in GROUPS.items() if stamp.startswith(f"{place}/"))
        noun = noun_of(title)
        wave = call_of(folder, stamp)
        digest = sha256(wave.tobytes()).digest()
        things.append(
            Thing(
                stamp,
                group,
                noun,
                title,
                media.may_be_mirrored(folder, stamp),
                noun in CALLERS and len(wave) > 0 and digest not in calls,
            )
        )
        calls.add(digest)
    return things


def _too_few(things: list[Thing]) -> str:
    known, new = ({thing.noun for thing in part} for part in (known_things(tuple(things)), new_things(tuple(things))))
    calls = {thing.noun for thing in things if thing.call}
    counts = {"nouns to train with": len(known), "new nouns": len(new), "nouns with a call": len(calls)}
    return ", ".join(f"{count} {name}, expected at least 3" for name, count in counts.items() if count < 3)


def is_photograph(pixels: NDArray[np.uint8]) -> bool:
    """Return whether a picture in RGBA, cropped to what is opaque, makes a good cut-out of a photograph."""
    opaque = pixels[..., 3] > 127
    colors = (pixels[opaque][:, :3] >> 3).astype(np.int64) @ (1024, 32, 1)
    shorter, longer = sorted(opaque.shape)
    big_enough = shorter >= _MIN_SIDES[0] and longer >= _MIN_SIDES[1]
    return big_enough and opaque.mean() >= _MIN_COVERAGE and len(np.unique(colors)) >= _MIN_COLORS


def known_things(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Return the things that training shows."""
    new = _new_nouns(things)
    return tuple(thing for thing in things if (thing.group, thing.noun) not in new)


def new_things(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Return the things that training does not show: all of some nouns of each group."""
    new = _new_nouns(things)
    return tuple(thing for thing in things if (thing.group, thing.noun) in new)


@lru_cache(maxsize=4)
def _new_nouns(things: tuple[Thing, ...]) -> frozenset[tuple[str, str]]:
    """Return the groups and nouns of new things. By checksums, one noun more or less moves few others."""
    new: set[tuple[str, str]] = set()
    for group in {thing.group for thing in things}:
        nouns = {thing.noun for thing in things if thing.group == group} - {group}
        ranked = sorted(nouns, key=lambda noun: sha256(noun.encode()).digest())
        new |= {(group, noun) for noun in ranked[: round(_NEW_SHARE * len(nouns))]}
    return frozenset(new)


def call_of(folder: Path, stamp: str) -> NDArray[np.float32]:
    """Return the call of a stamp without the silence around it, at `RATE`: (samples,); none if there is no sound in it.

    Raises:
        DataError: The file is broken or too large.
    """
    return np.zeros(0, dtype=np.float32) if stamp in CALLS_LEFT_OUT else _recording(folder, stamp)


def name_of(folder: Path, language: str, stamp: str) -> NDArray[np.float32]:
    """Return the name of a stamp, spoken in a language, as `call_of` returns its call.

    Raises:
        DataError: The file is broken or too large.
    """
    return _recording(folder, stamp, language)


def all_languages() -> list[str]:
    """Return the languages of all splits."""
    return [language for part in LANGUAGES.values() for language in part]


def is_named(folder: Path, thing: Thing) -> bool:
    """Return whether a thing has a call, and its name is spoken in the languages of all splits.

    Raises:
        DataError: A file is broken or too large.
    """
    return thing.call and all(len(name_of(folder, language, thing.stamp)) for language in all_languages())


def counts_of(folder: Path, broken: Collection[str] = ()) -> dict[str, int]:
    """Return how many things there are, how many of them have a call and are named, and how many backgrounds.

    Args:
        folder: The folder of the media.
        broken: Stamps and names of backgrounds that are not counted, since a file of theirs cannot be read. If there
            are any, what is left may be too little to use.

    Raises:
        DataError: A file of another one is broken or too large, or hardly any stamp is a photograph.
    """
    things = _things(folder, broken) if broken else catalogue(folder)
    return {
        "things": len(things),
        "with a call": sum(thing.call for thing in things),
        "named": sum(is_named(folder, thing) for thing in things),
        "backgrounds": sum(path.name not in broken for path in media.backgrounds(folder)),
    }


@lru_cache(maxsize=512)
def _recording(folder: Path, stamp: str, language: str = "") -> NDArray[np.float32]:
    path = media.sound_path(folder, stamp, language)
    if path is None:
        return np.zeros(0, dtype=np.float32)
    wave = read_audio(path, stamp, RATE)
    if not len(wave) or np.sqrt(np.mean(wave**2)) < _SILENT:
        return np.zeros(0, dtype=np.float32)
    loud = np.flatnonzero(np.abs(wave) > 0.05 * np.abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


def loud_second(wave: NDArray[np.float32], chance: float) -> NDArray[np.float32]:
    """Return a second of a call, (RATE,), of loudness 1: one that is about as loud as its loudest.

    Args:
        wave: The call at `RATE`; one of less than a second is repeated.
        chance: Chooses among these seconds, from 0 to below 1.
    """
    if len(wave) < RATE:
        repeated = np.concatenate([wave, np.zeros(_PAUSE, dtype=np.float32)])
        wave = np.tile(repeated, 1 + -(-2 * RATE // len(repeated)))[: RATE + len(repeated)]
    starts = np.arange(0, len(wave) - RATE + 1, RATE // 20)
    levels = np.array([np.sqrt(np.mean(wave[start : start + RATE] ** 2)) for start in starts])
    usable = starts[levels >= _LOUD * levels.max()]
    start = usable[int(chance * len(usable))]
    second = wave[start : start + RATE]
    return second / np.sqrt(np.mean(second**2))
