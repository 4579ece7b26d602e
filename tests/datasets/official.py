"""Small releases of all benchmarks, written by the generator, with the quirks of the official ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import soundfile
import soxr
from ms3_files import MS3
from pycocotools import mask as coco
from refer_files import python2_pickle

from bench.datasets.build import generator_of
from bench.datasets.refer_pickle import load

NAMES = ("ave", "avs", "avs_ms3", "refcoco", "refcoco_plus", "refcocog", "refavs", "avqa")
_VIDEOS = {"train": 3, "val": 1, "test": 2}
_PICTURES = {"train": 21, "val": 1, "testA": 7, "testB": 7}  # RefCOCOg divides them differently: each split gets some
_SCENES = {"train": 2, "val": 1, "test_s": 1, "test_u": 1, "test_n": 1}
_REFS = {"refcoco": "refcoco/refs(unc).p", "refcoco_plus": "refcoco+/refs(unc).p", "refcocog": "refcocog/refs(umd).p"}


def write_official(root: Path, name: str) -> Path:
    """Write a release of the benchmark to a new folder `root`, and return the folder."""
    generator = MS3 if name == "avs_ms3" else generator_of(name)
    counts = _PICTURES if name in _REFS else _SCENES if name == "refavs" else _VIDEOS
    written = [
        generator.write_sample(root, 5, split, index) for split, count in counts.items() for index in range(count)
    ]
    generator.write_annotations(root, written)
    _QUIRKS[name](root)
    return root


def _ave(root: Path) -> None:
    """No header, CRLF, a video with two events, one event without an end; odd rates, stereo; many frames."""
    folder = root / "AVE_Dataset"
    split = (folder / "trainSet.txt").read_text().splitlines()
    split.append(split[0].rpartition("&good&")[0] + "&good&0&0")
    for file, lines in (
        ("trainSet", split),
        ("Annotations", (folder / "Annotations.txt").read_text().splitlines()[1:]),
    ):
        lines = lines if file == "trainSet" else [*lines, split[-1]]
        (folder / f"{file}.txt").write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    _rerecord(sorted((folder / "raw_audio").glob("*.wav")))
    frames = sorted((folder / "video_frames").iterdir())[0]
    for path in sorted(frames.iterdir()):
        (frames / f"{path.stem}b.jpg").write_bytes(path.read_bytes())


def _avs(root: Path) -> None:
    """CRLF and a byte order mark, a column more; odd rates, stereo."""
    table = root / "Single-source/s4_meta_data.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"video_id", b"start").replace(b"\n", b"\r\n"))
    _rerecord(sorted(root.rglob("*.wav")))


def _ms3(root: Path) -> None:
    """CRLF; the last recording a little short, as the released ones are here and there."""
    table = root / "Multi-sources/ms3_meta_data.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    path = sorted(root.rglob("*.wav"))[-1]
    wave, rate = soundfile.read(path)
    soundfile.write(path, wave[: int(4.4 * rate)], rate)


def _refavs(root: Path) -> None:
    """CRLF and a byte order mark; rows of no split; texts with commas, quotes and other letters; odd rates, stereo."""
    table = root / "REFAVS/metadata.csv"
    header, first, second, *rows = table.read_text().splitlines()
    first = first.rpartition(",")[0] + ',"The thing, not the ""other"" one, that sounds"'
    second = second.rpartition(",")[0] + ",The thing in a man\u2019s arm \u9519\u8bef"
    unassigned = "x1_0_10000,x1_0_10000_ring_1,TODO,0,The ring."
    lines = [header, first, second, unassigned, *rows, unassigned]
    table.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    _rerecord(sorted(root.rglob("*.wav")))


def _refer(name: str, protocol: int) -> Any:
    """Return a pickle as Python 2 wrote it, with byte strings; polygons, and run lengths in both forms."""

    def change(root: Path) -> None:
        path = root / _REFS[name]
        path.write_bytes(python2_pickle(_bytes(load(path)), protocol))
        instances = path.parent / "instances.json"
        document = json.loads(instances.read_text())
        for number, annotation in enumerate(document["annotations"]):
            if isinstance(segmentation := annotation["segmentation"], dict) and number % 4 == 1:
                packed = coco.frPyObjects(segmentation, *segmentation["size"])
                annotation["segmentation"] = {"size": segmentation["size"], "counts": packed["counts"].decode()}
        instances.write_text(json.dumps(document))

    return change


def _bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {_bytes(key): _bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def _avqa(root: Path) -> None:
    """A full-width question mark, a deleted question that is broken, spaces at the end; stereo, an odd rate."""
    for path in sorted((root / "json").iterdir()):
        entries = json.loads(path.read_text())
        entries[0]["question_content"] = entries[0]["question_content"].replace("?", "\uff1f ")
        entries.append({**entries[0], "question_id": 9_999, "question_deleted": 1, "templ_values": '["", 1]'})
        path.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
    _rerecord(sorted((root / "audio").glob("*.wav")))


def _rerecord(paths: list[Path]) -> None:
    """The first recording in stereo at 44.1 kHz, the second at 22.05 kHz and a little too long."""
    for path, rate, channels in zip(paths, (44_100, 22_050), (2, 1), strict=False):
        wave, native_rate = soundfile.read(path)
        wave = soxr.resample(wave, native_rate, rate)
        wave = wave[:, None].repeat(channels, 1) if channels == 2 else [*wave, *wave[: rate // 3]]
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, rate, format="WAV")
        path.write_bytes(buffer.getvalue())


_QUIRKS = {
    "ave": _ave,
    "avs": _avs,
    "avs_ms3": _ms3,
    "refavs": _refavs,
    "refcoco": _refer("refcoco", 0),
    "refcoco_plus": _refer("refcoco_plus", 2),
    "refcocog": _refer("refcocog", 0),
    "avqa": _avqa,
}
