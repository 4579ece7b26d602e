"""Before training, a run refuses a split of a release from which nothing can be learned or measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from official import write_official
from PIL import Image
from refer_files import python2_pickle

from bench.data.splits import open_splits
from bench.datasets.masks import all_alike
from bench.datasets.refer_pickle import load
from bench.datasets.verify import verify
from bench.errors import DataError
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import outline_stream
from bench.tasks.ave import AVE
from bench.tasks.avs import AVS, AVSMulti
from bench.tasks.refavs import RefAVS
from bench.tasks.refcoco import RefCOCO, task_class

RefCOCOBox = task_class("refcoco:box")
RefCOCOMask = task_class("refcoco:mask")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # in pycocotools, of NumPy 2

IMAGE = ImageInput(28, (0.5,) * 3, (0.5,) * 3)
AUDIO = AudioInput(16_000, 128, 98, 0.0, 1.0)
TASKS = {
    **{"ave": AVE(), "avs": AVS(), "avs_ms3": AVSMulti(), "refavs": RefAVS()},
    **{"refcoco": RefCOCO(), "refcoco:box": RefCOCOBox(), "refcoco:mask": RefCOCOMask()},
}


def opened(name: str, root: Path):
    inputs = {"vision": IMAGE, "audio": AUDIO}
    if name.startswith("ref"):
        inputs["text"] = outline_stream("embedded:text-v2").input
    if name.startswith("refcoco"):
        del inputs["audio"]
    return open_splits(TASKS[name], {"source": "official"}, root, inputs)


@pytest.fixture
def release(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    return lambda name: write_official(tmp_path / "release", name.partition(":")[0])


@pytest.mark.parametrize("name", TASKS)
def test_sound_releases_are_opened(release, name):
    assert opened(name, release(name)).counts["train"] > 0


def without_split(root: Path, name: str) -> None:
    """Leave out what has the split val."""
    if name == "refcoco":
        path = next(root.rglob("refs(*).p"))
        path.write_bytes(python2_pickle([ref for ref in load(path) if ref["split"] != "val"], 2))
        return
    table = next(root.rglob("meta*.csv" if name == "refavs" else "*_meta_data.csv"))
    rows = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(row for row in rows if b",val" not in row))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("avs", "s4_meta_data.csv: no row has the split val"),
        ("avs_ms3", "ms3_meta_data.csv: no row has the split val"),
        ("refavs", "metadata.csv: no row has the split val"),
        ("refcoco", "refs(unc).p: contains no expressions of split val"),
    ],
)
def test_a_split_without_samples_is_refused_and_verify_names_it(release, name, message):
    root = release(name)
    without_split(root, name)
    with pytest.raises(DataError, match=re.escape(message)):
        opened(name, root)
    report = verify(name, root, lambda items, *_: items, published=False, quick=True)
    assert [fault for fault in report.faults if message in fault.text], report.text()


@pytest.mark.parametrize("name", ["avs", "avs_ms3"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(("value", "kind"), [(0, "empty"), (255, "full")])
def test_masks_that_can_be_none_are_refused(release, name, split, value, kind):
    root = release(name)
    masks = sorted(root.rglob(f"gt_masks/{split}/**/*.png"))
    for path in masks:
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)
    with pytest.raises(
        DataError, match=f"{split} of .*all masks are {kind}, such as {re.escape(str(masks[0]))}.*verify"
    ):
        opened(name, root)


def test_one_nonempty_mask_is_enough(release):
    """Seconds may be silent: many masks of the multi-source set are empty."""
    root = release("avs_ms3")
    masks = sorted(root.rglob("gt_masks/test/**/*.png"))
    for path in masks:
        Image.new("L", (8, 8)).save(path)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(masks[-1])
    assert opened("avs_ms3", root).counts["test"] == 2


def annotate(root: Path, segmentation: object) -> None:
    path = root / "refcoco/instances.json"
    document = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    for annotation in document["annotations"]:
        height, width = sizes[annotation["image_id"]]
        whole = {"size": [height, width], "counts": [0, height * width]}
        annotation["segmentation"] = segmentation or whole
    path.write_text(json.dumps(document))


def test_empty_masks_of_objects_are_refused_if_masks_are_scored(release):
    root = release("refcoco")
    annotate(root, [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]])
    with pytest.raises(DataError, match=r"train of .*all masks are empty, as is annotation \d+ in instances\.json"):
        opened("refcoco", root)
    assert opened("refcoco:box", root).counts["train"] > 0


def test_masks_of_objects_that_cover_every_picture_are_refused(release):
    root = release("refcoco")
    annotate(root, None)
    with pytest.raises(DataError, match=r"of .*all masks are full, as is annotation"):
        opened("refcoco:mask", root)
    with pytest.raises(DataError, match=r"annotation \d+: bbox .* and segmentation do not match"):
        opened("refcoco", root)


def test_a_split_without_any_event_is_refused(release):
    root = release("ave")
    path = root / "AVE_Dataset/valSet.txt"
    before = path.read_text().splitlines()
    after = [re.sub(r"&\d+&\d+$", "&0&0", line) for line in before]
    assert after != before
    path.write_text("\n".join(after))
    with pytest.raises(
        DataError, match=r"val of .*every second of every video is background, such as those of val000000"
    ):
        opened("ave", root)


def test_no_more_masks_are_read_than_needed():
    taken = []

    def masks(*values):
        for number, value in enumerate(values):
            taken.append(number)
            yield number, torch.tensor(value)

    assert all_alike(masks([0, 1], [0, 0])) is None and taken == [0]
    taken.clear()
    assert all_alike(masks([0, 0], [1, 1], [0, 0])) is None and taken == [0, 1], "empty ones and full ones may both be"
    assert all_alike(masks([0, 0], [0, 0])) == (0, "empty")
    assert all_alike(masks([1, 1], [1, 1])) == (0, "full")
    assert all_alike(masks()) is None
