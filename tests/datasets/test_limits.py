"""What a file says of its size is checked before it is decoded, and no name in an annotation leads out of the root."""

from __future__ import annotations

import io
import json
import os
import struct
import time
import tracemalloc
import zlib
from contextlib import contextmanager

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from refer_files import annotation, image, ref, write_release

from bench.datasets import ave, avsbench, coco_mask, layout, media, mp4, refcoco, videos
from bench.datasets.layout import is_plain
from bench.datasets.verify import verify
from bench.errors import DataError
from bench.files import read_bytes, read_json, read_text


@contextmanager
def little(most=8_000_000, seconds=5):
    """Fail where more memory or time is taken."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < seconds


def png(width, height):
    """Return a picture of so many pixels in a few bytes, as far as its header goes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def jpeg(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    content = buffer.getvalue()
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def wav(rate=16_000, frames=100, channels=1, values=None):
    buffer = io.BytesIO()
    wave = np.zeros((frames, channels), np.float32) if values is None else np.array(values, np.float32)
    soundfile.write(buffer, wave, rate, format="WAV", subtype="FLOAT" if values is not None else "PCM_16")
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("make", [png, jpeg])
@pytest.mark.parametrize("size", [(5793, 5793), (2**25 + 1, 1), (70_000, 1), (12_000, 12_000), (60_000, 60_000)])
def test_a_picture_that_is_too_large_is_not_decoded(tmp_path, make, size):
    if make is jpeg and max(size) > 65_535:
        return
    (tmp_path / "a.jpg").write_bytes(make(*size))
    for read in (media.read_image, media.read_mask, lambda path, sample, _: media.image_size(path, sample)):
        with pytest.raises(DataError, match=r"sample s1: \w+ .*a\.jpg cannot be read: .*pixels"), little():
            read(tmp_path / "a.jpg", "s1", 16)


def test_a_picture_of_refcoco_is_not_decoded_either(tmp_path):
    write_release(tmp_path, [ref(1)], images=[image(1, height=9000, width=9000), image(2), image(3)])
    release = refcoco.Release(tmp_path, "refcoco", "train")
    path = release.picture_path(release.expressions[0])
    path.write_bytes(png(9000, 9000))
    with pytest.raises(DataError, match=r"9,000 x 9,000 pixels .* more than the 33,554,432"), little():
        release.image(release.expressions[0])


def test_no_program_is_run_to_read_a_picture(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "EPS")
    for content in (buffer.getvalue(), b"GIF89a" + bytes(20)):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(DataError, match="it is not a JPEG or PNG"):
            media.read_image(tmp_path / "a.jpg", "s1", 16)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"rate": 999}, "999 Hz, expected 1,000 to 384,000"),
        ({"rate": 500_000}, "500,000 Hz"),
        ({"rate": 1_000, "frames": 600_001}, "more than 600 seconds"),
        ({"values": [0.0, float("nan")]}, "NaN or beyond"),
        ({"values": [0.0, float("inf")]}, "NaN or beyond"),
        ({"values": [1e30, 0.0]}, "NaN or beyond"),
    ],
)
def test_a_recording_beyond_the_limits_is_refused(tmp_path, kind, message):
    (tmp_path / "a.wav").write_bytes(wav(**kind))
    with pytest.raises(DataError, match=rf"sample s1: audio .*a\.wav cannot be read: .*{message}"), little():
        media.read_audio(tmp_path / "a.wav", "s1", 16_000)


def test_a_recording_of_many_channels_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(media, "MAX_AUDIO_SAMPLES", 1000)
    (tmp_path / "a.wav").write_bytes(wav(frames=501, channels=2))
    with pytest.raises(DataError, match="501 samples in 2 channels"):
        media.decode_audio(tmp_path / "a.wav", "s1")
    (tmp_path / "a.wav").write_bytes(wav(frames=500, channels=2))
    assert media.decode_audio(tmp_path / "a.wav", "s1")[0].shape == (500,)


