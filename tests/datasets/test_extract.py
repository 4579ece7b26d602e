"""Extraction of AVE's videos, which are written here with PyAV."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="videos are read with PyAV, the extra `video`")

from bench import cli  # noqa: E402
from bench.datasets import ave, videos  # noqa: E402
from bench.datasets.ave import Release  # noqa: E402
from bench.datasets.extract import extract_ave  # noqa: E402
from bench.datasets.media import decode_audio, read_audio  # noqa: E402
from bench.datasets.verify import verify  # noqa: E402
from bench.errors import DataError, UsageError  # noqa: E402

FPS, RATE, SECONDS = 5, 44_100, 10


def make_video(path: Path, sound: bool = True) -> None:
    """Ten seconds: frame n is of gray 5 n; left a tone of 440 Hz, right none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=FPS)
        pictures.width, pictures.height, pictures.pix_fmt, pictures.bit_rate = 64, 48, "yuv420p", 2_000_000
        tone = container.add_stream("aac", rate=RATE, layout="stereo") if sound else None
        for number in range(FPS * SECONDS):
            gray = np.full((48, 64, 3), 5 * number, dtype=np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(gray)))
        container.mux(pictures.encode(None))
        if tone:
            wave = np.zeros((2, SECONDS * RATE), dtype=np.float32)
            wave[0] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * RATE) / RATE)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            container.mux([*tone.encode(frame), *tone.encode(None)])


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    """AVE in its released form: three videos, one with two events."""
    root = tmp_path_factory.mktemp("released")
    folder = root / ave.FOLDER
    make_video(folder / "AVE/-a_b.mp4")
    for name in ("c", "d"):
        shutil.copy(folder / "AVE/-a_b.mp4", folder / f"AVE/{name}.mp4")
    lines = {
        "train": ["Bark&-a_b&good&0&3", "Horn&-a_b&good&4&9"],
        "val": ["Bark&c&good&0&10"],
        "test": ["Horn&d&good&1&9"],
    }
    for split, split_lines in lines.items():
        (folder / ave.SPLITS[split]).write_text("\n".join(split_lines) + "\n")
    (folder / ave.ANNOTATIONS).write_text("\n".join(chain.from_iterable(lines.values())) + "\n")
    return root


def extracted(root: Path, out: Path) -> list[str]:
    return extract_ave(root, out, 1, lambda items, total, unit: items)


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}


def test_frames_are_those_that_the_reader_would_take_of_all(released, tmp_path):
    before = stamps(released)
    assert extracted(released, tmp_path / "out") == []
    release = Release(tmp_path / "out", "train")
    event = release.events[0]
    assert len(release.frame_paths(event)) == len(set(release.frame_paths(event))) == 10
    brightness = release.frames(event, 8)[:, :, 4, 4].mean(axis=1)
    np.testing.assert_allclose(brightness, [5 * place for place in ave.spread(FPS * SECONDS)], atol=6)
    assert stamps(released) == before, "the release is only read"
    assert verify("ave", tmp_path / "out", lambda items, total, unit: items, published=False).faults == []


def test_sound_is_the_mean_of_its_channels_at_its_own_rate(released, tmp_path):
    assert extracted(released, tmp_path / "out") == []
    path = tmp_path / "out/AVE_Dataset/raw_audio/c.wav"
    wave, rate = decode_audio(path, "c")
    assert rate == RATE and abs(len(wave) / rate - SECONDS) < 0.1
    middle = wave[RATE : 2 * RATE]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.05)
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert len(read_audio(path, "c", 16_000)) == pytest.approx(SECONDS * 16_000, abs=2000)


def test_extraction_resumes(released, tmp_path):
    out = tmp_path / "out"
    extracted(released, out)
    shutil.rmtree(out / "AVE_Dataset/video_frames/c")
    (out / "AVE_Dataset/raw_audio/d.wav").unlink()
    saved_stamps = stamps(out)
    assert extracted(released, out) == []
    now = stamps(out)
    assert all(now[path] == stamp for path, stamp in saved_stamps.items() if path.is_file())
    assert (out / "AVE_Dataset/video_frames/c/0010.jpg").is_file()
    assert (out / "AVE_Dataset/raw_audio/d.wav").is_file()
    assert not list(out.rglob(".*")), "nothing half done is left"


