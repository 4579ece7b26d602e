"""RefCOCO, RefCOCO+ (Yu et al., ECCV 2016) and RefCOCOg (Mao et al., CVPR 2016), as their releases unpack.

<root>/images/train2014 (or images/mscoco/images/train2014) holds COCO's pictures, and <root>/<folder of the data set>
holds instances.json, the objects in COCO's format, and refs(<who split it>).p, the expressions, as pickles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import coco_mask, media
from bench.datasets.layout import note
from bench.datasets.masks import box_elsewhere
from bench.datasets.refer_entries import Expression, read_entries
from bench.errors import DataError, UsageError

PICTURES = ("images/train2014", "images/mscoco/images/train2014")
_MIN_IOU = 0.1  # of a box and the one around its mask, below which they can only be of different objects
_UNC = ("train", "val", "testA", "testB")


@dataclass(frozen=True)
class DataSet:
    """One data set of the family.

    Attributes:
        folder: the folder of its release.
        splits: the splits of each of its split files, by who made them; the first is the default.
    """

    folder: str
    splits: Mapping[str, tuple[str, ...]]


# The google files divide objects, not images: a training image may hold a validation object. That of RefCOCOg has no
# test split: it was never released.
DATASETS = {
    "refcoco": DataSet("refcoco", {"unc": _UNC, "google": ("train", "val", "test")}),
    "refcoco_plus": DataSet("refcoco+", {"unc": _UNC}),
    "refcocog": DataSet("refcocog", {"umd": ("train", "val", "test"), "google": ("train", "val")}),
}


def places(root: Path, dataset: str, split_by: str) -> tuple[Path, Path, Path]:
    """Return where instances.json, the refs and the pictures of a data set lie, or should."""
    folder = root / DATASETS[dataset].folder
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), root / PICTURES[0])
    return folder / "instances.json", folder / f"refs({split_by}).p", pictures


class Release:
    """One split of one data set.

    Args:
        root: the folder that holds the data set's own folder and images.
        dataset: a key of `DATASETS`.
        split: one of the splits that `DATASETS` has for it.
        split_by: who made the split file: "unc", "umd" or "google"; by default the one that most papers use.
        problems: gets what is wrong with refs, which are then left out, and that none is left; None to raise the first.
        boxes: whether boxes are needed: refs to objects without a sound one are then wrong.

    Attributes:
        expressions: the samples of the split, one a sentence, in the order of the file.
        test_images: the ids of the images of the data set's test splits, whatever `split` is.
        instances, refs: the files that it is read from.

    Raises:
        UsageError: there is no such data set, split file or split.
        DataError: a file is missing, or an entry of it is not as it should be.
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
            raise UsageError(f"no data set {dataset!r}: there are {', '.join(DATASETS)}")
        known = DATASETS[dataset]
        split_by = split_by or next(iter(known.splits))
        if split_by not in known.splits:
            raise UsageError(f"{dataset} is not split by {split_by!r}, only by {', '.join(known.splits)}")
        if split not in known.splits[split_by]:
            raise UsageError(
                f"{dataset} split by {split_by} has no split {split!r}: it has {', '.join(known.splits[split_by])}"
            )
        self.instances, self.refs, self.pictures = places(root, dataset, split_by)
        if missing := [path for path in (self.instances, self.refs, self.pictures) if not path.exists()]:
            raise DataError(
                f"missing: {', '.join(map(str, missing))}. Name as --data-root the folder that holds "
                f"{known.folder}/instances.json, {known.folder}/refs({split_by}).p and {' or '.join(PICTURES)}"
            )
        entries = read_entries(dataset, self.instances, self.refs, problems)
        self.expressions = list(entries.expressions.get(split, ()))
        if boxes and entries.wrong_boxes:
            self.expressions = [expression for expression in self.expressions if expression.box]
            for problem in entries.box_problems():
                note(problem, problems)
        if not self.expressions:
            note(DataError(f"{self.refs}: holds no expressions of split {split}"), problems)
        self._segmentations = entries.segmentations
        self.test_images = frozenset(
            expression.image_id
            for name, its in entries.expressions.items()
            if name not in ("train", "val")
            for expression in its
        )

    def files(self) -> Iterator[Path]:
        """Yield the files that the split is read from: both annotation files and the pictures."""
        yield from (self.instances, self.refs)
        yield from dict.fromkeys(map(self.picture_path, self.expressions))

    def picture_path(self, expression: Expression) -> Path:
        """Return the file of `image`."""
        return self.pictures / expression.file_name

    def image(self, expression: Expression) -> NDArray[np.uint8]:
        """Return the picture in RGB, (height, width, 3), as large as it is.

        Raises:
            DataError: the file is missing, broken or too large, or of another size than instances.json says.
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
            DataError: instances.json has none that is one.
        """
        if expression.box is None:
            raise DataError(f"{self.instances}: annotation {expression.ann_id} has no box that is one")
        return expression.box

    def check_together(self, expression: Expression, mask: NDArray[np.bool_]) -> None:
        """Refuse a mask (height, width) that lies elsewhere than the box: they are not of one object.

        Raises:
            DataError: it does.
        """
        if expected := box_elsewhere(self.box(expression), mask, _MIN_IOU):
            raise DataError(
                f"{self.instances}: annotation {expression.ann_id}: bbox {list(self.box(expression))} and segmentation "
                f"do not belong together: the box around its mask is {expected} (x, y, width, height)"
            )

    def mask(self, expression: Expression) -> NDArray[np.bool_]:
        """Return the object's pixels: (height, width), True inside.

        Raises:
            DataError: its segmentation in instances.json cannot be decoded.
        """
        try:
            return coco_mask.decode_json(self._segmentations[expression.ann_id], expression.size)
        except ValueError as error:
            raise DataError(f"{self.instances}: annotation {expression.ann_id}: segmentation has {error}") from error


