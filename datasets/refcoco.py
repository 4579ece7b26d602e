"""RefCOCO, RefCOCO+ (Yu et al., ECCV 2016) and RefCOCOg (Mao et al., CVPR 2016), in the layout of their releases.

<root>/images/train2014 (or images/mscoco/images/train2014) contains COCO's pictures. <root>/<folder of the data set>
contains instances.json, the objects in COCO's format, and refs(<author of the split>).p, the expressions, as pickles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import coco_mask, media
from bench.datasets.layout import ROOT, note
from bench.datasets.masks import box_elsewhere
from bench.datasets.refer_entries import Expression, read_entries
from bench.errors import DataError, UsageError

PICTURES = ("images/train2014", "images/mscoco/images/train2014")
_MIN_IOU = 0.1  # of a box and its mask's bounding box; below it, they must belong to different objects
_UNC = ("train", "val", "testA", "testB")


@dataclass(frozen=True)
class DataSet:
    """One data set of the family.

    Attributes:
        folder: The folder of its release.
        splits: The splits of each split file, by the file's author; the first one is the default.
    """

    folder: str
    splits: Mapping[str, tuple[str, ...]]


# The google files split objects, not images: a training image may contain a validation object. RefCOCOg's google file
# has no test split, which was never released.
DATASETS = {
    "refcoco": DataSet("refcoco", {"unc": _UNC, "google": ("train", "val", "test")}),
    "refcoco_plus": DataSet("refcoco+", {"unc": _UNC}),
    "refcocog": DataSet("refcocog", {"umd": ("train", "val", "test"), "google": ("train", "val")}),
    "refcocog_google": DataSet("refcocog", {"google": ("train", "val")}),
}


def places(root: Path, dataset: str, split_by: str) -> tuple[Path, Path, Path]:
    """Return the paths of a data set's instances.json, refs and pictures, whether or not they exist."""
    folder = root / DATASETS[dataset].folder
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), root / PICTURES[0])
    return folder / "instances.json", folder / f"refs({split_by}).p", pictures


class Release:
    """One split of one data set.

    Args:
        root: The folder that contains the data set's folder and the images.
        dataset: A key of `DATASETS`.
        split: One of the data set's splits in `DATASETS`.
        split_by: The author of the split file: "unc", "umd" or "google"; by default the one that most papers use.
        problems: A list that collects the errors of invalid refs, which are then skipped; None to raise the first.
        boxes: Whether boxes are needed; refs to objects without a valid box are then invalid.

    Attributes:
        expressions: The samples of the split, one per sentence, in the order of the file.
        test_images: The ids of all images of the data set's test splits, whatever `split` is.
        instances, refs: The annotation files.

    Raises:
        UsageError: There is no such data set, split file or split.
        DataError: A file is missing, or an entry of it is invalid.
    """

    def __init__(
        self,
        root: Path,
        dataset: str,
        split: str,
        split_by: str | None = None,
        problems: list[DataError] | None = None,
        boxes: bool = True,
    ) -> None:
        if dataset not in DATASETS:
            raise UsageError(f"unknown data set {dataset!r}: choose one of {', '.join(DATASETS)}")
        known = DATASETS[dataset]
        split_by = split_by or next(iter(known.splits))
        if split_by not in known.splits:
            raise UsageError(f"{dataset} has no split file by {split_by!r}: choose one of {', '.join(known.splits)}")
        if split not in known.splits[split_by]:
            splits = ", ".join(known.splits[split_by])
            raise UsageError(f"{dataset} split by {split_by} has no split {split!r}: choose one of {splits}")
        self.instances, self.refs, self.pictures = places(root, dataset, split_by)
        if missing := [path for path in (self.instances, self.refs, self.pictures) if not path.exists()]:
            raise DataError(
                f"missing: {', '.join(map(str, missing))}. Pass as {ROOT} the folder that contains "
                f"{known.folder}/instances.json, {known.folder}/refs({split_by}).p and {' or '.join(PICTURES)}"
            )
        entries = read_entries(dataset, self.instances, self.refs, problems)
        self.expressions = list(entries.expressions.get(split, ()))
        if boxes and entries.wrong_boxes:
            self.expressions = [expression for expression in self.expressions if expression.box]
            for problem in entries.box_problems():
                note(problem, problems)
        if not self.expressions:
            note(DataError(f"{self.refs}: contains no expressions of split {split}"), problems)
        self._segmentations = entries.segmentations
        self.test_images = frozenset(
            expression.image_id
            for name, expressions in entries.expressions.items()
            if name not in ("train", "val")
            for expression in expressions
        )

    def files(self) -> Iterator[Path]:
        """Yield the files of the split: both annotation files and the pictures."""
        yield from (self.instances, self.refs)
        yield from dict.fromkeys(map(self.picture_path, self.expressions))

    def picture_path(self, expression: Expression) -> Path:
        """Return the file of `image`."""
        return self.pictures / expression.file_name

    def image(self, expression: Expression) -> NDArray[np.uint8]:
        """Return the picture in RGB and full size, (height, width, 3).

        Raises:
            DataError: The file is missing, broken or too large, or its size differs from that in instances.json.
        """
        path = self.picture_path(expression)
        sample = f"{expression.sent_id} of {expression.dataset}"
        with media.opened_image(path, sample) as image:
            picture = media.decoded(image, expression.size)
        if (picture.height, picture.width) != expression.size:
            raise DataError(
                f"sample {sample}: image {path} has {picture.height} x {picture.width} pixels (height x width), "
                f"but {self.instances} says {expression.size[0]} x {expression.size[1]}"
            )
        return np.array(picture)

    def box(self, expression: Expression) -> tuple[float, float, float, float]:
        """Return the object's box: x, y, width and height, in pixels.

        Raises:
            DataError: instances.json has no valid box for it.
        """
        if expression.box is None:
            raise DataError(f"{self.instances}: annotation {expression.ann_id} has no valid box")
        return expression.box

    def check_together(self, expression: Expression, mask: NDArray[np.bool_]) -> None:
        """Check that the object's box agrees with its mask (height, width): otherwise they are of different objects.

        Raises:
            DataError: They disagree.
        """
        if expected := box_elsewhere(self.box(expression), mask, _MIN_IOU):
            raise DataError(
                f"{self.instances}: annotation {expression.ann_id}: bbox {list(self.box(expression))} and segmentation "
                f"do not match: the mask's bounding box is {expected} (x, y, width, height)"
            )

    def mask(self, expression: Expression) -> NDArray[np.bool_]:
        """Return the object's mask: (height, width), True inside.

        Raises:
            DataError: Its segmentation in instances.json cannot be decoded.
        """
        try:
            return coco_mask.decode_json(self._segmentations[expression.ann_id], expression.size)
        except ValueError as error:
            raise DataError(f"{self.instances}: annotation {expression.ann_id}: segmentation has {error}") from error


