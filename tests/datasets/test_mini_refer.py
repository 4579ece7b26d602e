"""The embedded grounding data in the layout of RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco
from written import gives_fingerprint

from bench.datasets.build import build, generator_of
from bench.datasets.generator import WrittenSample
from bench.datasets.mini.scene import random_scene, render
from bench.datasets.mini.world import CATEGORIES
from bench.datasets.mini.write_refer import CORNERED, CURVED
from bench.datasets.refcoco import Release, mixed
from bench.datasets.refer_pickle import load
from bench.datasets.scenes.floors import refer_floors
from bench.datasets.scenes.refer_layout import outline, run_lengths

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # in pycocotools, of NumPy 2

COUNTS = {"train": 21, "val": 2, "testA": 7, "testB": 7}
FILES = {"refcoco": "refs(unc).p", "refcoco+": "refs(unc).p", "refcocog": "refs(umd).p"}


def write(root: Path, key: str, seed: int = 0) -> dict[str, str]:
    generator = generator_of(key)
    written = [generator.write_sample(root, seed, split, i) for split, count in COUNTS.items() for i in range(count)]
    digests = generator.write_annotations(root, written)
    return digests | {path: digest for one in written for path, digest in one.digests.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("refer")
    write(folder, "refer")
    return folder


def decoded(segmentation, height: int, width: int) -> np.ndarray:
    return coco.decode(coco.merge(coco.frPyObjects(segmentation, height, width))).astype(bool)


def test_masks_are_the_visible_pixels_of_the_objects(root):
    instances = json.loads((root / "refcoco/instances.json").read_text())
    kinds = Counter()
    for index, image in enumerate(instances["images"][: COUNTS["train"]]):
        scene = random_scene(np.random.default_rng([0, 2, 0, index]))
        pixels, masks = render(scene)
        with Image.open(root / "images/train2014" / image["file_name"]) as file:
            assert file.size == (image["width"], image["height"]) == (scene.width, scene.height)
            assert np.abs(np.asarray(file, dtype=float) - pixels).mean() < 10
        in_image = [annotation for annotation in instances["annotations"] if annotation["image_id"] == image["id"]]
        for annotation, item, mask in zip(in_image, scene.items, masks, strict=True):
            polygons = isinstance(annotation["segmentation"], list)
            kinds[polygons] += 1
            segmentation = annotation["segmentation"] if polygons else [annotation["segmentation"]]
            np.testing.assert_array_equal(decoded(segmentation, *mask.shape), mask)
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == (
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            )
            assert annotation["area"] == mask.sum()
            assert annotation["category_id"] == 1 + CATEGORIES.index(item.look[0])
    assert min(kinds[True], kinds[False]) > 10


@pytest.mark.parametrize("dataset", FILES)
def test_refs_are_those_of_the_releases(root, dataset):
    instances = json.loads((root / dataset / "instances.json").read_text())
    refs = load(root / dataset / FILES[dataset])
    annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
    images = {image["id"]: image for image in instances["images"]}
    assert len(annotations) == len(instances["annotations"]) and len(images) == len(instances["images"])
    assert sorted(ref["ref_id"] for ref in refs) == list(range(len(refs)))
    for ref in refs:
        annotation = annotations[ref["ann_id"]]
        assert annotation["image_id"] == ref["image_id"] and annotation["category_id"] == ref["category_id"]
        stem = images[ref["image_id"]]["file_name"].removesuffix(".jpg")
        assert ref["file_name"] == f"{stem}_{ref['ann_id']}.jpg"
        assert (root / "images/train2014" / f"{stem}.jpg").is_file()
        assert 1 <= len(ref["sentences"]) <= 3
        assert [sentence["sent_id"] for sentence in ref["sentences"]] == ref["sent_ids"]
        for sentence in ref["sentences"]:
            assert sentence["sent"] == sentence["raw"].lower().rstrip(".")
            assert sentence["tokens"] == sentence["sent"].split()
        # Others of the category are in the picture: it alone never decides.
        alike = [a for a in annotations.values() if a["image_id"] == ref["image_id"]]
        assert sum(a["category_id"] == ref["category_id"] for a in alike) >= 2
    sent_ids = [number for ref in refs for number in ref["sent_ids"]]
    assert len(set(sent_ids)) == len(sent_ids)
    assert len({ref["ann_id"] for ref in refs}) == len(refs)


def by_split(root: Path, dataset: str, value: str) -> dict[str, set[int]]:
    counts: dict[str, set[int]] = {}
    for ref in load(root / dataset / FILES[dataset]):
        counts.setdefault(ref["split"], set()).add(ref[value])
    return counts


def test_splits_follow_the_official_definitions(root):
    for dataset in ("refcoco", "refcoco+"):
        categories = by_split(root, dataset, "category_id")
        assert set(categories) == {"train", "val", "testA", "testB"}
        assert {CATEGORIES[number - 1] for number in categories["testA"]} <= set(CURVED)
        assert {CATEGORIES[number - 1] for number in categories["testB"]} <= set(CORNERED)
    assert sorted(CURVED + CORNERED) == sorted(CATEGORIES)
    assert set(by_split(root, "refcocog", "category_id")) == {"train", "val", "test"}


def test_no_picture_is_in_two_splits_of_a_data_set_but_some_are_across_data_sets(root):
    pictures = {dataset: by_split(root, dataset, "image_id") for dataset in FILES}
    for splits in pictures.values():
        assert sum(map(len, splits.values())) == len(set().union(*splits.values()))
    assert pictures["refcocog"]["test"] & pictures["refcoco"]["train"]
    assert pictures["refcoco"]["testA"] & pictures["refcocog"]["train"]


@pytest.mark.parametrize(("key", "dataset"), [("refcoco", "refcoco"), ("refcoco_plus", "refcoco+")])
def test_one_data_set_alone_is_a_part_of_all_three(root, tmp_path, key, dataset):
    paths = write(tmp_path, key)
    assert {path.name for path in tmp_path.iterdir()} == {"images", dataset}
    assert all((tmp_path / path).read_bytes() == (root / path).read_bytes() for path in paths)


def test_it_is_built_like_other_layouts(tmp_path):
    few = {"train": 2, "val": 1, "testA": 1, "testB": 1}
    manifest = build(tmp_path, "refcocog", 0, counts=few, workers=1)
    assert gives_fingerprint(tmp_path, manifest)
    assert manifest.counts == few and 20 <= manifest.floors["guesses an object"] <= 34
    assert len(list((tmp_path / "images/train2014").iterdir())) == 5


def test_another_seed_gives_other_pictures(tmp_path):
    assert len({generator_of("refcoco").write_sample(tmp_path, s, "train", 0).line for s in range(3)}) == 3


def test_floors_are_those_of_the_truth():
    pictures = [
        WrittenSample("train", "", {}, [("train", 3, 3)] * 5),
        WrittenSample("testA", "", {}, [("testA", 4, 2), ("testA", 4, 4)]),
        WrittenSample("testB", "", {}, [("testB", 5, 2), ("train", 3, 3)]),
    ]
    floors = refer_floors(pictures)
    assert floors["guesses an object"] == pytest.approx(100 * (1 / 4 + 1 / 4 + 1 / 5) / 3)
    assert floors["guesses an object of the right category"] == pytest.approx(100 * (1 / 2 + 1 / 4 + 1 / 2) / 3)


def test_boxes_of_two_objects_never_have_half_in_common():
    """The floors take the box of another object to be wrong."""
    for index in range(60):
        _, masks = render(random_scene(np.random.default_rng([1, index])))
        boxes = [coco.toBbox(coco.encode(np.asfortranarray(mask.astype(np.uint8)))) for mask in masks]
        overlaps = coco.iou(np.array(boxes), np.array(boxes), [0] * len(boxes))
        assert (overlaps[~np.eye(len(boxes), dtype=bool)] < 0.4).all()


def test_every_test_split_has_several_hundred_expressions():
    for key in ("refcoco", "refcoco_plus", "refcocog", "refer"):
        counts = generator_of(key).counts
        assert min(counts["testA"], counts["testB"]) * 2 * 2 >= 700


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_run_lengths_and_outlines_decode_to_the_mask(mask):
    np.testing.assert_array_equal(decoded([{"size": list(mask.shape), "counts": run_lengths(mask)}], *mask.shape), mask)
    corners = outline(mask) if mask.any() else None
    if corners:
        np.testing.assert_array_equal(decoded([corners], *mask.shape), mask)


def test_a_ring_has_no_single_outline():
    ring = np.ones((5, 5), dtype=bool)
    assert outline(ring) == [0.0, 0.0, 5.0, 0.0, 5.0, 5.0, 0.0, 5.0]
    ring[2, 2] = False
    assert outline(ring) is None


def test_the_reader_of_the_releases_reads_it(root):
    for key, splits in {"refcoco": COUNTS, "refcoco_plus": COUNTS, "refcocog": ("train", "val", "test")}.items():
        for split in splits:
            release = Release(root, key, split)
            expression = release.expressions[0]
            mask = release.mask(expression)
            assert release.image(expression).shape == (*mask.shape, 3)
            x, y, width, height = expression.box
            assert mask[int(y) : int(y + height), int(x) : int(x + width)].sum() == mask.sum() > 0
    trained = {expression.image_id for expression in mixed(root, ["refcoco", "refcoco_plus", "refcocog"]).expressions}
    assert trained == by_split(root, "refcoco", "image_id")["train"] - by_split(root, "refcocog", "image_id")["test"]


def test_expressions_and_masks_are_those_of_the_version_that_the_suite_names(tmp_path):
    """Pictures are compressed by a library; annotations are this project's alone."""
    write_sample = generator_of("refer").write_sample
    lines = [write_sample(tmp_path, 0, split, index).line for split in COUNTS for index in range(4)]
    assert (
        sha256("\n".join(lines).encode()).hexdigest()
        == "cba6eb173fd6197df87d6bfe584532df9b4fef2841e409a2610bc7e902e9f13f"
    )