def test_broken_videos_are_reported_and_the_rest_extracted(released, tmp_path):
    root = Path(shutil.copytree(released, tmp_path / "release"))
    (root / "AVE_Dataset/AVE/c.mp4").write_bytes(b"no video")
    (root / "AVE_Dataset/AVE/d.mp4").unlink()
    missing, broken = sorted(extracted(root, tmp_path / "out"), key=lambda text: "cannot" in text)
    assert "sample d: video" in missing and "d.mp4 is missing" in missing
    assert "sample c: video" in broken and "c.mp4 cannot be read" in broken
    assert sorted(path.name for path in (tmp_path / "out/AVE_Dataset/video_frames").iterdir()) == ["-a_b"]
    left_out = verify("ave", tmp_path / "out", lambda items, *_: items, published=False).faults
    assert [fault.kind for fault in left_out] == ["missing files"] * 2, "each once"
    assert all("the video was not extracted" in fault.text for fault in left_out)
    faults = [fault.text for fault in verify("ave", root, lambda items, *_: items, published=False).faults]
    assert len(faults) == 2 and "c.mp4 cannot be read" in faults[0] and "d.mp4: d: the file is missing" in faults[1]


@pytest.mark.parametrize("gone", ["frames", "sound", "timing"])
def test_a_partly_extracted_video_is_one_fault(released, tmp_path, gone):
    out = tmp_path / "out"
    extracted(released, out)
    name = {"frames": "video_frames/c", "sound": "raw_audio/c.wav", "timing": f"{ave.TIMINGS}/c.json"}[gone]
    (out / "AVE_Dataset" / name).rename(tmp_path / "gone")
    (fault,) = verify("ave", out, lambda items, *_: items, published=False).faults
    assert name in fault.text
    if gone == "timing":
        assert "`bench data prepare ave` extracts it, or reports why it cannot" in fault.text


def test_a_broken_timing_is_one_fault(released, tmp_path):
    out = tmp_path / "out"
    extracted(released, out)
    (out / "AVE_Dataset" / ave.TIMINGS / "c.json").write_text("{")
    (fault,) = verify("ave", out, lambda items, *_: items, published=False).faults
    assert "was not written by `bench data prepare`" in fault.text


def test_a_video_that_ends_early_is_an_error(released, tmp_path):
    import av

    whole, path = released / "AVE_Dataset/AVE/c.mp4", tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"sample c: video .*cut\.mp4 (ends early|cannot be read)"):
        videos.extract(path, "c", 10, tmp_path / "frames", tmp_path / "c.wav", tmp_path / "c.json")
    assert not (tmp_path / "frames").exists()


def test_a_video_without_sound_is_an_error(tmp_path):
    make_video(tmp_path / "silent.mp4", sound=False)
    with pytest.raises(DataError, match=r"sample s: .*silent\.mp4 has no audio stream"):
        videos.extract(
            *(tmp_path / "silent.mp4", "s", 10, tmp_path / "frames", tmp_path / "s.wav", tmp_path / "s.json")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["silent.mp4"]


@pytest.mark.parametrize("out", [".", "AVE_Dataset", "AVE_Dataset/AVE"])
def test_the_release_is_never_written_to(released, out):
    before = stamps(released)
    with pytest.raises(UsageError, match="overlaps the release"):
        extracted(released, released / out)
    assert stamps(released) == before


def test_the_command_extracts_and_decodes(released, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    command = ["data", "prepare", "ave", "--root", str(released), "--jobs", "1"]
    assert cli.main(command) == 2
    assert f"ave --root {released} --out DIR` extracts it from the videos" in capsys.readouterr().err
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("samples of ave decoded for suite mini: train 2, val 1, test 1\n")
    assert len([*(tmp_path / "cache/prepared").glob("*/manifest.json")]) == 3