@dataclass(frozen=True)
class Mixed:
    """Expressions of several data sets, with the interface of a single `Release`.

    Attributes:
        releases: The release of each data set, by its name.
        expressions: The samples.
    """

    releases: Mapping[str, Release]
    expressions: Sequence[Expression]

    def files(self) -> Iterator[Path]:
        """Yield the files of all data sets, as `Release.files` does."""
        for release in self.releases.values():
            yield from (release.instances, release.refs)
        pictures = (self.releases[expression.dataset].picture_path(expression) for expression in self.expressions)
        yield from dict.fromkeys(pictures)

    def image(self, expression: Expression) -> NDArray[np.uint8]:
        """Return the picture, as `Release.image` does."""
        return self.releases[expression.dataset].image(expression)

    def box(self, expression: Expression) -> tuple[float, float, float, float]:
        """Return the object's box, as `Release.box` does."""
        return self.releases[expression.dataset].box(expression)

    def check_together(self, expression: Expression, mask: NDArray[np.bool_]) -> None:
        """Check that the object's box agrees with its mask, as `Release.check_together` does."""
        self.releases[expression.dataset].check_together(expression, mask)

    def mask(self, expression: Expression) -> NDArray[np.bool_]:
        """Return the object's mask, as `Release.mask` does."""
        return self.releases[expression.dataset].mask(expression)


def mixed(root: Path, datasets: Sequence[str], problems: list[DataError] | None = None, boxes: bool = True) -> Mixed:
    """Return the training expressions of several data sets, without the images of any of their test splits.

    The data sets share COCO's images and split them differently: one may train on images that another tests on.

    Args:
        root: As for `Release`.
        datasets: Keys of `DATASETS`; their default split files are read.
        problems: As for `Release`.
        boxes: As for `Release`.

    Raises:
        UsageError: One of the data sets does not exist.
        DataError: As for `Release`, or no image remains.
    """
    releases = {name: Release(root, name, "train", problems=problems, boxes=boxes) for name in datasets}
    held_out = frozenset[int]().union(*(release.test_images for release in releases.values()))
    expressions = [
        expression
        for release in releases.values()
        for expression in release.expressions
        if expression.image_id not in held_out
    ]
    if not expressions:
        raise DataError(f"{root}: every training image of {', '.join(releases)} is in a test split of one of them")
    return Mixed(releases, expressions)
