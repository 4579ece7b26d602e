"""Reads a user's own data: a CSV file with one sample per row, or folders of images with one folder per class.

CSV: the columns image, audio and text are the inputs of a sample, and paths are relative to the CSV's folder; label is
its class, split is train, val or test, and samples of one group stay in one split. Each is optional.

Image folders: <class>/*.jpg, or train/<class>/*.jpg with val and test beside train.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from bench.datasets.layout import MAX_PROBLEMS, is_plain, unreadable
from bench.datasets.user_samples import MEDIA, SPLITS, Sample, UserData, with_splits
from bench.errors import DataError, Mistakes, did_you_mean, shortened
from bench.files import MEBIBYTE, read_text

COLUMNS = ("image", "audio", "text", "label", "split", "group")
MAX_TABLE_BYTES = 64 * MEBIBYTE
MAX_SAMPLES = 1_000_000
_ENDINGS = (".jpg", ".jpeg", ".png")
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
_MAX_LABEL = 200  # characters
_QUOTES = 'each double quote must be closed, be followed by a comma, and be written twice inside a text: "a ""b"" c"'


def read_user_data(path: Path, required: Sequence[str]) -> UserData:
    """Read a CSV or an image folder. No media is opened.

    Args:
        path: A file that ends in .csv, or a folder.
        required: Columns that every sample must have, among image, audio, text and label.

    Raises:
        DataError: As for `examine_user_data`, or a split is empty, splits overlap, or labels cannot be learned; it
            lists all mistakes. Invalid rows alone are `UserData.problems`.
    """
    data = examine_user_data(path, required)
    if data.faults:
        raise _all_of(data.problems, data.faults)
    return data


def examine_user_data(path: Path, required: Sequence[str]) -> UserData:
    """Return the same as `read_user_data`, but with mistakes in splits and labels as `UserData.faults`.

    Raises:
        DataError: It cannot be read, has no valid samples, or lacks a column; it lists all mistakes.
    """
    if path.is_dir():
        data = _read_folder(path)
        if lacking := _lacking(data.columns, required):
            raise DataError(f"{path}: {lacking}")
        return with_splits(data, "label" in required)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() != ".csv":
        raise DataError(f"{path} is neither a CSV file (.csv) nor a folder of images: name one of them")
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return _read_csv(path, tuple(required), (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns))


def _all_of(*errors: Iterable[DataError]) -> DataError:
    """Return one error with the messages of all; of very many, with those of the first ones."""
    mistakes = Mistakes()
    for error in itertools.chain(*errors):
        mistakes.add(str(error))
    return DataError(mistakes.problems)


@lru_cache(maxsize=2)
def _read_csv(path: Path, required: tuple[str, ...], stamp: tuple[int, ...]) -> UserData:
    try:
        text = read_text(path, MAX_TABLE_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable(path, "CSV in UTF-8", error) from error
    rows = _rows(text)
    number, first = next(rows, (1, []))
    if isinstance(first, str):
        raise DataError(f"{path}, line {number}: {first}")
    header = [name.strip().lower() for name in first]
    columns, ignored, wrong = _columns(header, required)
    wrong_header = [DataError(f"{path}, line {number}: {problem}") for problem in wrong]
    samples: list[Sample] = []
    problems: list[DataError] = []
    for line, row in rows:
        try:
            if isinstance(row, str):
                raise ValueError(row)
            samples.append(_sample(row, header, [name for name in required if name in columns], f"line {line}"))
        except ValueError as error:
            problems.append(DataError(f"{path}, line {line}: {error}"))
        if len(problems) > MAX_PROBLEMS:
            raise _all_of(wrong_header, problems)
        if len(samples) > MAX_SAMPLES:
            raise DataError(f"{path}: has more than {MAX_SAMPLES:,} rows")
    if not (samples or problems or wrong):
        problems.append(DataError(f"{path}: has no rows below its header"))
    if wrong_header or not samples:
        raise _all_of(wrong_header, problems)
    data = UserData(path, columns, tuple(samples), tuple(problems), ignored)
    return with_splits(data, "label" in required)


def _rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the first line and the values of each row that is not blank; instead of values, what is wrong with it."""
    # Strict, since a quote that is not closed would otherwise join rows into one without a word.
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = f" in line {reader.line_num}" if reader.line_num > line else ""
            yield line, f"cannot be read as CSV: {error}{end}; {_QUOTES}"
        else:
            if any(map(str.strip, row)):
                yield line, row


