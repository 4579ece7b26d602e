"""Frame and sound of second s are of second s, whatever a video's frame rate, beginnings and length."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("av", reason="videos are read with PyAV, the extra `video`")

from timed_videos import Video, shown, sound_at

from bench.datasets import ave, avqa, videos
from bench.datasets.ave import Release
from bench.datasets.base import load_dataset
from bench.datasets.extract import extract_ave, extract_avqa
from bench.datasets.media import decode_audio
from bench.datasets.timeline import Timing, frames_of_seconds, read_timing
from bench.datasets.verify import verify
from bench.errors import DataError, UsageError

CLOSE = 0.04  # seconds


def every(step: float, start: float = 0, end: float = 10) -> list[float]:
    return [round(start + step * number, 3) for number in range(round((end - start) / step))]


VARIABLE = np.round(np.cumsum(np.random.default_rng(0).uniform(0.02, 0.5, 60)) - 0.02, 2)
VIDEOS = {
    "constant": Video(every(0.04)),
    "variable": Video([0, *VARIABLE[VARIABLE < 10].tolist()]),
    "fast_then_slow": Video([*every(0.02, end=3), *every(0.7, start=3)]),
    "held": Video([*every(0.1, end=2), *every(0.1, start=6)]),
    "late_picture": Video(every(0.04, start=2.4)),
    "late_sound": Video(every(0.04), sound=(3.3, 10)),
    "both_late": Video(every(0.04), late=1.5, sound=(0.1, 10)),
    "short": Video(every(0.04, end=6), sound=(0, 6)),
    "long": Video(every(0.1, end=14), sound=(0, 14)),
    "short_picture": Video(every(0.1, end=7)),
    "short_sound": Video(every(0.1), sound=(0, 4.5)),
    "gap_in_sound": Video(every(0.04), silent=(3.0, 5.5)),
    "b_frames": Video(every(0.04), b_frames=3),
    "edit_list": Video(every(0.04, start=-1.2), sound=(-1.2, 10), late=-1.2, b_frames=2),
    "other_clocks": Video(every(0.05), rate=22_050, frame_clock=90_000),
    "low_rate": Video(every(0.05), rate=16_000, late=0.7, sound=(0.1, 10)),
    "high_rate": Video(every(0.05), rate=48_000, late=0.3, sound=(0.6, 10)),
}
DEVIATIONS = {
    "held": ["no frame starts in seconds 2 to 5: the frame at 1.90 s is used instead"],
    "late_picture": ["no frame starts in seconds 0 to 1: the frame at 2.40 s is used instead"],
    "late_sound": ["little or no sound in seconds 0 to 3: the gaps are filled with silence"],
    "short": [
        "6.0 seconds, expected 10",
        "no frame starts in seconds 6 to 9: the frame at 5.96 s is used instead",
        "little or no sound in seconds 6 to 9: the gaps are filled with silence",
    ],
    "long": ["14.0 seconds, expected 10"],
    "short_picture": ["no frame starts in seconds 7 to 9: the frame at 6.90 s is used instead"],
    "short_sound": ["little or no sound in seconds 4 to 9: the gaps are filled with silence"],
    "gap_in_sound": ["little or no sound in seconds 3 to 5: the gaps are filled with silence"],
    "high_rate": ["little or no sound in second 0: the gaps are filled with silence"],
}


def write_release(root: Path, names: list[str]) -> Path:
    folder = root / ave.FOLDER
    folder.mkdir(parents=True)
    lines = "".join(f"Bark&{name}&good&0&10\n" for name in names)
    for file in (ave.ANNOTATIONS, ave.SPLITS["train"]):
        (folder / file).write_text(lines)
    for split, end in (("val", 5), ("test", 4)):
        (folder / ave.SPLITS[split]).write_text(f"Bark&{names[0]}&good&0&{end}\n")
    return folder


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("timed")
    folder = write_release(root, [*VIDEOS])
    for name, video in VIDEOS.items():
        video.write(folder / ave.VIDEOS / f"{name}.mp4")
    return root


def extracted(root: Path, out: Path) -> list[str]:
    return extract_ave(root, out, 1, lambda items, total, unit: items)


@pytest.fixture(scope="session")
def prepared(released, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    assert extracted(released, out) == []
    return out


def expected_frame(frames: list[float], second: int) -> float:
    """Return the frame that stands for a second: of those that begin in it the last up to its middle, or the first."""
    frames_of_second = [at for at in frames if second <= at < second + 1]
    if frames_of_second:
        return max((at for at in frames_of_second if at <= second + 0.5), default=frames_of_second[0])
    return max((at for at in frames if 0 <= at < second), default=min(at for at in frames if at >= 0))


@pytest.mark.parametrize("name", VIDEOS)
def test_frame_and_sound_are_of_the_right_second(prepared, name):
    video = VIDEOS[name]
    release = Release(prepared, "train")
    event = next(event for event in release.events if event.video == name)
    for second, frame in enumerate(release.frames(event, 176)):
        assert shown(frame) == pytest.approx(expected_frame([*video.frames], second), abs=CLOSE)
        if any(second <= at < second + 1 for at in video.frames):
            assert second - CLOSE <= shown(frame) < second + 1 + CLOSE
    wave, rate = decode_audio(release.sound_path(event), name)
    assert rate == video.rate and len(wave) == 10 * rate, "just the seconds that have labels"
    for at in np.arange(0.2, 10, 0.3):
        is_there = video.sound[0] + 0.1 < at < video.sound[1] - 0.1
        if is_there and not video.silent[0] - 0.1 < at < video.silent[1] + 0.1:
            assert sound_at(wave, rate, at) == pytest.approx(at, abs=CLOSE)
        elif (
            at < video.sound[0] - 0.1 or at > video.sound[1] + 0.1 or video.silent[0] + 0.1 < at < video.silent[1] - 0.1
        ):
            assert sound_at(wave, rate, at) is None


@pytest.mark.parametrize("source", ["released", "prepared"])
def test_verify_names_deviations(released, prepared, source):
    root = {"released": released, "prepared": prepared}[source]
    report = verify("ave", root, lambda items, total, unit: items, published=False)
    positions = {name: [] for name in VIDEOS}
    for fault in report.faults:
        _, name, wrong = fault.text.split(": ", 2)
        positions[name.removeprefix("sample ")].append(wrong)
    assert {name: wrong for name, wrong in positions.items() if wrong} == DEVIATIONS
    assert ("not extracted yet" in report.text()) == (source == "released")


def test_a_quick_look_reads_headers_only(released):
    report = verify("ave", released, lambda items, total, unit: items, published=False, quick=True)
    assert [fault.text.rpartition(": ")[2] for fault in report.faults] == [
        "6.0 seconds, expected 10",
        "14.0 seconds, expected 10",
    ]


def numbered(folder: Path, count: int = 10) -> None:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"{number:04d}.jpg").write_bytes(b"of an earlier version")


def test_output_of_an_earlier_version_is_extracted_again(released, tmp_path):
    folder = write_release(tmp_path / "release", ["late_picture", "gone"])
    shutil.copytree(released / ave.FOLDER / ave.VIDEOS, folder / ave.VIDEOS)
    out = tmp_path / "out" / ave.FOLDER
    for name in ("late_picture", "gone"):
        numbered(out / ave.FRAMES / name)
        (out / ave.SOUNDS).mkdir(exist_ok=True)
        (out / ave.SOUNDS / f"{name}.wav").write_bytes(b"of an earlier version")
    (problem,) = extracted(tmp_path / "release", tmp_path / "out")
    assert "gone.mp4 is missing" in problem
    release = Release(tmp_path / "out", "train")
    late, gone = release.events
    assert shown(release.frames(late, 176)[0]) == pytest.approx(2.4)
    assert sound_at(*decode_audio(release.sound_path(late), "late"), 5) == pytest.approx(5, abs=CLOSE)
    assert release.frame_paths(gone), "what cannot be made again is left"
    faults = verify("ave", tmp_path / "out", lambda items, *_: items, published=False).faults
    assert any("frames were not extracted by this version" in fault.text and "gone" in fault.text for fault in faults)


def test_frames_of_another_program_are_left_alone(released, tmp_path):
    frames = tmp_path / "out" / ave.FOLDER / ave.FRAMES / "short"
    numbered(frames, 250)
    (problem,) = extracted(released, tmp_path / "out")
    assert "sample short" in problem and "did not write" in problem
    assert len([*frames.iterdir()]) == 250


@pytest.mark.parametrize(
    ("starts", "chosen"),
    [
        ([0], [0, 0, 0]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 0.5, 0.75, 1.25, 2.75], [1, 3, 4]),
        ([1.75, 2], [0, 0, 1]),
        ([0, 0.25], [1, 1, 1]),
        ([0.75], [0, 0, 0]),
    ],
)
def test_frames_of_seconds(starts, chosen):
    assert frames_of_seconds([Fraction(start) for start in starts], 3) == chosen


def test_at_a_constant_rate_frames_are_those_spread_evenly():
    for rate in (5, 24, 25, 30):
        assert frames_of_seconds([Fraction(n, rate) for n in range(10 * rate)], 10) == ave.spread(10 * rate)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2}', '{"version": 2, "frames": 1, "sound": [], "end": 1}'])
def test_a_broken_timing_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"sample a: .*a\.json was not written by"):
        read_timing(tmp_path / "a.json", "a")


def test_a_timing_of_another_version_is_none(tmp_path):
    timing = Timing((0.0,), (1.0,), 1.0)
    (tmp_path / "a.json").write_text(timing.text())
    assert read_timing(tmp_path / "a.json", "a") == timing
    (tmp_path / "a.json").write_text(json.dumps({**json.loads(timing.text()), "version": 1}))
    assert read_timing(tmp_path / "a.json", "a") is None
    assert read_timing(tmp_path / "b.json", "b") is None


def test_frames_missing_in_the_middle_are_an_error(released, tmp_path, monkeypatch):
    """As of a file whose middle was never written: the header counts more than can be decoded."""
    monkeypatch.setattr(videos, "_MIN_DECODABLE", 1.1)
    with pytest.raises(DataError, match=r"sample a: video .*constant\.mp4 ends early: 250 frames \(10\.0 seconds\)"):
        videos.read_clip(released / ave.FOLDER / ave.VIDEOS / "constant.mp4", "a", 10)


def test_videos_of_questions_are_extracted_as_long_as_they_are(tmp_path):
    """From the folder of real videos or of synthetic ones, one frame a second; and once only."""
    folder = tmp_path / "release"
    keys = {"type": '["Audio", "Counting"]', "question_content": "Any?", "templ_values": "[]"}
    answers = {"00000001": "yes", "00000002": "no", "00000003": "yes"}
    entries = [{**keys, "video_id": name, "anser": answer} for name, answer in answers.items()]
    (folder / "json").mkdir(parents=True)
    for number, split in enumerate(avqa.SPLITS):
        questions = [{**entry, "question_id": number} for entry in entries]
        (folder / f"json/avqa-{split}.json").write_text(json.dumps(questions))
    for name, place in zip(("00000001", "00000002"), avqa.VIDEOS[1:], strict=True):
        VIDEOS["long"].write(folder / place / f"{name}.mp4")
    assert load_dataset("avqa").advice(folder).startswith("`bench data prepare avqa --root")

    out = tmp_path / "out"
    messages = extract_avqa(folder, out, 1, lambda items, total, unit: items)
    assert len(messages) == 1 and "00000003.mp4 is missing" in messages[0]
    release = avqa.Release(out, "train")
    assert len({*release.frame_paths(release.questions[0])}) == 10
    assert len(list((out / "frames/00000002").iterdir())) == 14
    assert soundfile.info(out / "audio/00000001.wav").duration == 14
    pending: list[int] = []
    extract_avqa(folder, out, 1, lambda items, total, unit: pending.append(total) or items)
    assert pending == [1]
    with pytest.raises(UsageError, match="overlaps the release"):
        extract_avqa(folder, folder / "out", 1, lambda items, total, unit: items)
    report = verify("avqa", folder, lambda items, total, unit: items, published=False)
    assert "not extracted yet: run `bench data prepare avqa`" in report.text() and "00000003" in report.text()
    assert len(report.faults) == 1
