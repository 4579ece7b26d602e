"""A user's own data: a CSV with tiny images, recordings and texts of three classes, and the same images in folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def write_csv(folder: Path, samples: int = 30) -> Path:
    """Write images, recordings and a CSV without splits; return the CSV."""
    draws = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "sounds").mkdir()
    lines = ["image,audio,text,label"]
    for number in range(samples):
        label, color = list(COLORS.items())[number % 3]
        pixels = np.clip(np.array(color) + draws.integers(-30, 30, (12, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        wave = 0.3 * np.sin(2 * np.pi * (300 + 400 * (number % 3)) * np.arange(20_000) / 16_000)
        soundfile.write(folder / f"sounds/{number}.wav", wave, 16_000)
        lines.append(f'images/{number}.png,sounds/{number}.wav,"a {label} thing, number {number}",{label}')
    path = folder / "things.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_folders(table: Path, folder: Path) -> Path:
    """Copy the images of a CSV of `write_csv` into folders of classes; return the folder above them."""
    for line in table.read_text().splitlines()[1:]:
        image, label = line.split(",")[0], line.rsplit(",", 1)[1]
        (folder / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(table.parent / image, folder / label)
    return folder
