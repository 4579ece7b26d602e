from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    ASTFeatureExtractor,
    BertTokenizer,
    ViTImageProcessor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from bench.errors import BenchError
from bench.streams.inputs import AudioInput, ImageInput, TextInput, WaveformInput, WhisperInput
from bench.tasks.augment import gain

IMAGE = ImageInput(size=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
AUDIO = AudioInput(sample_rate=16000, mel_bins=128, frames=98, mean=-4.0, std=4.5)


def test_bytes_and_floats_are_normalised_alike():
    image = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = (image / 255 - torch.tensor(IMAGE.mean).view(3, 1, 1)) / torch.tensor(IMAGE.std).view(3, 1, 1)
    torch.testing.assert_close(IMAGE.normalize(image), expected)
    torch.testing.assert_close(IMAGE.normalize(image.float() / 255), expected)


def test_audio_is_divided_by_twice_its_deviation():
    assert AUDIO.normalize(torch.tensor(5.0)).item() == pytest.approx(1.0)


def test_padding_is_normalised_or_zero():
    """AST's own way pads log-mels with 0 and normalises them then; others normalize first and then pad with 0."""
    padding = {pad: torch.full((3, 128), replace(AUDIO, pad=pad).filler) for pad in ("zeros", "mean")}
    torch.testing.assert_close(AUDIO.normalize(padding["zeros"]), torch.full((3, 128), 4.0 / 9.0))
    assert AUDIO.normalize(padding["mean"]).eq(0).all()


def test_preprocessor_round_trip():
    assert ImageInput.from_preprocessor(IMAGE.to_preprocessor()) == IMAGE
    assert AudioInput.from_preprocessor(AUDIO.to_preprocessor()) == AUDIO


def test_size_and_frames_can_be_overruled():
    assert ImageInput.from_preprocessor(IMAGE.to_preprocessor(), size=96).size == 96
    assert AudioInput.from_preprocessor(AUDIO.to_preprocessor(), frames=1024).frames == 1024


def test_the_size_is_what_is_cropped():
    dinov2 = {
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "size": {"shortest_edge": 256},
        "image_mean": IMAGE.mean,
        "image_std": IMAGE.std,
    }
    assert ImageInput.from_preprocessor(dinov2).size == 224


def test_texts_are_lower_cased_and_padded(text_input):
    ids = text_input.encode(["The RED balls", "Left zebra"])
    assert ids.dtype == np.int64 and ids.shape == (2, 40)
    assert ids[0].tolist() == [2, 5, 6, 7, 8, 3] + [0] * 34
    assert ids[1].tolist() == [2, 9, 1, 3] + [0] * 36
    assert torch.equal(text_input.normalize(torch.from_numpy(ids)), torch.from_numpy(ids))


def test_long_texts_are_cut_with_their_last_token_kept(text_input):
    ids = text_input.encode(["dog " * 100])
    assert ids[0].tolist() == [2] + [12] * 38 + [3]
    assert replace(text_input, length=5).encode(["dog " * 100]).tolist() == [[2, 12, 12, 12, 3]]


@given(st.lists(st.text(max_size=30) | st.sampled_from(["[PAD] dog [PAD]", "[SEP]", "a[CLS]"]), max_size=4))
def test_padding_stands_at_the_end_of_a_row_only(text_input, texts):
    ids = replace(text_input, length=12).encode(texts)
    assert ids.shape == (len(texts), 12)
    for row in ids:
        real = int((row != 0).sum())
        assert row[0] == 2 and row[real - 1] == 3 and not row[real:].any()
        assert not np.isin(row[1 : real - 1], (0, 2, 3)).any()


def test_a_text_is_lower_cased_only_if_told_to(text_input, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Dog", "dog"]
    tokenizer = BertTokenizer({word: number for number, word in enumerate(words)}, do_lower_case=False)
    tokenizer.save_pretrained(tmp_path)
    cased = TextInput(str(tmp_path), length=3)
    assert cased.encode(["Dog"]).tolist() == [[2, 6, 3]]
    assert replace(cased, lower_case=False).encode(["Dog"]).tolist() == [[2, 5, 3]]


def test_text_input_round_trip_and_defaults(text_input):
    second = TextInput("there", length=17, lower_case=False)
    assert TextInput.from_preprocessor(second.to_preprocessor(), "there") == second
    assert TextInput.from_preprocessor(second.to_preprocessor(), "there", length=9).length == 9
    assert TextInput.from_preprocessor({}, "there") == TextInput("there", 40, True)


def test_text_inputs_are_small_and_told_apart(text_input):
    text_input.encode(["dog"])
    assert copy.deepcopy(text_input) == pickle.loads(pickle.dumps(text_input)) == text_input
    assert len(pickle.dumps(text_input)) < 1000
    assert text_input.tokenizer in repr(text_input)
    variants = (
        replace(text_input, length=9),
        replace(text_input, lower_case=False),
        replace(text_input, tokenizer="b"),
    )
    assert len({repr(text_input), *map(repr, variants)}) == 4


def test_threads_share_a_tokenizer(text_input):
    texts = ["the red ball", "a dog", "left of a dog", ""] * 50
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: text_input.encode([text])[0], texts))
    assert np.array_equal(np.stack(rows), text_input.encode(texts))


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(BenchError, match="no words"):  # transformers makes an empty one of a configuration alone
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        TextInput(str(tmp_path)).encode(["dog"])
    with pytest.raises(BenchError, match="cannot load the tokenizer"):
        TextInput(str(tmp_path / "nowhere")).encode(["dog"])
    with pytest.raises(BenchError, match="3 tokens"):
        TextInput("there", length=2)


