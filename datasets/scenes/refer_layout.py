"""Writes a world's RefCOCO, RefCOCO+ and RefCOCOg, which share their pictures, in the layout of their releases.

The files are images/train2014/COCO_train2014_<image id>.jpg and, in the folder of each data set, instances.json (COCO's
format) and refs(unc).p or refs(umd).p. For a given seed, the pictures and each data set's expressions are the same
whichever of the three are written; so the layout "refer" is the union of the other three.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.generator import Generator, Mask, Pixels, WrittenSample, encode_image, save
from bench.datasets.scenes.expressions import Manner, expressions
from bench.datasets.scenes.floors import refer_floors

_SPLITS = ("train", "val", "testA", "testB", "test")  # append only: a split's index is part of its seed
_REFS_FILES = {"refcoco": "refs(unc).p", "refcoco+": "refs(unc).p", "refcocog": "refs(umd).p"}
_REFERRED = 2  # objects per picture to which each data set refers
_SENTENCES = 2  # per object, at most


@dataclass(frozen=True)
class World:
    """What a world gives to data sets of referring expressions.

    Attributes:
        scene: Returns a random scene for a split: `items`, back to front, in `width` and `height` pixels. The first
            part of an item's look is its category.
        render: Returns the picture (height, width, 3) of a scene and, for each item, the mask of its visible pixels.
        categories: The name and the supercategory of each category, in the order of their numbers in the annotations.
        manners: The manner of each data set's expressions.
        description: What the annotations say of themselves.
    """

    scene: Callable[[np.random.Generator, str], Any]
    render: Callable[[Any], tuple[Pixels, list[Mask]]]
    categories: Mapping[str, tuple[str, str]]
    manners: Mapping[str, Manner]
    description: str


def split_of(dataset: str, split: str, index: int) -> str:
    """Return the split in which a data set has the picture that RefCOCO has in `split`.

    RefCOCOg has one test split. As in the releases, some of its test pictures are training pictures of the other data
    sets, and the other way round.
    """
    if dataset != "refcocog":
        return split
    if split == "train":
        return "test" if index % 20 == 0 else "train"
    return split if split == "val" else ("train" if index % 6 == 0 else "test")


def _write_picture(
    world: World, datasets: Sequence[str], root: Path, seed: int, split: str, index: int
) -> WrittenSample:
    numbers = [seed, 2, _SPLITS.index(split), index]
    scene = world.scene(np.random.default_rng(numbers), split)
    pixels, masks = world.render(scene)
    image_id = 100_000 * (1 + _SPLITS.index(split)) + index
    image: dict[str, Any] = {
        "id": image_id,
        "file_name": f"COCO_train2014_{image_id:012d}.jpg",
        "height": scene.height,
        "width": scene.width,
    }
    digests: dict[str, str] = {}
    save(root, Path("images/train2014", image["file_name"]), encode_image(pixels, "jpeg"), digests)
    category_ids = [1 + list(world.categories).index(item.look[0]) for item in scene.items]
    annotations = [
        _annotation(image_id, number, category_id, mask)
        for number, (category_id, mask) in enumerate(zip(category_ids, masks, strict=True))
    ]
    refs = {name: _refs(world, name, scene, annotations, split_of(name, split, index), numbers) for name in datasets}
    truth = []
    for ref in (ref for dataset_refs in refs.values() for ref in dataset_refs):
        same_category = sum(annotation["category_id"] == ref["category_id"] for annotation in annotations)
        truth += [(ref["split"], len(annotations), same_category)] * len(ref["sentences"])
    line = json.dumps({"image": image, "annotations": annotations, "refs": refs})
    return WrittenSample(split, line, digests, truth)


def _annotation(image_id: int, number: int, category_id: int, mask: Mask) -> dict[str, Any]:
    """Return COCO's entry for an object: every other one as a polygon if a single outline is enough, or run lengths."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = outline(mask) if number % 2 == 0 else None
    return {
        "id": 10 * image_id + number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [corners] if corners else {"size": list(mask.shape), "counts": run_lengths(mask)},
        "bbox": [float(v) for v in (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)],
        "area": float(mask.sum()),
        "iscrowd": 0,
    }