def test_an_error_without_a_message_is_named(monkeypatch, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav())
    monkeypatch.setattr(media, "check_audio", lambda *arguments: (_ for _ in ()).throw(EOFError()))
    with pytest.raises(DataError, match=r"a\.wav cannot be read: EOFError$"):
        media.audio_seconds(tmp_path / "a.wav", "s1")


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    for path in (tmp_path / "a", tmp_path):
        with pytest.raises(DataError, match="cannot be read: it is not a regular file"):
            media.read_image(path, "s1", 16)
        with pytest.raises(ValueError, match="not a regular file"):
            read_bytes(path, 10)


def test_a_file_of_text_is_read_up_to_its_size(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfab\r\n")
    assert read_text(path, 7) == "ab\r\n"
    with pytest.raises(ValueError, match="7 bytes, more than the 6"):
        read_text(path, 6)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="too deep"):
        read_json(path, 10**6)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", ".. ", "a/b", "/a", "a\\b", "C:a", "a:b", "a\0b", "a\nb", "\x1b[2J", "\ud800", "é" * 101],
)
def test_names_with_paths_are_not_plain(name):
    assert not is_plain(name)


@pytest.mark.parametrize(
    "name", ["-_aB1", "a b", "a.b", "..a", "a&b, c", "日本", "playing_piano", "COCO_1.jpg", "x" * 200]
)
def test_names_of_files_are_plain(name):
    assert is_plain(name)


@given(st.text(max_size=8) | st.text(st.sampled_from("./\\: ~a\0"), max_size=6))
def test_a_plain_name_stays_in_its_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp()
    if is_plain(name):
        assert (root / name).parent == root and os.path.normpath(root / name) == str(root / name)
        (root / name).exists()  # nothing that the system could choke on


def test_a_link_in_a_release_is_followed(tmp_path):
    """Who lays out a release links its folders to other disks; an annotation cannot make a link."""
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "elsewhere/a.png")
    (tmp_path / "frames").symlink_to(tmp_path / "elsewhere")
    assert media.read_image(tmp_path / "frames/a.png", "s1", 4).shape == (3, 4, 4)


def test_a_column_of_dots_is_reported(tmp_path):
    (tmp_path / "s4_meta_data.csv").write_text("name,category,split\na,..,train\n")
    with pytest.raises(DataError, match=r"line 2: .*category '\.\.'"):
        avsbench.Release(tmp_path, "train")


def test_a_polygon_that_goes_to_and_fro_costs_nothing():
    zigzag = [0, 0, 640, 480] * 2000
    with pytest.raises(ValueError, match=r"outlines of 2,\d{3},\d{3} pixels, more than 1,000,000"), little():
        coco_mask.decode([zigzag], (480, 640))
    with pytest.raises(ValueError, match="20,000 parts"), little():
        coco_mask.decode([{"size": [480, 640], "counts": [480 * 640]}] * 20_000, (480, 640))


@pytest.mark.parametrize("category", [[1], {"a": 1}, None, "3", 10**400])
def test_a_category_that_is_not_a_number_is_a_fault(tmp_path, category):
    objects = [annotation(1, category_id=category), annotation(2), annotation(3)]
    write_release(tmp_path, [ref(1), ref(2), ref(3)], annotations=objects)
    report = verify("refcoco", tmp_path, lambda samples, *_: samples, published=False)
    assert "not one of the file's 1 categories" in report.text() and len(report.text()) < 5000


def test_a_video_that_lists_other_files_opens_none_of_them(tmp_path):
    secret = tmp_path / "secret.mp4"
    write_video(secret, 16)
    (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match=r"a\.mp4 cannot be read"):
        videos.read_frames(tmp_path / "a.mp4", "a", [0])