def test_a_regular_expression_that_would_go_back_for_ever_is_told(tmp_path, capfd):
    """The tokenizers' library panics once it has gone back ten million times, which is no `Exception` of Python's."""
    split = {"type": "Split", "pattern": {"Regex": "(([a ]+)+)+[!-#]"}, "behavior": "Isolated", "invert": False}
    model = {"type": "WordLevel", "vocab": {"[PAD]": 0, "a": 1}, "unk_token": "[PAD]"}
    content = {"version": "1.0", "added_tokens": [], "pre_tokenizer": split, "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(BenchError, match=r"cannot encode texts: .*retry-limit"):
        TextInput(str(tmp_path), 8).encode(["a " * 5000])


WAVES = (np.random.default_rng(0).standard_normal((3, 16_000)) * np.array([[0.1], [0.001], [0.0]])).astype(np.float32)


@pytest.mark.parametrize(("seconds", "frames"), [(1, None), (1, 3000), (0.4, None), (1, 50)])
def test_whisper_spectrograms_are_those_of_its_feature_extractor(seconds, frames):
    """A sound of any length, or padded with silence when more frames are set; the last row is silence."""
    extractor = WhisperFeatureExtractor()
    input = WhisperInput.from_preprocessor(extractor.to_dict(), frames or round(seconds * 100))
    waves = WAVES[:, : round(seconds * 16_000)]
    spectrograms = torch.from_numpy(input.encode(waves))
    assert spectrograms.shape == (3, input.frames, 80)
    length = input.frames * 160
    expected = [
        extractor(wave[:length], sampling_rate=16_000, padding="max_length", max_length=length).input_features[0]
        for wave in waves
    ]
    torch.testing.assert_close(
        input.normalize(spectrograms), torch.from_numpy(np.stack(expected)).transpose(1, 2), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("do_normalize", [True, False])
def test_waveforms_are_those_of_their_feature_extractor(do_normalize):
    extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    input = WaveformInput.from_preprocessor(extractor.to_dict())
    expected = np.stack([extractor(wave, sampling_rate=16_000).input_values[0] for wave in WAVES])
    actual = input.normalize(torch.from_numpy(input.encode(WAVES)))
    torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_spectrograms_of_ast_are_those_of_its_feature_extractor():
    for do_normalize in (True, False):
        extractor = ASTFeatureExtractor(do_normalize=do_normalize)
        input = AudioInput.from_preprocessor(extractor.to_dict())
        expected = np.stack([extractor(wave, sampling_rate=16_000).input_values[0] for wave in WAVES[:2]])
        actual = input.normalize(torch.from_numpy(input.encode(WAVES[:2])))
        torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=2e-2 if not do_normalize else 2e-3)


def test_sounds_fill_the_window_of_their_input():
    waveform = WaveformInput(16_000, window_s=1.5)
    assert waveform.encode(WAVES).shape == (3, 24_000) and not waveform.encode(WAVES)[:, 16_000:].any()
    assert (replace(waveform, window_s=0.5).encode(WAVES) == WAVES[:, :8_000]).all()
    assert WhisperInput(16_000, 80, 3_000, window_s=1.95).sound_frames == 195


@pytest.mark.parametrize("input", [WhisperInput(16_000, 80, 100), WaveformInput(16_000), WaveformInput(8_000, False)])
def test_preprocessors_of_sounds_are_read_back(input):
    assert type(input).from_preprocessor(input.to_preprocessor()) == input


@pytest.mark.parametrize("input", [AUDIO, WhisperInput(16_000, 80, 100), WaveformInput(16_000)])
def test_random_sounds_have_the_shape_of_encoded_ones(input):
    drawn = input.random(2, 3, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 3, *input.encode(WAVES).shape[1:])
    assert input.normalize(drawn).isfinite().all()


def test_random_loudness_is_a_factor_of_the_waveform():
    """Log-mels of a louder waveform are those of the waveform plus the same number."""
    waves = torch.from_numpy(WAVES[:2])[None]
    louder = gain(waves, torch.Generator().manual_seed(0))
    input = WhisperInput(16_000, 80, 100)
    log_mels, expected = (torch.from_numpy(input.encode(x[0].numpy())) for x in (waves, louder))
    torch.testing.assert_close(gain(log_mels[None], torch.Generator().manual_seed(0))[0], expected, rtol=0, atol=1e-3)


RELEASED = {
    "dinov2-small": {
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "BitImageProcessor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256},
    },
    "clip-vit-base-patch32": {
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224,
    },
    "siglip-base-patch16-224": {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"height": 224, "width": 224},
    },
    "deit-base-distilled-patch16-224": {
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "DeiTFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 256,
    },
}  # fmt: skip
"""The released processor files, as they are."""


