from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertTokenizer,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
)

from bench.errors import BenchError
from bench.streams import load, sources
from bench.streams.load import load_stream, outline_stream, save_stream


def test_saved_streams_load_again(kind, make_stream, make_input, tmp_path):
    stream, x = make_stream(kind, dtype=torch.float32), make_input(kind, dtype=torch.float32)
    save_stream(stream, tmp_path)
    loaded = load_stream(str(tmp_path))
    assert loaded.input == stream.input
    torch.testing.assert_close(loaded(x), stream(x))


def test_embedded_streams_are_found_by_name(make_stream, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "WEIGHTS", tmp_path)
    save_stream(make_stream("ast", dtype=torch.float32), tmp_path / "sound-v1")
    stream = load_stream("embedded:sound-v1", frames=22)
    assert stream.grid == (3, 3)
    with pytest.raises(BenchError, match="no embedded encoder sound-v2; there are sound-v1"):
        load_stream("embedded:sound-v2")


def test_sounds_last_a_second_unless_asked(make_stream, tmp_path):
    """The checkpoints of AST were trained with 10.24 seconds."""
    stream = make_stream("ast", dtype=torch.float32)
    stream.input = replace(stream.input, frames=1024)
    save_stream(stream, tmp_path)
    assert load_stream(str(tmp_path)).input.frames == 98
    assert load_stream(str(tmp_path)).grid == (3, 16)
    assert load_stream(str(tmp_path), frames=1024).input == outline_stream(str(tmp_path), frames=1024).input
    assert load_stream(str(tmp_path), frames=1024).input == stream.input


@pytest.mark.parametrize(
    ("kind", "takes"), [("vit", "images, .* settings: size"), ("ast", "sounds, .* settings: frames, mean")]
)
def test_what_inputs_of_this_kind_do_not_have_is_refused(kind, takes, make_stream, tmp_path):
    save_stream(make_stream(kind, dtype=torch.float32), tmp_path)
    for reading in ({"length": 40}, {"size": 8} if kind == "ast" else {"window_s": 2.0}):
        with pytest.raises(BenchError, match=f"reads {takes}") as raised:
            load_stream(str(tmp_path), **reading)
        assert f"which have no setting {next(iter(reading))}" in str(raised.value)


def test_how_sounds_are_normalised_padded_and_cut_into_windows_can_be_set(make_stream, tmp_path):
    save_stream(make_stream("ast", dtype=torch.float32), tmp_path)
    stored = load_stream(str(tmp_path), frames=200).input
    assert (stored.pad, stored.window_s, stored.filler) == ("zeros", None, 0.0)
    input = load_stream(str(tmp_path), frames=200, mean=-5.0, std=3.5, pad="mean", window_s=1.95).input
    assert input == replace(stored, mean=-5.0, std=3.5, pad="mean", window_s=1.95)
    assert input.filler == -5.0


def test_windows_of_sound_are_as_long_as_they_are(make_stream, tmp_path):
    stream = make_stream("ast", dtype=torch.float32)
    stream.input = replace(stream.input, frames=1024)
    save_stream(stream, tmp_path)
    frames = {window_s: outline_stream(str(tmp_path), window_s=window_s).input.frames for window_s in (1.0, 1.95, 20)}
    assert frames == {1.0: 98, 1.95: 193, 20: 1024}
    with pytest.raises(BenchError, match=r"the sound for each input in seconds should be 0\.1 to 600, not 0\.01"):
        outline_stream(str(tmp_path), window_s=0.01)


def test_missing_files_are_named(make_stream, tmp_path):
    with pytest.raises(BenchError, match="no folder"):
        load_stream(str(tmp_path / "nowhere"))
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    path = tmp_path / "preprocessor_config.json"
    values = json.loads(path.read_text())
    del values["image_mean"]
    path.write_text(json.dumps(values))
    with pytest.raises(BenchError, match="image_mean"):
        load_stream(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BenchError, match=str(tmp_path)):
        load_stream(str(tmp_path))