def run_lengths(mask: Mask) -> list[int]:
    """Return COCO's uncompressed run lengths of a mask: down the columns, alternating False and True."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *changes, mask.size]).tolist()


def outline(mask: Mask) -> list[float] | None:
    """Return the corners x, y, x, y, ... of the polygon along the edges of a mask's pixels.

    COCO's tools decode it to exactly the mask. None if a single polygon is not enough: for holes or several parts.
    """
    pixels = np.pad(mask, 1).astype(int)
    upper_left, lower_right = pixels[:-1, :-1], pixels[1:, 1:]
    covered = upper_left + pixels[:-1, 1:] + pixels[1:, :-1] + lower_right  # of the four pixels around each grid point
    if ((covered == 2) & (upper_left == lower_right)).any():
        return None  # two of the mask's pixels touch at a point only
    points = np.argwhere(covered % 2)  # the corners row by row: pairs of them end the horizontal edges,
    columns = np.lexsort(points.T)  # and column by column the vertical ones
    vertical = np.empty(len(points), dtype=int)
    vertical[columns] = columns[np.arange(len(points)) ^ 1]
    path = [0, 1]
    while (point := int(vertical[path[-1]])) != 0:
        path += [point, point ^ 1]
    if len(path) < len(points):
        return None
    return points[path, ::-1].ravel().astype(float).tolist()


def _refs(
    world: World, dataset: str, scene: Any, annotations: list[dict[str, Any]], split: str, numbers: list[int]
) -> list[dict[str, Any]]:
    """Return a data set's references to some objects of a picture, without the ids that count across all pictures."""
    rng = np.random.default_rng([*numbers, list(world.manners).index(dataset)])
    refs = []
    for number in rng.permutation(len(scene.items))[:_REFERRED].tolist():
        annotation = annotations[number]
        count = 1 + int(rng.random() * _SENTENCES)
        sentences = expressions(rng, scene, scene.items[number], world.manners[dataset], count)
        refs.append(
            {
                "ann_id": annotation["id"],
                "category_id": annotation["category_id"],
                "image_id": annotation["image_id"],
                # Not the file's name: like the releases, it contains the annotation's id.
                "file_name": f"COCO_train2014_{annotation['image_id']:012d}_{annotation['id']}.jpg",
                "split": split,
                "sentences": [
                    {"raw": f"{sent[0].upper()}{sent[1:]}.", "sent": sent, "tokens": sent.split()} for sent in sentences
                ],
            }
        )
    return refs


def _write_annotations(
    world: World, datasets: Sequence[str], root: Path, pictures: list[WrittenSample]
) -> dict[str, str]:
    entries = [json.loads(picture.line) for picture in pictures]
    instances = {
        "info": {"description": world.description},
        "images": [entry["image"] for entry in entries],
        "annotations": [annotation for entry in entries for annotation in entry["annotations"]],
        "categories": [
            {"id": 1 + number, "name": name, "supercategory": parent}
            for number, (name, parent) in enumerate(world.categories.values())
        ],
    }
    objects = json.dumps(instances).encode()
    digests: dict[str, str] = {}
    for dataset in datasets:
        refs = [ref for entry in entries for ref in entry["refs"][dataset]]
        sentences = [sentence for ref in refs for sentence in ref["sentences"]]
        for number, sentence in enumerate(sentences):
            sentence["sent_id"] = number
        for number, ref in enumerate(refs):
            ref["ref_id"] = number
            ref["sent_ids"] = [sentence["sent_id"] for sentence in ref["sentences"]]
        save(root, Path(dataset, "instances.json"), objects, digests)
        save(root, Path(dataset, _REFS_FILES[dataset]), pickle.dumps(refs, protocol=2), digests)
    return digests


def refer_generator(
    world: World, datasets: Sequence[str], counts: Mapping[str, int], version: int, name: str
) -> Generator:
    """Return the generator of a world's data sets of referring expressions, which share their pictures.

    Args:
        world: The world.
        datasets: The data sets, of `world.manners`.
        counts: Number of pictures of each split.
        version: The version of the world's data.
        name: The name of the world.
    """
    write_sample, write_annotations = (
        partial(_write_picture, world, datasets),
        partial(_write_annotations, world, datasets),
    )
    return Generator(counts, write_sample, write_annotations, refer_floors, version, name)
