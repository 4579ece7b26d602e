"""Unreadable files and annotations stop a run or, with `skip_unreadable`, are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from official import write_official
from PIL import Image
from refer_files import python2_pickle

from bench.data.splits import open_samples, open_splits
from bench.datasets.refer_pickle import load
from bench.errors import DataError
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import outline_stream
from bench.tasks.ave import AVE
from bench.tasks.avs import AVS, AVSMulti
from bench.tasks.refcoco import RefCOCO, task_class

Joined = task_class("refcoco+refcoco_plus+refcocog")
RefCOCOBox = task_class("refcoco:box")
RefCOCOMask = task_class("refcoco:mask")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # in pycocotools, of NumPy 2

IMAGE = ImageInput(28, (0.5,) * 3, (0.5,) * 3)
AUDIO = AudioInput(16_000, 128, 98, 0.0, 1.0)
TASKS = {
    **{"ave": AVE(), "avs": AVS(), "avs_ms3": AVSMulti(), "refcoco": RefCOCO()},
    **{"refcoco:box": RefCOCOBox(), "refcoco:mask": RefCOCOMask()},
}


@pytest.fixture
def release(tmp_path, monkeypatch) -> Callable[[str], Path]:
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    return lambda name: write_official(tmp_path / "release", name.partition(":")[0])


def opened(name: str, root: Path, skip: bool = True):
    inputs = {"vision": IMAGE, "audio": AUDIO}
    if name.startswith("refcoco"):
        inputs = {"vision": IMAGE, "text": outline_stream("embedded:text-v2").input}
    return open_splits(TASKS[name], {"source": "official", "skip_unreadable": skip}, root, inputs)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def broken_line(root: Path) -> None:
    for file in ("Annotations.txt", "trainSet.txt"):
        path = first(root, file)
        path.write_bytes(path.read_bytes().replace(b"&good&", b"&good", 1))


def unknown_category(root: Path) -> None:
    path = first(root, "trainSet.txt")
    path.write_bytes(b"Whale song&x&good&0&10\r\n" + path.read_bytes())


def no_sound(root: Path) -> None:
    soundfile.write(first(root, "train*.wav"), np.zeros(0), 16_000)


def broken_row_of_s4(root: Path) -> None:
    path = first(root, "*_meta_data.csv")
    path.write_bytes(path.read_bytes() + b"x,0,dog,nowhere\r\n")


def broken_mask_file(root: Path) -> None:
    first(root, "gt_masks/train/**/*_1.png").write_bytes(b"no mask")


def annotated(**changes: object) -> Callable[[Path], None]:
    """Change the annotation of the first ref, which is of the training split."""

    def plant(root: Path) -> None:
        path = first(root, "instances.json")
        document = json.loads(path.read_text())
        ann_id = load(first(root, "refs(*).p"))[0]["ann_id"]
        annotation = next(entry for entry in document["annotations"] if entry["id"] == ann_id)
        for key, value in changes.items():
            annotation[key] = value
        path.write_text(json.dumps(document))

    return plant


def repeated_annotation(root: Path) -> None:
    path = first(root, "instances.json")
    document = json.loads(path.read_text())
    ann_id = load(first(root, "refs(*).p"))[0]["ann_id"]
    again = next(entry for entry in document["annotations"] if entry["id"] == ann_id)
    document["annotations"].append({**again, "bbox": [0.0, 0.0, 5.0, 5.0]})
    path.write_text(json.dumps(document))


def broken_ref(root: Path) -> None:
    path = first(root, "refs(*).p")
    refs = load(path)
    refs[0]["image_id"] = 999
    path.write_bytes(python2_pickle(refs, 2))


BROKEN = [
    ("ave", broken_line, "trainSet.txt, line 1: expected category&video id"),
    ("ave", unknown_category, "category 'Whale song' does not occur in Annotations.txt"),
    ("ave", no_sound, "it has no samples"),
    ("avs", broken_row_of_s4, "split 'nowhere'"),
    ("avs", broken_mask_file, "mask .*cannot be read"),
    ("avs_ms3", broken_mask_file, "mask .*cannot be read"),
    ("refcoco", annotated(bbox=[0, 0, 900, 9]), "be inside the picture"),
    ("refcoco:box", annotated(bbox=None), "bbox should be x, y, width and height"),
    ("refcoco", annotated(segmentation=[[1, "a"] * 4]), "segmentation has a polygon"),
    ("refcoco:mask", annotated(segmentation="none"), "segmentation has neither a polygon"),
    (
        "refcoco",
        annotated(bbox=[0.0, 0.0, 5.0, 5.0], segmentation=[[80, 80, 99, 80, 99, 99]]),
        "do not match",
    ),
    ("refcoco", repeated_annotation, "occurs twice in .*instances.json with different contents"),
    ("refcoco", broken_ref, "image_id 999 is not in"),
]


@pytest.mark.parametrize(("name", "plant", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_unreadable_samples_stop_a_run_or_are_skipped_and_counted(release, name, plant, message, caplog):
    root = release(name)
    whole = opened(name, root).counts
    plant(root)
    with pytest.raises(DataError, match=message):
        opened(name, root, skip=False)
    splits = opened(name, root)
    lost = sum(whole.values()) - sum(splits.counts.values())
    assert splits.skipped >= 1
    if plant not in (unknown_category, broken_row_of_s4):  # these are lines more
        assert lost >= 1 and splits.counts["train"] < whole["train"]
    assert "left out: " in caplog.text


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("refcoco:box", {"segmentation": "none", "category_id": "x"}),
        ("refcoco:mask", {"bbox": [0, 0, 900, 9], "category_id": None}),
    ],
)
def test_a_task_only_needs_the_files_that_it_scores(release, name, changes):
    root = release(name)
    annotated(**changes)(root)
    splits = opened(name, root, skip=False)
    sample = splits.datasets["testA"][0]
    assert ("truth" in sample, "box" in sample) == (name == "refcoco:mask", name == "refcoco:box")
    assert splits.skipped == 0


@pytest.mark.parametrize("key", ["segmentation", "bbox", "category_id"])
def test_a_missing_box_or_mask_only_matters_to_tasks_that_score_it(release, key):
    root = release("refcoco")
    path = first(root, "instances.json")
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        del annotation[key]
    del document["categories"]
    path.write_text(json.dumps(document))
    for name, needed in (("refcoco:box", "bbox"), ("refcoco:mask", "segmentation")):
        if needed == key:
            with pytest.raises(DataError, match=key):
                opened(name, root, skip=False)
        else:
            assert opened(name, root, skip=False).counts["train"] > 0


def test_a_broken_line_of_all_annotations_does_not_matter_to_a_split_that_has_it_whole(release):
    root = release("ave")
    path = first(root, "Annotations.txt")
    path.write_bytes(path.read_bytes() + b"no line at all\r\n")
    assert opened("ave", root, skip=False).skipped == 0


def test_of_many_broken_entries_the_first_is_named_and_all_are_counted(release):
    root = release("avs_ms3")
    path = first(root, "ms3_meta_data.csv")
    path.write_bytes(path.read_bytes() + b"a,nowhere\r\n" * 2 + b"b,nowhere\r\n")
    with pytest.raises(DataError, match=r"line 8: .*; 2 more: `bench data verify` lists them all"):
        opened("avs_ms3", root, skip=False)
    assert opened("avs_ms3", root).skipped == 3


def test_joined_data_sets_skip_too(tmp_path):
    root = tmp_path / "release"
    for name in ("refcoco", "refcoco_plus", "refcocog"):
        write_official(root, name)
    broken_ref(root / "refcoco+")
    inputs = {"vision": IMAGE, "text": outline_stream("embedded:text-v2").input}
    with pytest.raises(DataError, match="image_id 999"):
        open_samples(Joined(), {"source": "official"}, root, inputs, "train")
    skipping = {"source": "official", "skip_unreadable": True}
    samples = open_samples(Joined(), skipping, root, inputs, "train")
    assert len(samples.left_out) == 1 and len(samples) > 0
    assert len(open_samples(Joined(), skipping, root, inputs, "val")) > 0


def test_pictures_that_are_gone_are_skipped(release):
    root = release("refcoco")
    paths = sorted((root / "images/train2014").glob("*.jpg"))
    paths[0].unlink()
    Image.new("RGB", (9, 9)).save(paths[1])
    splits = opened("refcoco", root)
    assert splits.skipped >= 2
