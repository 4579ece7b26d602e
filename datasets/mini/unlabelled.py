"""Unlabeled, unpaired media to pretrain encoders on: pictures without sounds, sounds without pictures, and texts.

Pictures and sounds come from the small world in the style `PRETRAINING`, which differs from the tasks' style and has
more classes; texts are about scenes that are never drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.datasets.mini import scene
from bench.datasets.mini.draw import paint, paint_background
from bench.datasets.mini.prose import passage
from bench.datasets.mini.render import SIDE
from bench.datasets.mini.scene import random_scene
from bench.datasets.mini.sound import RATE, Wave, hum, synthesize
from bench.datasets.mini.world import CLASSES, PRETRAINING, random_background, random_source, separate_things

_PICTURES, _SOUNDS, _TEXTS = 100, 101, 102  # part of the seeds: random streams separate from every task's


def pictures(seed: int, start: int, count: int, size: int) -> NDArray[np.uint8]:
    """Return pictures `start` to `start + count` of one to four objects: (count, 3, size, size)."""
    batch = np.empty((count, 3, size, size), dtype=np.uint8)
    for row in range(count):
        rng = np.random.default_rng([seed, _PICTURES, start + row])
        names = [str(name) for name in rng.choice(list(CLASSES), int(rng.integers(1, 5)))]
        things = separate_things(rng, names, PRETRAINING, (0.25, 0.55))
        picture, _ = paint(things, paint_background(random_background(rng, PRETRAINING), SIDE))
        resized = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
        batch[row] = np.asarray(resized).transpose(2, 0, 1)
    return batch


def sounds(seed: int, start: int, count: int) -> Wave:
    """Return sounds `start` to `start + count`, one second of one or two sources each, at `RATE`: (count, RATE)."""
    waves = np.empty((count, RATE), dtype=np.float32)
    for row in range(count):
        rng = np.random.default_rng([seed, _SOUNDS, start + row])
        waves[row] = hum(float(rng.uniform(0, PRETRAINING.hum)), 1, rng)
        for name in rng.choice(list(CLASSES), int(rng.integers(1, 3)), replace=False):
            waves[row] += synthesize(random_source(rng, str(name)), 1)
    return waves


def texts(seed: int, start: int, count: int) -> list[str]:
    """Return texts `start` to `start + count`, each of one to four sentences about a scene."""
    generators = (np.random.default_rng([seed, _TEXTS, start + row]) for row in range(count))
    return [passage(rng, random_scene(rng, scene.PRETRAINING)) for rng in generators]