def test_loading_shows_no_progress_bars(make_stream, tmp_path, capfd):
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    load_stream(str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_saved_text_streams_load_again(make_text_stream, text_input, tmp_path):
    shorter = replace(text_input, length=20, lower_case=False)
    stream = make_text_stream(shorter, dtype=torch.float32)
    save_stream(stream, tmp_path)
    loaded = load_stream(str(tmp_path))
    assert loaded.input == replace(shorter, tokenizer=str(tmp_path))
    ids = shorter.encode(["the red ball", "a dog left of the balls"])
    assert (loaded.input.encode(["the red ball", "a dog left of the balls"]) == ids).all()
    torch.testing.assert_close(loaded(torch.from_numpy(ids)), stream(torch.from_numpy(ids)))
    assert load_stream(str(tmp_path), length=9).input.length == 9


def test_roberta_with_its_own_kind_of_tokenizer(tmp_path):
    """Byte pairs with the padding's id 1, and positions that are counted from there."""
    letters = ["\u0120", *"adegthr", "\u0120d", "o", "\u0120do", "\u0120dog"]
    words = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters])}
    merges = [("\u0120", "d"), ("\u0120d", "o"), ("\u0120do", "g")]
    RobertaTokenizer(vocab=words, merges=merges).save_pretrained(tmp_path)
    config = RobertaConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
    )
    with load._quiet():
        encoder = RobertaModel(config, add_pooling_layer=False).eval()
        encoder.save_pretrained(tmp_path)
    stream = load_stream(str(tmp_path), length=8)
    ids = torch.from_numpy(stream.input.encode(["the red dog", "a"]))
    assert ids[0, 0] == 0 and ids[1].tolist()[0] == 0 and ids[1, 2:].tolist() == [2, 1, 1, 1, 1, 1]
    expected = encoder(ids, attention_mask=ids != 1).last_hidden_state
    torch.testing.assert_close(stream(ids), expected, rtol=1e-5, atol=1e-5)


def test_text_checkpoints_as_they_lie_on_the_hub(text_input, tmp_path, capfd):
    """With the parts that pretraining needed, dropout, a vocab.txt, and no word of how long texts are."""
    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    with load._quiet():
        pretrained = BertForPreTraining(config).eval()
        pretrained.save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    stream = load_stream(str(tmp_path)).train()
    assert stream.input.length == 40
    ids = torch.from_numpy(stream.input.encode(["a dog", "Dog dog"]))
    assert ids[1, :5].tolist() == [2, 5, 5, 3, 0]
    expected = pretrained.bert(ids, attention_mask=ids != 0).last_hidden_state
    torch.testing.assert_close(stream(ids), expected, rtol=1e-5, atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_of_another_encoder_is_refused(make_text_stream, text_input, tmp_path):
    save_stream(make_text_stream(text_input, dtype=torch.float32), tmp_path)
    words = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "dog"]
    BertTokenizer({word: number for number, word in enumerate(words)}).save_pretrained(tmp_path)
    with pytest.raises(BenchError, match="the padding id 4, the encoder has 20 and 0"):
        load_stream(str(tmp_path))


def test_weights_that_are_missing_are_named(make_stream, tmp_path):
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BenchError, match=r"lack layernorm\.weight"):
        load_stream(str(tmp_path))


def test_a_size_that_the_patches_do_not_divide_is_refused(make_stream, tmp_path):
    """The rest of the image would be dropped."""
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    message = "images of 44 x 44 pixels are not made of whole patches of 8 x 8: set a multiple of 8 .* such as 40 or 48"
    with pytest.raises(BenchError, match=message):
        outline_stream(str(tmp_path), size=44)
    assert outline_stream(str(tmp_path), size=48).grid == (6, 6)


def test_a_processor_that_is_part_of_another_is_read(make_stream, tmp_path):
    """As transformers saves the processors of encoders with several."""
    stream = make_stream("vit", dtype=torch.float32)
    save_stream(stream, tmp_path)
    processor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(BenchError, match="is incomplete: preprocessor_config"):
        load_stream(str(tmp_path))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": processor}))
    assert load_stream(str(tmp_path)).input == stream.input
