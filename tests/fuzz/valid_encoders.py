"""Folders of tiny encoders with random weights, in transformers' form: the content of each file by its name."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "##s", "é"]
_SIZE = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}


@cache
def folder(name: str) -> dict[str, bytes]:
    """That of `vision`, `audio` or `text`, of text without tokenizer.json, `words`, or of several `shards`."""
    import torch
    from transformers import ASTConfig, BertConfig, BertTokenizer, ViTConfig

    from bench.streams.inputs import AudioInput, ImageInput, TextInput
    from bench.streams.load import build_stream, save_stream

    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng():
        torch.manual_seed(0)
        words, encoder_folder = Path(scratch, "words"), Path(scratch, "made")
        BertTokenizer({word: number for number, word in enumerate(_WORDS)}).save_pretrained(words)
        config, input = {
            "vision": (ViTConfig(image_size=8, patch_size=4, **_SIZE), ImageInput(8, (0.5,) * 3, (0.2,) * 3)),
            "audio": (
                ASTConfig(patch_size=4, frequency_stride=4, time_stride=4, num_mel_bins=8, max_length=16, **_SIZE),
                AudioInput(16_000, 8, 16, -4.0, 4.5),
            ),
            "text": (
                BertConfig(vocab_size=len(_WORDS), max_position_embeddings=16, **_SIZE),
                TextInput(str(words), 8),
            ),
        }[{"words": "text", "shards": "vision"}.get(name, name)]
        save_stream(build_stream(config, input), encoder_folder)
        files = {path.name: path.read_bytes() for path in encoder_folder.iterdir()}
    if name == "words":
        del files["tokenizer.json"], files["tokenizer_config.json"]
        files["vocab.txt"] = "".join(f"{word}\n" for word in _WORDS).encode()
    if name == "shards":
        from safetensors.numpy import load

        weights = files.pop("model.safetensors")
        names = dict.fromkeys(load(weights), "model-00001-of-00001.safetensors")
        files["model-00001-of-00001.safetensors"] = weights
        files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": names}).encode()
    return files
