"""Media to pretrain encoders on: pictures without sounds, sounds without pictures, texts by themselves, and no labels.

Pictures and sounds come from the small world in the style `PRETRAINING`, which is not the tasks' style, and show more
classes; texts are of scenes that no picture is made of.
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
from bench.datasets.mini.sound import RATE, Wave, hum, synthesise
from bench.datasets.mini.world import CLASSES, PRETRAINING, apart, random_background, random_source

_PICTURES, _SOUNDS, _TEXTS = 100, 101, 102  # keep these random numbers apart from every task's


def pictures(seed: int, start: int, count: int, size: int) -> NDArray[np.uint8]:
    """Pictures `start` to `start + count` of scenes of one to four things: (count, 3, size, size)."""
    batch = np.empty((count, 3, size, size), dtype=np.uint8)
    for row in range(count):
        rng = np.random.default_rng([seed, _PICTURES, start + row])
        names = [str(name) for name in rng.choice(list(CLASSES), int(rng.integers(1, 5)))]
        things = apart(rng, names, PRETRAINING, (0.25, 0.55))
        picture, _ = paint(things, paint_background(random_background(rng, PRETRAINING), SIDE))
        resized = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
        batch[row] = np.asarray(resized).transpose(2, 0, 1)
    return batch


def sounds(seed: int, start: int, count: int) -> Wave:
    """Seconds `start` to `start + count`, each of one or two sources, at `RATE`: (count, RATE)."""
    waves = np.empty((count, RATE), dtype=np.float32)
    for row in range(count):
        rng = np.random.default_rng([seed, _SOUNDS, start + row])
        waves[row] = hum(float(rng.uniform(0, PRETRAINING.hum)), 1, rng)
        for name in rng.choice(list(CLASSES), int(rng.integers(1, 3)), replace=False):
            waves[row] += synthesise(random_source(rng, str(name)), 1)
    return waves


def texts(seed: int, start: int, count: int) -> list[str]:
    """Texts `start` to `start + count`, each of one to four sentences on a scene."""
    generators = (np.random.default_rng([seed, _TEXTS, start + row]) for row in range(count))
    return [passage(rng, random_scene(rng, scene.PRETRAINING)) for rng in generators]
