"""Images and recordings as found in practice: numbered, hidden, deep, transparent, rotated, truncated, empty."""

from __future__ import annotations

import io
import shutil
import struct
import zlib

import numpy as np
import pytest
import soundfile
from official import write_official
from PIL import Image
from refer_files import image, ref, write_release

from bench.datasets import ave, media, pictures
from bench.datasets.refcoco import Release
from bench.datasets.verify import verify
from bench.errors import DataError


def png(height: int, width: int, rows: int, *, bits: int = 8, colors: int = 0, value: int = 200) -> bytes:
    """Return a PNG of one value whose header says `height`, and that ends properly after so many rows."""
    header = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    row = b"\0" + value.to_bytes(bits // 8, "big") * (width * {0: 1, 2: 3, 6: 4}[colors])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(row * rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(
    "names",
    [
        ["1.jpg", "2.jpg", "10.jpg"],
        ["frame_2.png", "frame_0010.jpeg", "frame_11.JPG"],
        ["-9a0_1.JPEG", "-9a0_9.PNG", "-9a0_10.jpg"],
        ["0001.jpg", "0001b.jpg", "0002.jpg"],
    ],
)
def test_frames_are_ordered_by_number(tmp_path, names):
    for name in [*reversed(names), "._0001.jpg", ".DS_Store", "Thumbs.db", "0003.txt", ".hidden.png"]:
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures.numbered(tmp_path)] == names


def test_frames_of_ave_are_read_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / ave.FOLDER
    (folder / ave.FRAMES / "xyz").mkdir(parents=True)
    for name in ("Annotations", "trainSet", "valSet", "testSet"):
        (folder / f"{name}.txt").write_text("Bark&xyz&good&0&10\n")
    for number in range(10):
        ending = ("jpg", "JPG", "png", "jpeg")[number % 4]
        path = folder / ave.FRAMES / f"xyz/{number + 1}.{ending}"
        Image.new("RGB", (8, 8), (20 * number,) * 3).save(path, "PNG" if ending == "png" else "JPEG")
    (folder / ave.FRAMES / "xyz/._1.jpg").write_bytes(b"what macOS knows of the file")
    release = ave.Release(tmp_path, "train")
    shown = release.frames(release.events[0], 4)[:, 0, 0, 0]
    np.testing.assert_allclose(shown, np.arange(10) * 20, atol=3)
    assert all("._" not in path.name for path in release.files())


def read(tmp_path, content: bytes | Image.Image, size: int = 8, **options: object) -> np.ndarray:
    path = tmp_path / "a.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, options.pop("format", "PNG"), **options)
    return media.read_image(path, "s1", size)


@pytest.mark.parametrize("value", [0, 255, 256, 30_000, 65_535])
def test_sixteen_bits_of_grey_are_scaled(tmp_path, value):
    assert (read(tmp_path, png(8, 8, 8, bits=16, value=value)) == value >> 8).all()
    assert (read(tmp_path, png(8, 8, 8, bits=16, colors=2, value=value)) == value >> 8).all(), "as those of colors are"


def test_transparent_pixels_are_black(tmp_path):
    clear, opaque = (10, 200, 30, 0), (10, 200, 30, 255)
    for pixel, expected in ((clear, (0, 0, 0)), (opaque, (10, 200, 30)), ((10, 200, 30, 128), (5, 100, 15))):
        pixels = read(tmp_path, Image.new("RGBA", (8, 8), pixel))
        assert np.abs(pixels[:, 4, 4].astype(int) - expected).max() <= 1
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert read(tmp_path, palette)[:, 0, 0].tolist() == [10, 200, 30]
    assert read(tmp_path, palette, transparency=1)[:, 0, 0].tolist() == [0, 0, 0]
    assert read(tmp_path, Image.new("LA", (8, 8), (77, 255)))[:, 0, 0].tolist() == [77, 77, 77]


@pytest.mark.parametrize(("mode", "color"), [("L", 90), ("CMYK", (0, 255, 255, 0)), ("1", 1)])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode, color):
    image = Image.new(mode, (8, 8), color)
    expected = {"L": (90, 90, 90), "CMYK": (255, 0, 0), "1": (255, 255, 255)}[mode]
    pixels = read(tmp_path, image, format="JPEG" if mode == "CMYK" else "PNG")
    assert np.abs(pixels[:, 4, 4].astype(int) - expected).max() <= 3


