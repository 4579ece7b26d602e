from __future__ import annotations

import numpy as np
import pytest
import soundfile
from PIL import Image

from bench.datasets import media
from bench.errors import DataError


def test_audio_is_averaged_to_mono_and_resampled_from_its_own_rate(tmp_path):
    rate, tone = 44_100, 440.0
    time = np.arange(rate) / rate
    left = np.sin(2 * np.pi * tone * time)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -0.5 * left], axis=1), rate, subtype="FLOAT")
    wave = media.read_audio(tmp_path / "a.wav", "a", 16_000)
    assert wave.dtype == np.float32 and abs(len(wave) - 16_000) <= 1
    expected = 0.25 * np.sin(2 * np.pi * tone * np.arange(len(wave)) / 16_000)
    assert np.abs(wave - expected)[200:-200].max() < 1e-3


def test_seconds_are_cut_and_padded_with_silence():
    wave = np.arange(25, dtype=np.float32) + 1
    rows = media.seconds(wave, rate=10, count=3)
    assert rows.shape == (3, 10)
    assert rows[2].tolist() == [21, 22, 23, 24, 25, 0, 0, 0, 0, 0]
    assert media.seconds(wave, rate=10, count=2).tolist() == rows[:2].tolist()


def test_windows_are_spread_evenly_over_the_recording():
    """As the published readers have it: of 5 s five windows of 1.95 s that begin 0.7375 s apart, to 4.9 s."""
    wave = np.arange(50_000, dtype=np.float32)
    rows = media.windows(wave, rate=10_000, count=5, length=1.95)
    assert rows.shape == (5, 19_500)
    np.testing.assert_allclose(rows[:, 0], [0, 7375, 14750, 22125, 29500], atol=1)
    assert (rows == rows[:, :1] + np.arange(19_500)).all()


def test_windows_of_a_short_recording_end_in_silence():
    rows = media.windows(np.ones(15, dtype=np.float32), rate=10, count=3, length=2.0)
    assert rows.tolist() == [[1] * 15 + [0] * 5] * 3
    assert media.pieces(np.ones(15, dtype=np.float32), 10, 2, None).tolist() == [[1] * 10, [1] * 5 + [0] * 5]


INSIDE = np.array([[False, False, False], [False, True, True]])


def mask_file(mode: str, inside: object, outside: object, **options: object) -> Image.Image:
    """Return a mask as a file of this mode holds it."""
    image = Image.new(mode, (3, 2), outside)
    for row, column in np.argwhere(INSIDE).tolist():
        image.putpixel((column, row), inside)
    if colors := options.get("palette"):
        image.putpalette(colors)
    return image


PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]
WHITE_AND_CLEAR = (255, 255, 255, 0)


@pytest.mark.parametrize(
    "image",
    [
        mask_file("L", 255, 0),
        mask_file("L", 1, 0),
        mask_file("1", 1, 0),
        mask_file("I;16", 1, 0),
        mask_file("I;16", 65535, 0),
        mask_file("P", 1, 0, palette=PALETTE),
        mask_file("P", 2, 0, palette=PALETTE),
        mask_file("P", 0, 1, palette=[0, 0, 128, 0, 0, 0]),  # black is not the first of the palette
        mask_file("RGB", (255, 0, 0), (0, 0, 0)),
        mask_file("RGB", (0, 0, 1), (0, 0, 0)),
        mask_file("RGBA", (0, 0, 128, 255), (0, 0, 0, 255)),
        mask_file("RGBA", (0, 0, 128, 0), (0, 0, 0, 0)),  # an alpha channel that says nothing
        mask_file("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),  # alpha only
        mask_file("RGBA", (255, 255, 255, 255), WHITE_AND_CLEAR),
        mask_file("RGBA", (0, 0, 0, 255), WHITE_AND_CLEAR),
        mask_file("RGBA", (9, 99, 9, 255), WHITE_AND_CLEAR),
        mask_file("LA", (0, 255), (0, 0)),
        mask_file("LA", (200, 255), (0, 255)),
    ],
    ids=lambda image: f"{image.mode} {image.getpixel((1, 1))} on {image.getpixel((0, 0))}",
)
def test_every_color_but_black_is_foreground(tmp_path, image):
    image.save(tmp_path / "m.png")
    assert np.array_equal(media.read_mask(tmp_path / "m.png", "m", 6), INSIDE.repeat(2, 1).repeat(3, 0))


def test_a_transparent_color_of_a_mask_is_background(tmp_path):
    mask_file("L", 255, 7).save(tmp_path / "gray.png", transparency=7)
    mask_file("P", 1, 0, palette=[255, 255, 255, 0, 0, 0]).save(tmp_path / "palette.png", transparency=0)
    for name in ("gray.png", "palette.png"):
        assert media.read_mask(tmp_path / name, "m", 6).mean() == pytest.approx(INSIDE.mean())


def test_masks_with_nothing_in_them_are_empty(tmp_path):
    for mode, color in (("L", 0), ("RGB", (0, 0, 0)), ("RGBA", (0, 0, 0, 255)), ("RGBA", (0, 0, 0, 0))):
        Image.new(mode, (4, 4), color).save(tmp_path / "m.png")
        assert not media.read_mask(tmp_path / "m.png", "m", 4).any()


def test_blurred_black_of_a_jpeg_is_background(tmp_path):
    """What JPEG makes of black beside white is not black, and no foreground."""
    pixels = np.zeros((40, 40), np.uint8)
    pixels[10:30, 10:30] = 255
    Image.fromarray(pixels).save(tmp_path / "m.jpg", quality=40)
    assert (np.asarray(Image.open(tmp_path / "m.jpg")) > 0).sum() > 500
    assert np.array_equal(media.read_mask(tmp_path / "m.jpg", "m", 40), pixels > 0)


@pytest.mark.parametrize("reader", [media.read_image, media.read_mask, media.read_audio])
def test_missing_and_broken_files_are_named_with_their_sample(tmp_path, reader):
    missing, broken = tmp_path / "no.file", tmp_path / "broken.file"
    broken.write_bytes(b"neither a picture nor a sound")
    with pytest.raises(DataError, match=r"sample s1: .*no\.file is missing"):
        reader(missing, "s1", 16)
    with pytest.raises(DataError, match=r"sample s2: .*broken\.file cannot be read"):
        reader(broken, "s2", 16)


def test_a_truncated_image_is_an_error(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read"):
        media.read_image(tmp_path / "a.jpg", "a", 16)