def test_a_video_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", 64)
    assert len(videos.read_frames(tmp_path / "a.mp4", "a", [0])) == 1
    monkeypatch.setattr(videos, "MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(DataError, match="64 x 64 pixels"):
        videos.read_frames(tmp_path / "a.mp4", "a", [0])


def write_video(path, side):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = side
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_in_another_encoding_is_reported(tmp_path, encoding):
    folder = tmp_path / "Single-source"
    folder.mkdir()
    (folder / "s4_meta_data.csv").write_bytes("name,category,split\né,dog,train\n".encode(encoding))
    with pytest.raises(DataError, match=r"s4_meta_data\.csv: cannot be read as CSV in UTF-8"):
        avsbench.Release(tmp_path, "train")


def test_json_with_too_deep_nesting_is_reported(tmp_path):
    write_release(tmp_path, [ref(1)])
    (tmp_path / "refcoco/instances.json").write_text(json.dumps({"images": []})[:-1] + ', "a": ' + "[" * 100_000)
    with pytest.raises(DataError, match=r"instances\.json: cannot be read as JSON: .*too deep"):
        refcoco.Release(tmp_path, "refcoco", "train")


def pretending(content: bytes, name: bytes, samples: int) -> bytes:
    """Return a video whose table of that name says that there are so many samples, each of a byte."""
    at = content.index(name)
    return content[: at + 8] + struct.pack(">II", 1, samples) + content[at + 16 :]


def test_a_video_that_declares_impossibly_many_frames_is_not_opened(tmp_path):
    """FFmpeg makes room for each that a table tells of: a file of some kilobytes took gigabytes."""
    write_video(tmp_path / "a.mp4", 16)
    content = (tmp_path / "a.mp4").read_bytes()
    for harm, message in (
        (pretending(content, b"stsz", 2**31), "2,147,483,648 frames and packets, more than 2,000,000"),
        (content + struct.pack(">I4sI", 24, b"moof", 16) + b"trun" + bytes(4) + b"\x7f" * 4, "more than 2,000,000"),
        (content.replace(b"mvhd", b"cmov"), "compressed header"),
        (content + struct.pack(">I4s", 2**22, b"abcd") + bytes(2**22), "besides the media, more than 2,097,152"),
        (content + struct.pack(">I4s", 8, b"free") * 10_000, "more than 10,000 top-level boxes"),
        (
            content + struct.pack(">I4s", 808, b"moov") + struct.pack(">I4s", 8, b"trak") * 100,
            "10[12] tracks, more than 100",
        ),
        (b"", "it is empty"),
    ):
        (tmp_path / "a.mp4").write_bytes(harm)
        with pytest.raises(DataError, match=rf"a\.mp4 cannot be read: .*{message}"):
            videos.length(tmp_path / "a.mp4", "a")


def test_names_of_tables_within_the_media_are_none(tmp_path):
    (tmp_path / "a.mp4").write_bytes(struct.pack(">I4s", 40, b"mdat") + b"stsz" + b"\xff" * 28)
    mp4.check(tmp_path / "a.mp4")


@pytest.mark.parametrize("limit", ["MAX_FRAMES", "MAX_DECODED_PIXELS"])
def test_a_video_that_takes_hours_to_decode_is_refused(tmp_path, monkeypatch, limit):
    write_video(tmp_path / "a.mp4", 16)
    monkeypatch.setattr(videos, limit, 4)
    with pytest.raises(DataError, match=r"a\.mp4 cannot be read: more than .* frames"):
        videos.read_clip(tmp_path / "a.mp4", "a", 1)


def test_a_table_of_many_columns_takes_no_more_than_its_size(tmp_path):
    folder = tmp_path / "Single-source"
    folder.mkdir()
    columns = "".join(f",{number}" for number in range(30_000))
    (folder / "s4_meta_data.csv").write_text(f"name,category,split{columns}\n" + "a,dog,train\n" * 3000)
    with little(most=40_000_000):
        assert len(avsbench.Release(tmp_path, "train").videos) == 3000


def test_a_file_with_an_error_in_every_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MAX_PROBLEMS", 5)
    folder = tmp_path / "Single-source"
    folder.mkdir()
    (folder / "s4_meta_data.csv").write_text("name,category,split\n" + "a,..,train\n" * 10)
    with pytest.raises(DataError, match="line 7"):
        avsbench.Release(tmp_path, "train", problems := [])
    assert len(problems) == 5


def test_a_release_of_many_categories_is_read_in_a_time_that_goes_with_its_size(tmp_path):
    lines = "".join(f"c{number}&v{number}&good&0&1\n" for number in range(40_000))
    for name in ("Annotations.txt", "trainSet.txt"):
        (tmp_path / name).write_text(lines)
    started = time.process_time()
    assert len(ave.Release(tmp_path, "train").events) == 40_000
    assert time.process_time() - started < 5
