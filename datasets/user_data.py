"""Reads a user's own data: a CSV file with one sample per row, or folders of images with one folder per class.

CSV: the columns image, audio and text are the inputs of a sample, and paths are relative to the CSV's folder; label is
its class, split is train, val or test, and samples of one group stay in one split. Each is optional.

Image folders: <class>/*.jpg, or train/<class>/*.jpg with val and test beside train.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bench.datasets.layout import MAX_PROBLEMS, is_plain
from bench.datasets.user_samples import MEDIA, SPLITS, Sample, UserData, with_splits
from bench.errors import DataError, did_you_mean, shortened
from bench.files import MEBIBYTE, read_text

COLUMNS = ("image", "audio", "text", "label", "split", "group")
MAX_TABLE_BYTES = 64 * MEBIBYTE
MAX_SAMPLES = 1_000_000
_ENDINGS = (".jpg", ".jpeg", ".png")
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
_MAX_LABEL = 200  # characters


def read_user_data(path: Path, required: Sequence[str]) -> UserData:
    """Read a CSV or an image folder. No media is opened.

    Args:
        path: A file that ends in .csv, or a folder.
        required: Columns that every sample must have, among image, audio, text and label.

    Raises:
        DataError: It cannot be read, lacks a column, a split or a class, or samples of one group are in several splits.
            Invalid rows alone are `UserData.problems`.
    """
    if path.is_dir():
        data = _read_folder(path)
        _check_columns(data, required)
        return with_splits(data, "label" in required)
    if path.suffix.lower() != ".csv" or not path.exists():
        problem = "is neither a CSV file (.csv) nor a folder of images" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}: name one with data.path in the suite, or with --data-root")
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return _read_csv(path, tuple(required), (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=2)
def _read_csv(path: Path, required: tuple[str, ...], stamp: tuple[int, ...]) -> UserData:
    try:
        text = read_text(path, MAX_TABLE_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    samples: list[Sample] = []
    problems: list[DataError] = []
    try:
        header = [name.strip().lower() for name in next(reader, ())]
        columns, ignored = _columns(path, header)
        data = UserData(path, columns, (), ignored=ignored)
        _check_columns(data, required)
        line = reader.line_num + 1
        for row in reader:
            if any(map(str.strip, row)):
                try:
                    samples.append(_sample(row, header, required, f"line {line}"))
                except ValueError as error:
                    problems.append(DataError(f"{path}, line {line}: {error}"))
            line = reader.line_num + 1
            if len(problems) > MAX_PROBLEMS:
                raise problems[0]
            if len(samples) > MAX_SAMPLES:
                raise DataError(f"{path}: has more than {MAX_SAMPLES:,} rows")
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: cannot be read as CSV: {error}") from error
    if not samples:
        raise problems[0] if problems else DataError(f"{path}: has no rows below its header")
    data = replace(data, samples=tuple(samples), problems=tuple(problems))
    return with_splits(data, "label" in required)


def _columns(path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the known columns of a header, and the names of others.

    Raises:
        DataError: A column occurs twice, looks like a misspelled one, or there is none that is known.
    """
    known = tuple(name for name in COLUMNS if name in header)
    if twice := [name for name in known if header.count(name) > 1]:
        raise DataError(f"{path}, line 1: column {twice[0]} occurs {header.count(twice[0])} times: rename the others")
    if not known:
        separator = "; columns must be separated by commas" if len(header) == 1 and {*";\t"} & {*header[0]} else ""
        raise DataError(
            f"{path}, line 1: expected column names among {', '.join(COLUMNS)}, "
            f"found {shortened(', '.join(header))!r}{separator}"
        )
    ignored = tuple(dict.fromkeys(name for name in header if name and name not in COLUMNS))  # "" is pandas' index
    for name in ignored:
        suggestion = did_you_mean(name, (column for column in COLUMNS if column not in known))
        if suggestion.startswith("did you mean"):
            raise DataError(f"{path}, line 1: unknown column {shortened(name)!r}: {suggestion}; rename or remove it")
    return known, ignored


def _check_columns(data: UserData, required: Sequence[str]) -> None:
    if missing := [name for name in required if name not in data.columns]:
        raise DataError(
            f"{data.path}: there is no column {' and no column '.join(missing)}, which the task needs; "
            f"there are {', '.join(data.columns)}"
        )