def _columns(header: Sequence[str], required: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Return the known columns of a header, the names of others, and what is wrong with it.

    A column may occur twice, look like a misspelled one, or be missing, and there may be none that is known.
    """
    known = tuple(name for name in COLUMNS if name in header)
    wrong = [
        f"column {name} occurs {header.count(name)} times: rename the others"
        for name in known
        if header.count(name) > 1
    ]
    ignored = tuple(dict.fromkeys(name for name in header if name and name not in COLUMNS))  # "" is pandas' index
    for name in ignored:
        suggestion = did_you_mean(name, (column for column in COLUMNS if column not in known))
        if suggestion.startswith("did you mean"):
            wrong.append(f"unknown column {shortened(name)!r}: {suggestion}; rename or remove it")
    if not known and not wrong:
        separator = "; columns must be separated by commas" if len(header) == 1 and {*";\t"} & {*header[0]} else ""
        actual = repr(shortened(", ".join(header))) if header else "nothing"
        wrong.append(f"expected column names among {', '.join(COLUMNS)}, found {actual}{separator}")
    if not wrong and (lacking := _lacking(known, required)):
        wrong.append(lacking)
    return known, ignored, wrong


def _lacking(columns: Sequence[str], required: Sequence[str]) -> str:
    """Return which required columns there are not; "" if there are all."""
    missing = [name for name in required if name not in columns]
    needed = f"there is no column {' and no column '.join(missing)}, which the task needs; "
    return f"{needed}there are {', '.join(columns)}" if missing else ""


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
    """Return the images of a folder.

    Raises:
        DataError: It does not contain folders of classes with images, or splits with these; it lists all mistakes.
    """
    folders = _folders(path)
    splits = {_split_name(folder.name): folder for folder in folders}
    if set(splits) == {None}:
        parents = {"": path}
    elif None in splits:
        split = next(folder for name, folder in splits.items() if name)
        raise DataError(
            f"{path} contains {split.name}, which is a split, beside {splits[None].name}, which is not: expected "
            "either train, val and test, or one folder per class"
        )
    elif len(splits) < len(folders):
        raise DataError(f"{path} contains several folders for one split: {', '.join(f.name for f in folders)}")
    else:
        parents = {split: folder for split, folder in splits.items() if split}
    mistakes = Mistakes()
    samples: list[Sample] = []
    for split_name, parent in parents.items():
        with mistakes.gathered():
            for folder in _folders(parent):
                with mistakes.gathered():
                    samples += _images(path, folder, split_name)
                if len(samples) > MAX_SAMPLES:
                    raise DataError(f"{path}: contains more than {MAX_SAMPLES:,} images")
    if mistakes.problems:
        raise DataError(mistakes.problems)
    return UserData(path, ("image", "label"), tuple(samples))


def _entries(path: Path) -> list[Path]:
    """Return what is in a folder, sorted, without hidden files.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted.

    Raises:
        DataError: There is none, or some have a name that no class can have.
    """
    entries = _entries(path)
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        tables = [entry for entry in entries if entry.suffix.lower() == ".csv"]
        hint = f"; to read its CSV, name the file: {tables[0]}" if tables else ""
        raise DataError(f"{path}: expected one folder per class with its images, found no folders{hint}")
    if invalid := [folder.name for folder in folders if not is_plain(folder.name)]:
        raise DataError(
            [f"{path}: a folder has a name that cannot be a label: {shortened(name)!r}; rename it" for name in invalid]
        )
    return folders


def _images(root: Path, folder: Path, split: str) -> list[Sample]:
    """Return the images in the folder of a class.

    Raises:
        DataError: It contains none, or cannot be read.
    """
    samples = []
    for entry in _entries(folder):
        if entry.suffix.lower() in _ENDINGS and is_plain(entry.name):
            path = entry.relative_to(root).as_posix()
            samples.append(Sample(path, split, path, image=path, label=folder.name))
    if not samples:
        raise DataError(f"{folder}: contains no images ({', '.join(_ENDINGS)})")
    return samples
