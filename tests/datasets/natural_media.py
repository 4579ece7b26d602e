"""Media in the layout of Tux Paint's stamps, drawn and sounded at random: none of them is anybody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from bench.datasets.natural.facts import GROUPS
from bench.datasets.natural.things import all_languages

NOUNS = {
    "animals/mammals": ("ant bear", "bull", "cat", "dog", "elk", "fox", "gnu", "horse"),
    "animals/birds": ("auk", "great bustard", "crow", "dove", "egret", "finch", "gull", "hen", "little crow", "bird"),
}


def photograph(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return an ellipse of noise on a transparent background, with as many colors as a photograph has."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = 255 * (x**2 + y**2 <= 1)
    return Image.fromarray(pixels)


def write_stamp(
    root: Path, stamp: str, text: str, picture: Image.Image, call: np.ndarray | None = None, settings: str = ""
) -> None:
    """Write a stamp's files; a call is at 22,050 Hz."""
    path = root / "stamps" / stamp
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path.with_suffix(".png"))
    if text:
        path.with_suffix(".txt").write_text(f"{text}\nfr.utf8=Un chat.\n", encoding="utf-8")
    if settings:
        path.with_suffix(".dat").write_text(settings)
    if call is not None:
        soundfile.write(path.with_suffix(".ogg"), call, 22_050)


def tone(pitch: float, seconds: float = 0.7) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(22_050 * seconds)) / 22_050)


def write_media(root: Path) -> Path:
    """Write eighteen things with calls and names, of which five are used, and eight grounds; return `root`."""
    rng = np.random.default_rng(0)
    for group in GROUPS:
        (root / "stamps" / group).mkdir(parents=True, exist_ok=True)
    for place, nouns in NOUNS.items():
        for number, noun in enumerate(nouns):
            call = tone(200 + 100 * number + 37 * len(place), 0.3 + 0.3 * number)
            picture = photograph(rng, 90 + 5 * number, 80)
            stamp = f"{place}/{noun.replace(' ', '_')}"
            write_stamp(root, stamp, f"A {noun}.", picture, call)
            for index, language in enumerate(all_languages()):
                name = tone(1000 + 200 * index + 10 * number, 0.5)
                soundfile.write(root / "stamps" / f"{stamp}_desc_{language}.ogg", name, 22_050)
    (root / "templates").mkdir()
    for number in range(8):
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((200, 150)).save(root / "templates" / f"ground{number}.jpg")
    return root
