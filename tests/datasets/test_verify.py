"""`verify` on small releases in the official layouts: no faults at first, and each planted fault named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from official import NAMES, write_official
from PIL import Image
from refer_files import python2_pickle

from bench.datasets.base import load_dataset
from bench.datasets.refer_pickle import load
from bench.datasets.verify import verify
from bench.datasets.verify.report import MAX_SHOWN, Report

_CHECKED = {"ave": 6 * 11, "avs": 3 * 3 + 3 * 11, "avs_ms3": 6 * 11, "refavs": 2 * 51 + 3 * 41 + 3 * 21, "avqa": 6 * 11}

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # in pycocotools, of NumPy 2


def verified(name: str, root: Path, **options: bool) -> Report:
    return verify(name, root, lambda items, total, unit: items, **{"published": False, **options})


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write_official(tmp_path_factory.mktemp(name), name) for name in NAMES}


@pytest.fixture
def copied(official, tmp_path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(official[name], tmp_path / name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quick", [False, True])
def test_sound_releases_are_clean(official, name, quick):
    before = {path: path.stat().st_mtime_ns for path in official[name].rglob("*")}
    report = verified(name, official[name], quick=quick)
    assert report.faults == []
    assert report.text().endswith("\nno faults")
    assert report.checked == _CHECKED.get(name, 36)
    assert {path: path.stat().st_mtime_ns for path in official[name].rglob("*")} == before


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_compared_with_the_published_ones(official, name):
    report = verified(name, official[name], published=True)
    published = [(split, kind) for split, kinds in load_dataset(name).card.counts.items() for kind in kinds]
    counts = [fault for fault in report.faults if fault.kind == "counts that differ from the published ones"]
    assert len(counts) == len(published)
    other_kinds = {fault.kind for fault in report.faults if fault not in counts}
    assert other_kinds == ({"wrong categories"} if load_dataset(name).card.categories else set()), "made-up ones"
    count = next(iter(load_dataset(name).card.counts["train"].values()))
    assert f"expected {count:,} as published" in report.faults[0].text


def test_known_flaws_of_the_release_are_remarks(official):
    text = verified("ave", official["ave"]).text()
    assert "note: events that end when they start, so all seconds are background: train000000" in text


# --- what is planted: each changes one thing and tells what must be named


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def gone(pattern: str) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, pattern)
        path.unlink()
        return [str(path), "missing"]

    return plant


def cut(pattern: str, share: float) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, pattern)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        return [str(path), "cannot be read"]

    return plant


def lasting(pattern: str, seconds: int, expected: int) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, pattern)
        soundfile.write(path, np.zeros(seconds * 16_000), 16_000)
        return [str(path), path.stem, f"{seconds}.0 seconds, expected {expected}"]

    return plant


def replaced(file: str, old: bytes, new: bytes, *named: str) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, file)
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new, 1))
        return [str(path), *named]

    return plant


def mask(side: int, value: int, *named: str) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, "gt_masks/train/*/*/*_1.png")
        Image.fromarray(np.full((side, side), value, dtype=np.uint8)).save(path)
        return [str(path), *named]

    return plant


def few_frames(root: Path) -> list[str]:
    folder = sorted(first(root, "video_frames").iterdir())[-1]
    for path in sorted(folder.iterdir())[4:]:
        path.unlink()
    return [str(folder), "4 frames, expected at least 10"]


def event_in_two_splits(root: Path) -> list[str]:
    line = first(root, "valSet.txt").read_text().splitlines()[0]
    path = first(root, "testSet.txt")
    path.write_text(path.read_text() + line + "\n")
    return [str(path), line.split("&")[1], "is in val and test, expected once"]


def video_in_two_splits(root: Path) -> list[str]:
    table = first(root, "*_meta_data.csv")
    row = next(line for line in table.read_text("utf-8-sig").splitlines() if line.startswith("val"))
    with table.open("a") as file:
        file.write(row.removesuffix("val") + "train\r\n")
    for path in [path for path in root.rglob("*.*") if "val" in path.parts]:
        copy = root / Path(*("train" if part == "val" else part for part in path.relative_to(root).parts))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return [str(table), row.split(",")[0], "is in train and val, expected once"]


def annotation(**changed: object) -> Callable[[Path], list[str]]:
    """Change the annotation of the first ref; what is named for the key stands below `named`."""
    named = changed.pop("named")

    def plant(root: Path) -> list[str]:
        path = first(root, "instances.json")
        document = json.loads(path.read_text())
        ann_id = load(first(root, "refs(*).p"))[0]["ann_id"]
        next(entry for entry in document["annotations"] if entry["id"] == ann_id).update(changed)
        path.write_text(json.dumps(document))
        return [str(path), f"annotation {ann_id}", str(named)]

    return plant


def without(key: str, named: str) -> Callable[[Path], list[str]]:
    """Take the image, or the annotation, of the first ref out of instances.json."""

    def plant(root: Path) -> list[str]:
        path, refs = first(root, "instances.json"), first(root, "refs(*).p")
        document = json.loads(path.read_text())
        number = load(refs)[0][named]
        document[key] = [entry for entry in document[key] if entry["id"] != number]
        path.write_text(json.dumps(document))
        return [str(refs), f"{named} {number} is not in {path}"]

    return plant


def changed_ref(
    place: int, key: str, value: Callable[[list[dict]], object], *named: str
) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, "refs(*).p")
        refs = load(path)
        refs[place][key] = value(refs)
        path.write_bytes(python2_pickle(refs, 2))
        return [str(path), *named]

    return plant


def picture_of_another_size(root: Path) -> list[str]:
    path = first(root, "*.jpg")
    Image.new("RGB", (33, 22)).save(path)
    return [str(path), "22 x 33 pixels"]


def entry(place: int, key: str, value: object, *named: str) -> Callable[[Path], list[str]]:
    """A key of a question of the validation split has another value."""

    def plant(root: Path) -> list[str]:
        path = root / "json/avqa-val.json"
        entries = json.loads(path.read_text())
        entries[place][key] = value
        path.write_text(json.dumps(entries))
        return [str(path), *named]

    return plant


def question_in_two_splits(root: Path) -> list[str]:
    entries = [json.loads((root / f"json/avqa-{split}.json").read_text()) for split in ("train", "test")]
    entries[1].append(entries[0][0])
    (root / "json/avqa-test.json").write_text(json.dumps(entries[1]))
    return ["avqa-test.json", "question 0 of video 00000000", "expected once"]


def single_answer(root: Path) -> list[str]:
    for path in (root / "json").iterdir():
        path.write_text(json.dumps([{**entry, "anser": "yes"} for entry in json.loads(path.read_text())]))
    return ["avqa-val.json", "split val", "all questions have the same answer, 'yes'"]


def no_event(root: Path) -> list[str]:
    path = first(root, "valSet.txt")
    path.write_text(re.sub(r"&\d+&\d+$", "&0&0", path.read_text(), flags=re.M))
    return [str(path), "split val", "every second of every video is background"]


def single_frame(root: Path) -> list[str]:
    folder = first(root, "frames/10000000")
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    return [str(folder), "1 frame for 10.0 seconds of sound, expected one a second"]


def frame_gap(root: Path) -> list[str]:
    path = first(root, "frames/10000000/000004.jpg")
    path.unlink()
    return [str(path.parent), "frame number 4 is missing"]


def renamed(pattern: str) -> Callable[[Path], list[str]]:
    def plant(root: Path) -> list[str]:
        path = first(root, pattern)
        path.rename(path.with_name("four.jpg"))
        return [str(path.with_name("four.jpg")), "its name has no number"]

    return plant


PLANTED = {
    "a single answer": ("avqa", single_answer),
    "a split without an event": ("ave", no_event),
    "a single frame": ("avqa", single_frame),
    "frame missing between others": ("avqa", frame_gap),
    "frame without a number": ("avqa", renamed("frames/10000000/000004.jpg")),
    "frame of an event without a number": ("ave", renamed("video_frames/val000000/0004.jpg")),
    "missing frames": ("ave", few_frames),
    "missing sound": ("ave", gone("*.wav")),
    "empty sound": ("ave", cut("*.wav", 0)),
    "sound cut off": ("ave", lasting("*.wav", 4, 10)),
    "sound too long": ("avs", lasting("*.wav", 10, 5)),
    "malformed line": ("ave", replaced("trainSet.txt", b"&good&", b"&good", "line 1", "expected category&video id")),
    "times that are none": ("ave", replaced("Annotations.txt", b"&0&0\r", b"&7&3\r", "line 7", "start <= end")),
    "event in two splits": ("ave", event_in_two_splits),
    "unknown category": (
        "ave",
        replaced("testSet.txt", b"", b"Whale song&test000000&good&0&10\n", "test000000", "category 'Whale song'"),
    ),
    "truncated jpeg": ("ave", cut("0001b.jpg", 0.5)),
    "missing frame": ("avs", gone("visual_frames/val/*/*/*_3.png")),
    "truncated png": ("avs", cut("visual_frames/val/*/*/*_3.png", 0.5)),
    "truncated mask": ("avs_ms3", cut("gt_masks/val/*/*_3.png", 0.5)),
    "mask of another size": ("avs", mask(32, 255, "32 x 32 pixels", "its frame has 64 x 64")),
    "empty mask": ("avs", mask(64, 0, "all masks of the video are black")),
    "unknown split": ("avs", replaced("s4_meta_data.csv", b",val\r", b",valid\r", "line 5", "split 'valid'")),
    "video in two splits": ("avs", video_in_two_splits),
    "video of the multi-source set in two splits": ("avs_ms3", video_in_two_splits),
    "frame without its odd name": ("avs_ms3", gone("visual_frames/val000000/val000000.mp4_2.png")),
    "too few values": (
        "avqa",
        entry(0, "question_content", "<A> <B> <C> <D>?", "entry 1, video_id '10000000'", "has 4 placeholders, but"),
    ),
    "too many values": ("avqa", entry(0, "templ_values", '["a", "b", "c"]', "entry 1", "has 3 values")),
    "unknown type": ("avqa", entry(0, "type", '["Audio", "Location"]', "entry 1", "type is", '["Visual", "Location"]')),
    "unknown answer": ("avqa", entry(0, "anser", "a harp", "anser 'a harp' is not the answer to any question", "val")),
    "question without a video": ("avqa", entry(0, "video_id", None, "entry 1", "video_id is null")),
    "truncated frame": ("avqa", cut("frames/10000000/*.jpg", 0.5)),
    "missing sound of a video": ("avqa", gone("audio/20000001.wav")),
    "question in two splits": ("avqa", question_in_two_splits),
    "box outside": ("refcoco", annotation(bbox=[0.0, 0.0, 900.0, 9.0], named="be inside the picture")),
    "box beside its mask": ("refcoco", annotation(bbox=[0.0, 0.0, 4.0, 4.0], named="its mask's bounding box")),
    "mask without a pixel": (
        "refcoco_plus",
        annotation(segmentation=[[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]], named="its mask is empty"),
    ),
    "run lengths of another size": (
        "refcocog",
        annotation(segmentation={"size": [3, 3], "counts": [0, 9]}, named="the picture's size"),
    ),
    "category that is none": (
        "refcoco",
        annotation(category_id=99, named="category_id 99 is not one of the file's 6 categories"),
    ),
    "annotation without image": ("refcoco", without("images", "image_id")),
    "ref without annotation": ("refcocog", without("annotations", "ann_id")),
    "missing picture": ("refcoco", gone("images/train2014/*.jpg")),
    "truncated picture": ("refcoco_plus", cut("images/train2014/*.jpg", 0.5)),
    "picture of another size": ("refcoco", picture_of_another_size),
    "image in two splits": (
        "refcoco",
        changed_ref(0, "split", lambda refs: "val", "image_id 100000", "in train and val"),
    ),
    "ref of another category": ("refcoco", changed_ref(0, "category_id", lambda refs: 77, "ref 0", "category_id 77")),
    "sentence twice": (
        "refcocog",
        changed_ref(1, "sentences", lambda refs: refs[0]["sentences"], "sent_id 0", "expected once"),
    ),
    "ref without sentences": ("refcoco", changed_ref(2, "sentences", lambda refs: "none", "ref 2", "should be a list")),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_named_with_file_and_entry(copied, planted):
    name, plant = PLANTED[planted]
    root = copied(name)
    named = plant(root)
    report = verified(name, root)
    assert any(all(part in fault.text for part in named) for fault in report.faults), (named, report.text())
    assert len(report.faults) <= 3, "and nothing else is"


def every_mask(value: int) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        for path in root.rglob("gt_masks/val/**/*.png"):
            Image.fromarray(np.full((64, 64), value, dtype=np.uint8)).save(path)

    return plant


def every_annotation(root: Path) -> None:
    path = first(root, "instances.json")
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation["segmentation"] = [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    ("name", "plant", "named"),
    [
        ("avs", every_mask(0), "split val: all masks that were checked are empty, such as that of val000000"),
        ("avs", every_mask(9), "split val: all masks that were checked are full"),
        ("avs_ms3", every_mask(0), "split val: all masks that were checked are empty, such as that of val000000"),
        ("refcoco", every_annotation, "split testA: all masks that were checked are empty, such as that of annotation"),
    ],
)
def test_a_quick_check_also_finds_splits_with_only_empty_masks(copied, name, plant, named, quick):
    root = copied(name)
    plant(root)
    report = verified(name, root, quick=quick)
    assert any(named in fault.text for fault in report.faults), report.text()


def test_headers_do_not_reveal_damage_after_them(copied):
    root = copied("avs")
    cut("visual_frames/val/*/*/*_3.png", 0.5)(root)
    assert verified("avs", root, quick=True).faults == []
    gone("visual_frames/val/*/*/*_4.png")(root)
    assert len(verified("avs", root, quick=True).faults) == 1


def test_of_many_faults_the_first_are_shown_and_all_are_counted(copied):
    root = copied("refcoco")
    shutil.rmtree(root / "images/train2014")
    (root / "images/train2014").mkdir()
    lines = verified("refcoco", root).text().splitlines()
    assert "missing files: 36" in lines
    assert f"  and {36 - MAX_SHOWN} more" in lines and lines[-1] == "36 faults"
    assert sum("is missing" in line for line in lines) == MAX_SHOWN


def test_a_missing_release_is_one_fault(tmp_path):
    for name in NAMES:
        report = verified(name, tmp_path, published=True)
        assert len(report.faults) == 1, report.text()
        assert str(tmp_path) in report.faults[0].text


def test_released_videos_are_looked_for_until_frames_are_extracted(copied):
    root = copied("ave")
    shutil.rmtree(root / "AVE_Dataset/video_frames")
    report = verified("ave", root)
    assert len(report.faults) == 6 and "AVE/train000000.mp4" in report.faults[0].text
    assert "bench data prepare ave" in report.text()
