"""Every family at the sizes that are released, without weights: on the meta device, which computes shapes only."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    ASTConfig,
    BertConfig,
    Dinov2Config,
    DINOv3ViTConfig,
    RobertaConfig,
    Swinv2Config,
    ViTConfig,
)

from bench.methods.cola import CoLA
from bench.streams.base import Stream
from bench.streams.inputs import SECOND, AudioInput, ImageInput, TextInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream

SMALL = {"hidden_size": 384, "num_attention_heads": 6}
VIT_B = {"hidden_size": 768, "num_attention_heads": 12}
LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 24}
SWIN = {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12, "image_size": 192}

IMAGE = ImageInput(224, (0.5,) * 3, (0.5,) * 3)
SOUND = AudioInput(16000, 128, SECOND, 0.0, 1.0)
TEXT = TextInput("none")

FULL = {
    "vit-s": (ViTConfig, {**SMALL, "intermediate_size": 1536}, IMAGE, 21_665_664, 197),
    "vit-b": (ViTConfig, VIT_B, IMAGE, 85_798_656, 197),
    "vit-l": (ViTConfig, {**LARGE, "intermediate_size": 4096}, IMAGE, 303_301_632, 197),
    "dinov2-s": (Dinov2Config, {**SMALL, "patch_size": 14, "image_size": 518}, IMAGE, 22_056_576, 257),
    "dinov2-b": (Dinov2Config, {**VIT_B, "patch_size": 14, "image_size": 518}, IMAGE, 86_580_480, 257),
    "dinov2-l": (Dinov2Config, {**LARGE, "patch_size": 14, "image_size": 518}, IMAGE, 304_368_640, 257),
    "dinov3-b": (
        DINOv3ViTConfig,
        {**VIT_B, "intermediate_size": 3072, "num_register_tokens": 4},
        IMAGE,
        85_660_416,
        201,
    ),
    "swinv2-l": (Swinv2Config, SWIN, ImageInput(192, (0.5,) * 3, (0.5,) * 3), 195_202_932, 36),
    "bert-base": (BertConfig, VIT_B, TEXT, 108_891_648, 40),
    "bert-large": (BertConfig, {**LARGE, "intermediate_size": 4096}, TEXT, 334_092_288, 40),
    "roberta-base": (
        RobertaConfig,
        {**VIT_B, "max_position_embeddings": 514, "type_vocab_size": 1},
        TEXT,
        124_055_040,
        40,
    ),
    "ast": (ASTConfig, VIT_B, SOUND, 86_187_264, 110),
}


def outline(name: str) -> Stream:
    config, values, input, _, _ = FULL[name]
    with torch.device("meta"):
        return build_stream(config(**values), input)


@pytest.mark.parametrize("name", FULL)
def test_parameters_and_tokens(name):
    """The meta device also refuses what a GPU would: tensors that were made on the CPU on the way."""
    stream, (_, _, input, parameters, tokens) = outline(name), FULL[name]
    assert sum(parameter.numel() for parameter in stream.parameters()) == parameters
    if isinstance(input, TextInput):
        x = torch.zeros(2, input.length, dtype=torch.long, device="meta")
    else:
        x = torch.zeros(
            2, *((3, input.size, input.size) if isinstance(input, ImageInput) else (98, 128)), device="meta"
        )
        assert stream.special + stream.grid[0] * stream.grid[1] == tokens
    assert stream(x).shape == (2, tokens, stream.width)


def test_swinv2_large_is_paired_with_twelve_blocks_of_sound():
    """Block j of the sound with block 2 j + 1, through all stages; every hypernetwork has its partner's width there."""
    with torch.device("meta"):
        model = MultiStream({"vision": outline("swinv2-l"), "audio": outline("ast")})
        CoLA(r=16, reduction=2).attach(model)
    assert [step["vision"].paired for step in model.schedule] == list(range(1, 24, 2))
    widths = [model.streams["vision"].width_at(step["vision"].paired) for step in model.schedule]
    assert widths == [192, 384, *[768] * 9, 1536]

    def low_rank(name: str, block: int) -> int:
        stream = model.streams[name]
        return 16 * sum(sum(stream.features(block, role)) for role in stream.linears(block))

    expected = sum(low_rank(name, block) for name, stream in model.streams.items() for block in range(stream.depth))
    expected += sum(low_rank(name, step[name].paired) for step in model.schedule for name in step)
    for partner in [*widths, *[768] * 12]:
        hidden = partner // 2
        expected += 6 * (partner * hidden + 3 * hidden + hidden * 16**2 + 3 * 16**2 + 1)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == expected
