from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn
from transformers import ASTConfig, Dinov2Config, DINOv3ViTConfig, ViTConfig

from bench.errors import BenchError
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import build_stream
from bench.streams.prenorm import Dinov2Stream

IMAGE = ImageInput(size=32, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
def test_stages_equal_the_encoders_own_forward(kind, dtype, tolerance, training, make_stream, make_input):
    stream, x = make_stream(kind, dtype=dtype).train(training), make_input(kind, dtype=dtype)
    expected = stream.encoder(x).last_hidden_state
    torch.testing.assert_close(stream(x), expected, rtol=tolerance, atol=tolerance)
    rows, columns = stream.grid
    assert expected.shape == (2, stream.special + rows * columns, stream.width)


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_other_image_sizes_are_interpolated_as_the_encoder_does(kind, make_stream):
    stream, x = make_stream(kind), torch.randn(1, 3, 48, 24, dtype=torch.float64)
    options = {"interpolate_pos_encoding": True} if kind == "vit" else {}
    torch.testing.assert_close(stream(x), stream.encoder(x, **options).last_hidden_state)


@pytest.mark.parametrize("kind", ["dinov3", "dinov3-gated"])
def test_rotations_go_by_the_size_of_the_image(kind, make_stream):
    stream, x = make_stream(kind), torch.randn(1, 3, 48, 48, dtype=torch.float64)
    torch.testing.assert_close(stream(x), stream.encoder(x).last_hidden_state)
    with pytest.raises(BenchError, match="48 x 40 pixels"):
        stream(x[..., :40])


def test_registers_come_before_the_patches(make_stream, make_input):
    stream, x = make_stream("dinov3"), make_input("dinov3")
    assert stream.special == 3 and make_stream("dinov3-gated").special == 1
    tokens = stream.embed(x)
    assert torch.equal(tokens[:, :1], stream.encoder.embeddings.cls_token.expand(2, -1, -1))
    assert torch.equal(tokens[:, 1:3], stream.encoder.embeddings.register_tokens.expand(2, -1, -1))


def test_positions_of_dinov3_are_not_drawn_in_training(make_stream, make_input):
    assert DINOv3ViTConfig().pos_embed_rescale
    stream, x = make_stream("dinov3").train(), make_input("dinov3")
    torch.testing.assert_close(stream(x), stream(x))


@pytest.mark.parametrize("frames", [20, 40, 64])
def test_spectrograms_of_any_length(frames, make_stream):
    stream = make_stream("ast")
    tokens = stream.embed(torch.randn(2, frames, 24, dtype=torch.float64))
    assert tokens.shape == (2, 2 + 3 * ((frames - 8) // 6 + 1), 32)


def test_sounds_shorter_than_a_patch_are_refused():
    config = ASTConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
    with pytest.raises(BenchError, match="15 frames of sound are fewer than the 16 of a patch of ASTModel"):
        build_stream(config, AudioInput(16000, 128, 15, 0.0, 1.0))


def test_interpolation_over_time_keeps_frequency_and_special_tokens(make_stream):
    stream = make_stream("ast")
    position = stream.encoder.embeddings.position_embeddings
    position.data[:, 2:] = torch.arange(3.0).repeat_interleave(6)[:, None]  # 3 rows of 6: constant over time
    shorter = stream._positions(20)
    assert torch.equal(shorter[:, :2], position[:, :2])
    torch.testing.assert_close(shorter[0, 2:, 0], torch.arange(3.0, dtype=torch.float64).repeat_interleave(3))


def test_summaries(make_stream):
    stream, x = make_stream("ast"), torch.randn(2, 5, 32)
    assert torch.equal(stream.summary(x, "cls"), x[:, 0])
    torch.testing.assert_close(stream.summary(x, "mean"), x.mean(1))


def test_linears_are_those_of_the_blocks(kind, make_stream):
    stream = make_stream(kind, depth=2)
    paths = [path for block in range(2) for path in stream.linears(block).values()]
    blocks = [name for name, m in stream.encoder.named_modules() if isinstance(m, nn.Linear) and "layer" in name]
    assert sorted(paths) == sorted(blocks)
    assert [stream.features(1, role) for role in "qkvo"] == [(32, 32)] * 4
    assert stream.features(1, "fc2")[1] == 32


def name_as_in_5_17(encoder: nn.Module) -> None:
    """Give DINOv2's blocks the names, and SwiGLU the fused weights, that they had in transformers 5.17."""
    for layer in encoder.encoder.layer:
        new = layer.attention
        attention = nn.ModuleDict({"query": new.q_proj, "key": new.k_proj, "value": new.v_proj})
        layer.attention = nn.ModuleDict({"attention": attention, "output": nn.ModuleDict({"dense": new.o_proj})})
        if hasattr(layer.mlp, "gate_proj"):
            gate, up = layer.mlp.gate_proj, layer.mlp.up_proj
            fused = nn.Linear(gate.in_features, 2 * gate.out_features, dtype=gate.weight.dtype)
            fused.weight.data = torch.cat([gate.weight, up.weight])
            fused.bias.data = torch.cat([gate.bias, up.bias])
            layer.mlp = nn.ModuleDict({"weights_in": fused, "weights_out": layer.mlp.down_proj})


@pytest.mark.parametrize("kind", ["dinov2", "dinov2-swiglu"])
def test_older_naming(kind, make_stream, make_input):
    stream, x = make_stream(kind), make_input(kind)
    expected = stream(x)
    if hasattr(stream.encoder.encoder.layer[0].attention, "q_proj"):
        name_as_in_5_17(stream.encoder)
    older = Dinov2Stream(stream.encoder, stream.input)
    assert older.linears(1)["q"] == "encoder.layer.1.attention.attention.query"
    torch.testing.assert_close(older(x), expected)


def test_unknown_naming_names_the_version(make_stream):
    stream = make_stream("dinov2")
    stream.encoder.encoder.layer[2].mlp = nn.ModuleDict()
    with pytest.raises(BenchError, match=transformers.__version__):
        Dinov2Stream(stream.encoder, stream.input)


@pytest.mark.parametrize("name", ["hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate"])
def test_dropout_is_refused(name):
    config = Dinov2Config(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, **{name: 0.1})
    with pytest.raises(BenchError, match=name):
        build_stream(config, IMAGE)


def test_unknown_family_is_refused():
    config = ViTConfig()
    config.model_type = "swin"
    with pytest.raises(BenchError, match="swin"):
        build_stream(config, IMAGE)