def _sample(row: Sequence[str], header: Sequence[str], required: Sequence[str], name: str) -> Sample:
    """Return the sample of a row.

    Raises:
        ValueError: The row is invalid.
    """
    if len(row) != len(header):
        raise ValueError(
            f'expected {len(header)} values, found {len(row)}; a text with a comma must be in double quotes: "a, b"'
        )
    values = {column: value.strip() for column, value in zip(header, row, strict=True) if column in COLUMNS}
    if empty := [column for column in required if not values[column]]:
        raise ValueError(f"{' and '.join(empty)} {'are' if len(empty) > 1 else 'is'} empty")
    for column in MEDIA:
        if path := values.get(column):
            values[column] = _checked_path(path, column)
    label = values.get("label", "")
    if len(label) > _MAX_LABEL or not label.isprintable():
        raise ValueError(f"expected a label of at most {_MAX_LABEL} printable characters, found {shortened(label)!r}")
    if "split" in values:
        split = _split_name(values["split"])
        if split is None:
            raise ValueError(f"expected split train, val or test, found {shortened(values['split'])!r}")
        values["split"] = split
    group = values.pop("group", "") or next(
        (values[name] for name in ("image", "audio", "text") if values.get(name)), ""
    )
    return Sample(name, values.pop("split", ""), group, **values)


def _checked_path(path: str, column: str) -> str:
    """Return a path as it was, except for `.` parts.

    Raises:
        ValueError: It could lead out of the data's folder.
    """
    parts = [part for part in path.split("/") if part != "."]
    if not all(map(is_plain, parts)):
        raise ValueError(
            f"expected {column} to be a path below the folder of the CSV, with slashes and without .., "
            f"found {shortened(path)!r}"
        )
    return "/".join(parts)


def _split_name(name: str) -> str | None:
    """Return the split that a name stands for; None if it stands for none."""
    name = name.lower()
    name = _SYNONYMS.get(name, name)
    return name if name in SPLITS else None


def _read_folder(path: Path) -> UserData:
    folders = _folders(path)
    splits = {_split_name(folder.name): folder for folder in folders}
    if set(splits) == {None}:
        samples = _images(path, folders, "")
    elif None in splits:
        split = next(folder for name, folder in splits.items() if name)
        raise DataError(
            f"{path} contains {split.name}, which is a split, beside {splits[None].name}, which is not: expected "
            "either train, val and test, or one folder per class"
        )
    else:
        if len(splits) < len(folders):
            raise DataError(f"{path} contains several folders for one split: {', '.join(f.name for f in folders)}")
        samples = [s for split, folder in splits.items() for s in _images(path, _folders(folder), split or "")]
    return UserData(path, ("image", "label"), tuple(samples))


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted.

    Raises:
        DataError: There is none, or one has a name that no class can have.
    """
    try:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        tables = [entry.name for entry in path.glob("*.csv")] if not folders else []
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not folders:
        hint = f"; to read its CSV, name the file: {path / tables[0]}" if tables else ""
        raise DataError(f"{path}: expected one folder per class with its images, found no folders{hint}")
    if invalid := [folder.name for folder in folders if not is_plain(folder.name)]:
        raise DataError(f"{path}: a folder has a name that cannot be a label: {shortened(invalid[0])!r}; rename it")
    return folders


def _images(root: Path, folders: Sequence[Path], split: str) -> list[Sample]:
    """Return the images in folders of classes.

    Raises:
        DataError: A folder contains no images.
    """
    samples = []
    for folder in folders:
        names = sorted(
            entry.name for entry in folder.iterdir() if entry.suffix.lower() in _ENDINGS and is_plain(entry.name)
        )
        names = [name for name in names if not name.startswith(".")]
        if not names:
            raise DataError(f"{folder}: contains no images ({', '.join(_ENDINGS)})")
        for name in names:
            path = (folder / name).relative_to(root).as_posix()
            samples.append(Sample(path, split, path, image=path, label=folder.name))
        if len(samples) > MAX_SAMPLES:
            raise DataError(f"{root}: contains more than {MAX_SAMPLES:,} images")
    return samples