def rotated(orientation: int, format: str) -> bytes:
    """Return an image whose upper half is white after the rotation in its EXIF data, which makes it 16 wide, 8 high."""
    upright = Image.new("L", (16, 8))
    upright.paste(255, (0, 0, 16, 4))
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    (upright.transpose(back[orientation]) if orientation in back else upright).save(buffer, format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 99])
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation, format):
    pixels = read(tmp_path, rotated(orientation, format), 16)
    assert pixels[:, :6].min() > 200 and pixels[:, 10:].max() < 50
    path = tmp_path / "a.png"
    assert media.image_size(path, "s1") == (8, 16)
    assert media.read_mask(path, "s1", 16)[:6].all() and not media.read_mask(path, "s1", 16)[10:].any()


@pytest.mark.parametrize(("size", "is_stored"), [((16, 8), True), ((8, 16), False)])
def test_the_size_in_the_annotations_says_whether_a_picture_is_turned(tmp_path, size, is_stored):
    height, width = size
    write_release(tmp_path, [ref(1)], images=[image(1, height=height, width=width), image(2), image(3)])
    document = tmp_path / "refcoco/instances.json"
    document.write_text(document.read_text().replace("[10.0, 5.0, 10.0, 15.0]", "[1.0, 1.0, 4.0, 4.0]"))
    release = Release(tmp_path, "refcoco", "train")
    (expression,) = release.expressions
    release.picture_path(expression).write_bytes(rotated(6, "JPEG"))
    picture = release.image(expression)
    assert picture.shape == (*size, 3)
    assert (picture[:3, :6].min() > 200) != is_stored
    faults = verify("refcoco", tmp_path, lambda items, *_: items, published=False).faults
    assert not [fault for fault in faults if "pixels (height x width)" in fault.text]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_harms_no_picture(tmp_path):
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a.png", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert media.read_image(tmp_path / "a.png", "s1", 8).shape == (3, 8, 8)
    assert media.image_size(tmp_path / "a.png", "s1") == (8, 8)


@pytest.mark.parametrize("rows", [0, 5, 7])
@pytest.mark.parametrize("read", [media.read_image, media.read_mask])
def test_a_png_with_missing_rows_is_refused(tmp_path, rows, read):
    (tmp_path / "a.png").write_bytes(png(8, 8, rows))
    with pytest.raises(DataError, match=r"sample s1: \w+ .*a\.png cannot be read: rows are missing"):
        read(tmp_path / "a.png", "s1", 8)
    (tmp_path / "a.png").write_bytes(png(8, 8, 9))
    assert read(tmp_path / "a.png", "s1", 8).any(), "rows too many do no harm"


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 7), (64, 33)])
def test_whole_pngs_are_read_interlaced_too(tmp_path, mode, size):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    pictures.check_rows(buffer.getvalue())
    assert pictures._decompressed_size(interlaced(8, 8, 8)) == 64 + 15, "Adam7 has 15 rows of an 8 x 8 picture"
    assert pictures._decompressed_size(interlaced(1, 1, 8)) == 2


def interlaced(width: int, height: int, bits: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 1)


def test_missing_rows_and_empty_sound_are_found_by_verify_and_by_a_run(tmp_path):
    root = write_official(tmp_path / "avs", "avs")
    frame = sorted(root.rglob("visual_frames/val/*/*/*_3.png"))[0]
    size = media.image_size(frame, "a")
    frame.write_bytes(png(*size, size[0] - 1, colors=2))
    sound = sorted(root.rglob("audio_wav/test/*/*.wav"))[0]
    soundfile.write(sound, np.zeros(0), 16_000)
    report = verify("avs", root, lambda items, *_: items, published=False)
    assert len(report.faults) == 2
    assert "rows are missing" in report.text() and "it has no samples" in report.text()
    quick = verify("avs", root, lambda items, *_: items, published=False, quick=True)
    assert "it has no samples" in quick.text()
    with pytest.raises(DataError, match="cannot be read: it is empty: it has no samples"):
        media.read_audio(sound, "s", 16_000)
    shutil.rmtree(root)