@pytest.mark.parametrize("name", RELEASED)
def test_released_processors_of_images_are_read_as_they_are(name):
    values = RELEASED[name]
    expected = ImageInput(224, tuple(values["image_mean"]), tuple(values["image_std"]))
    assert ImageInput.from_preprocessor(values) == expected


@pytest.mark.parametrize(
    "change",
    [{}, {"do_normalize": False}, {"do_rescale": False}, {"do_rescale": False, "do_normalize": False},
     {"rescale_factor": 1 / 127.5}, {"do_rescale": None, "do_normalize": None, "rescale_factor": None}],
)  # fmt: skip
def test_images_are_rescaled_and_normalized_as_the_processor_says(change):
    """The processor's own result, for an image that needs no resizing. None stands for the default, True."""
    values = IMAGE.to_preprocessor() | change
    image = torch.randint(256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    defaults = {name: value for name, value in values.items() if value is not None}
    expected = ViTImageProcessor(**defaults)(image, return_tensors="pt").pixel_values[0].float()
    actual = ImageInput.from_preprocessor(values).normalize(image)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_images_that_are_not_square_are_refused_unless_a_size_is_set():
    values = IMAGE.to_preprocessor() | {"size": {"height": 224, "width": 448}}
    with pytest.raises(BenchError, match=r"224 x 448 pixels, but streams read square ones\. .*vision\.size=224"):
        ImageInput.from_preprocessor(values)
    assert ImageInput.from_preprocessor(values, size=224).size == 224