@dataclass(frozen=True)
class Mixed:
    """Expressions of several data sets, to be used as those of one `Release` are.

    Attributes:
        releases: where each data set's images and masks are, by its name.
        expressions: the samples.
    """

    releases: Mapping[str, Release]
    expressions: Sequence[Expression]

    def files(self) -> Iterator[Path]:
        """As `Release.files`, of all data sets."""
        for release in self.releases.values():
            yield from (release.instances, release.refs)
        pictures = (self.releases[each.dataset].picture_path(each) for each in self.expressions)
        yield from dict.fromkeys(pictures)

    def image(self, expression: Expression) -> NDArray[np.uint8]:
        """As `Release.image`."""
        return self.releases[expression.dataset].image(expression)

    def box(self, expression: Expression) -> tuple[float, float, float, float]:
        """As `Release.box`."""
        return self.releases[expression.dataset].box(expression)

    def check_together(self, expression: Expression, mask: NDArray[np.bool_]) -> None:
        """As `Release.check_together`."""
        self.releases[expression.dataset].check_together(expression, mask)

    def mask(self, expression: Expression) -> NDArray[np.bool_]:
        """As `Release.mask`."""
        return self.releases[expression.dataset].mask(expression)


def mixed(root: Path, datasets: Sequence[str], problems: list[DataError] | None = None, boxes: bool = True) -> Mixed:
    """Return the training expressions of several data sets, less every image that any of them has in a test split.

    The data sets share COCO's images and divide them differently: what one trains on, another may test on.

    Args:
        root: as for `Release`.
        datasets: keys of `DATASETS`; their default split files are read.
        problems: as for `Release`.
        boxes: as for `Release`.

    Raises:
        UsageError: one of them does not exist.
        DataError: as for `Release`, or no image is left.
    """
    releases = {name: Release(root, name, "train", problems=problems, boxes=boxes) for name in datasets}
    held_out = frozenset[int]().union(*(release.test_images for release in releases.values()))
    left = [
        expression
        for release in releases.values()
        for expression in release.expressions
        if expression.image_id not in held_out
    ]
    if not left:
        raise DataError(f"{root}: every training image of {', '.join(releases)} is in a test split of one of them")
    return Mixed(releases, left)
