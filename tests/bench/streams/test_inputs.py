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
from transformers import BertTokenizer

from bench.errors import BenchError
from bench.streams.inputs import AudioInput, ImageInput, TextInput

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
