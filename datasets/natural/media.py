"""Finds and reads Tux Paint's stamps and photographs, below a folder that the user names.

Nothing is written there. What the files claim is checked before they are decoded (`bench.datasets.media`), and folders
behind links are not entered, so that a link cannot lead in circles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.datasets import media
from bench.datasets.natural.facts import BACKGROUNDS_LEFT_OUT, DRAWN, GROUPS
from bench.errors import DataError, UsageError
from bench.files import KIBIBYTE, read_bytes
from bench.system.checksums import combined

INSTALLED = Path("/usr/share/tuxpaint")
PACKAGES = "tuxpaint-stamps-default tuxpaint-data"
ADVICE = (
    f"`apt-get download {PACKAGES}` gets them on Debian and Ubuntu, `dpkg-deb --extract FILE DIR` unpacks each; then "
    "pass --data-root DIR (with `bench data`: --root DIR). `bench data describe natural` shows what is read, and other "
    "places to get it"
)
STAMPS, BACKGROUNDS = "stamps", "templates"
_BELOW = ("usr/share/tuxpaint", "share/tuxpaint", ".")
_MAX_TEXT_BYTES = 64 * KIBIBYTE  # of a stamp's text in all languages; the longest have 10 KiB
_MAX_FILES = 20_000  # below the folders of stamps; the package has 9,000 in all
_MAX_SIDE = 400  # pixels to which larger pictures are shrunk when they are read
_BLACK = 24  # of 255: rows and columns at the edges that are nowhere brighter are bars


@lru_cache(maxsize=8)
def located(root: Path | None) -> Path:
    """Return the folder of the media, which has `stamps` and `templates` in it.

    Args:
        root: The folder of --data-root: that one, or the root of unpacked packages; None for the installed packages.

    Raises:
        UsageError: The media are not there, or not all of them; says how to get them.
    """
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}, the folder of the media, is not a folder: {ADVICE}")
    candidates = [INSTALLED] if root is None else [root / below for below in _BELOW]
    folder = next((place for place in candidates if (place / STAMPS).is_dir()), None)
    if folder is None:
        raise UsageError(
            "the data of this suite is composed from Tux Paint's pictures and sounds, but there is no folder of its "
            f"{STAMPS} at {' or '.join(str(place) for place in candidates)}: {ADVICE}"
        )
    missing = [f"{STAMPS}/{group}" for group in GROUPS if not (folder / STAMPS / group).is_dir()]
    missing += [] if backgrounds(folder) else [f"{BACKGROUNDS}/*.jpg (of the package {PACKAGES.split()[1]})"]
    if missing:
        raise UsageError(f"Tux Paint's media in {folder} are not complete: {', '.join(missing)} missing: {ADVICE}")
    return folder


def stamps(folder: Path) -> Iterator[str]:
    """Yield the names of the pictures in the folders of `GROUPS`, sorted: paths below `stamps`, without the ending.

    Raises:
        DataError: There are far more files than a package has.
    """
    count = 0
    for group in sorted(GROUPS):
        for path, folders, files in os.walk(folder / STAMPS / group):
            folders[:] = sorted(name for name in folders if name != DRAWN)
            count += len(files)
            if count > _MAX_FILES:
                raise DataError(f"{folder / STAMPS} has more than {_MAX_FILES:,} files: is it Tux Paint's?")
            for name in sorted(files):
                if name.endswith(".png") and not name.startswith("."):
                    yield (Path(path) / name).relative_to(folder / STAMPS).with_suffix("").as_posix()


def backgrounds(folder: Path) -> list[Path]:
    """Return the photographs for backgrounds, sorted."""
    paths = sorted((folder / BACKGROUNDS).glob("*.jpg"))
    return [path for path in paths if path.stem not in BACKGROUNDS_LEFT_OUT and not path.name.startswith(".")]


def sound_path(folder: Path, stamp: str, language: str = "") -> Path | None:
    """Return the file of a stamp's call, or of its name as spoken in a language; None if it has none."""
    name = f"{stamp}_desc_{language}" if language else stamp
    paths = (folder / STAMPS / f"{name}{ending}" for ending in (".ogg", ".wav"))
    return next((path for path in paths if path.is_file()), None)


def text_of(folder: Path, stamp: str) -> str:
    """Return the English text of a stamp, the first line of its file; "" without one.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    path = folder / STAMPS / f"{stamp}.txt"
    try:
        return _content(path).partition(b"\n")[0].decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line 1: is not UTF-8: {error.reason} at byte {error.start}") from error


def may_be_mirrored(folder: Path, stamp: str) -> bool:
    """Return whether a stamp makes sense in a mirror, by its settings.

    Raises:
        DataError: They cannot be read.
    """
    return b"nomirror" not in _content(folder / STAMPS / f"{stamp}.dat")


def _content(path: Path) -> bytes:
    """Return the content of a small file; none if it does not exist."""
    try:
        return read_bytes(path, _MAX_TEXT_BYTES)
    except FileNotFoundError:
        return b""
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def read_stamp(folder: Path, stamp: str) -> NDArray[np.uint8]:
    """Return a stamp's picture in RGBA, cropped to what is opaque: (height, width, 4), shrunk if it is large.

    Raises:
        DataError: The file is missing, broken or too large.
    """
    with media.opened_image(folder / STAMPS / f"{stamp}.png", stamp) as image:
        pixels = image.convert("RGBA")
        box = pixels.getchannel("A").point(lambda value: 255 * (value > 127)).getbbox()
        pixels = pixels.crop(box) if box else pixels
        pixels.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(pixels)


def read_background(path: Path) -> Image.Image:
    """Return a photograph, upright, in RGB, and without black bars.

    Raises:
        DataError: The file is missing, broken or too large.
    """
    with media.opened_image(path, path.stem, "background") as image:
        picture = media.decoded(image)
    return picture.crop(picture.point(lambda value: 255 * (value > _BLACK)).getbbox())


def checksum(folder: Path, languages: Sequence[str] = ()) -> str:
    """Return the checksum of all files that the data is composed from: pictures, texts, settings, calls, backgrounds.

    Args:
        folder: The folder of the media.
        languages: Those in which the names of things are heard, whose recordings count too.

    Raises:
        DataError: A file cannot be read.
    """
    paths = backgrounds(folder)
    for stamp in stamps(folder):
        paths += [folder / STAMPS / f"{stamp}{ending}" for ending in (".png", ".txt", ".dat", ".ogg", ".wav")]
        paths += [path for language in languages if (path := sound_path(folder, stamp, language))]
    lines = []
    for path in paths:
        try:
            content = read_bytes(path, media.MAX_PICTURE_BYTES)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        lines.append((path.relative_to(folder).as_posix(), sha256(content).hexdigest()))
    return combined(lines)
