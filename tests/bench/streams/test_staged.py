from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_states import Reading
from torch import nn
from transformers import Swinv2Config

from bench.errors import BenchError
from bench.methods.inter_modal_adapter import attach_inter_modal, inter_modal_tensors
from bench.streams.inputs import ImageInput
from bench.streams.load import build_stream, load_stream, save_stream
from bench.streams.lockstep import MultiStream


def images(size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("size", "window", "depths"),
    [
        (32, 4, (2, 2)),  # 16 windows of which half are shifted, then 4
        (32, 5, (2, 2)),  # windows that do not fit: filled up
        (32, 16, (1, 1, 1)),  # one window
        (36, 4, (2, 2, 2)),  # an odd number of places to merge, and another size than the encoder was made for
    ],
)
def test_stages_equal_the_encoders_own_forward(dtype, tolerance, training, size, window, depths, make_swin):
    stream, x = make_swin(size, depths, window, dtype).train(training), images(size, dtype)
    expected = stream.encoder(x).last_hidden_state
    torch.testing.assert_close(stream(x), expected, rtol=tolerance, atol=tolerance)
    rows, columns = stream.grid
    assert expected.shape == (2, rows * columns, stream.width)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(8, 48), window=st.integers(2, 9))
def test_any_size_equals_the_encoders_own_forward(make_swin, size, window):
    stream, x = make_swin(size, (2, 2), window), images(size)
    torch.testing.assert_close(stream(x), stream.encoder(x).last_hidden_state, rtol=1e-11, atol=1e-11)


def test_what_shifting_brings_together_is_kept_apart_as_firmly_as_the_encoder_does():
    """Heads of one feature: products are as large as they can be, the mask must be larger."""
    config = Swinv2Config(image_size=8, patch_size=2, embed_dim=4, depths=[2], num_heads=[4], window_size=2)
    stream = build_stream(config, ImageInput(8, (0.5,) * 3, (0.5,) * 3)).double()
    for block in stream.encoder.encoder.layers[0].blocks:
        block.attention.self.logit_scale.data.fill_(5.0)
    torch.testing.assert_close(stream(images(8)), stream.encoder(images(8)).last_hidden_state, rtol=1e-10, atol=1e-10)


def test_bfloat16_by_autocast(make_swin):
    stream, x = make_swin(dtype=torch.float32), images(32, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        actual = stream(x)
    error = (actual - stream(x)).norm() / stream(x).norm()
    assert error < 0.05


def test_blocks_of_all_stages_are_counted_and_grow_wider(make_swin):
    stream = make_swin(depths=(1, 2, 1))
    assert (stream.depth, stream.width, stream.special) == (4, 64, 0)
    assert [stream.width_at(block) for block in range(4)] == [16, 32, 32, 64]
    assert stream.features(2, "fc1") == (32, 64) and stream.features(3, "q") == (64, 64)
    assert stream.linears(1)["o"] == "encoder.layers.1.blocks.0.attention.output.dense"
    paths = [path for block in range(4) for path in stream.linears(block).values()]
    inside = [
        name
        for name, module in stream.encoder.named_modules()
        if isinstance(module, nn.Linear) and ".blocks." in name and "position_bias" not in name
    ]
    assert sorted(paths) == sorted(inside)


def test_its_summary_is_the_mean_of_all_places(make_swin):
    x = torch.randn(2, 9, 16)
    for kind in ("cls", "mean"):
        torch.testing.assert_close(make_swin().summary(x, kind), x.mean(1))


def test_saved_streams_load_again(make_swin, tmp_path):
    stream, x = make_swin(dtype=torch.float32), images(32, torch.float32)
    save_stream(stream, tmp_path)
    loaded = load_stream(str(tmp_path))
    assert loaded.input == stream.input
    torch.testing.assert_close(loaded(x), stream(x))
    assert load_stream(str(tmp_path), size=48).grid == (12, 12)


def test_drop_path_is_set_to_0(make_swin):
    config = Swinv2Config(image_size=16, embed_dim=8, depths=[2], num_heads=[2], window_size=2)
    assert config.drop_path_rate == 0.1
    stream, x = build_stream(config, ImageInput(16, (0.5,) * 3, (0.5,) * 3)).train(), images(16, torch.float32)
    torch.testing.assert_close(stream(x), stream(x))
    torch.testing.assert_close(stream.encoder(x)[0], stream.encoder(x)[0])
    assert stream.encoder.config.drop_path_rate == 0


def test_what_it_does_not_do_is_refused(make_swin):
    with pytest.raises(BenchError, match="32 x 24 pixels"):
        make_swin()(images(32)[..., :24])
    config = Swinv2Config(image_size=16, embed_dim=8, depths=[1], num_heads=[2], use_absolute_embeddings=True)
    with pytest.raises(BenchError, match="use_absolute_embeddings"):
        build_stream(config, ImageInput(16, (0.5,) * 3, (0.5,) * 3))


def joined(make_swin, make_stream, fused: bool = True) -> MultiStream:
    """SwinV2 of 6 blocks and AST of 3 with inter-modal terms both ways, every parameter of the terms drawn."""
    model = MultiStream({"vision": make_swin(depths=(2, 4)), "audio": make_stream("ast", 3)})
    attach_inter_modal(model, r=3, reduction=2, scale=0.5, fused=fused)
    generator = torch.Generator().manual_seed(5)
    drawn = inter_modal_tensors(model)
    for name in sorted(drawn):
        drawn[name].copy_(torch.randn(drawn[name].shape, generator=generator, dtype=torch.float64) * 0.4)
    return model


def test_blocks_are_paired_with_a_shallower_streams(make_swin, make_stream):
    """Two blocks of SwinV2 for one of AST's, whatever the stages; hypernetworks are as wide as the partner there."""
    model = joined(make_swin, make_stream)
    assert [step["vision"].paired for step in model.schedule] == [1, 3, 5]
    hidden = {
        tuple(name.split(".")[:4]): tensor.shape[1]
        for name, tensor in inter_modal_tensors(model).items()
        if name.endswith("hyper.fc1.weight")
    }
    assert [hidden["audio", str(block), "q", "vision"] for block in range(3)] == [16, 32, 32]
    assert {hidden["vision", block, role, "audio"] for block in "135" for role in ("k", "o", "fc2")} == {32}


def test_both_ways_to_evaluate_the_terms_agree(make_swin, make_stream, make_input):
    inputs = {"vision": images(32), "audio": make_input("ast")}
    fused, plain = (joined(make_swin, make_stream, fused)(inputs) for fused in (True, False))
    by_itself = make_swin(depths=(2, 4))(inputs["vision"])
    assert not torch.isclose(fused["vision"], by_itself).all()
    for name, tokens in fused.items():
        torch.testing.assert_close(tokens, plain[name], rtol=1e-10, atol=1e-10)


def test_gradient_checkpointing_gives_the_same_gradients(make_swin, make_stream, make_input):
    model, inputs = joined(make_swin, make_stream), {"vision": images(32), "audio": make_input("ast")}
    trained = list(model.inter.requires_grad_().parameters())

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(sum(x.square().sum() for x in model(inputs).values()), trained)

    expected = gradients()
    model.gradient_checkpointing = True
    assert all(gradient.any() for gradient in expected)
    for actual, gradient in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(actual, gradient, rtol=1e-10, atol=1e-10)


def test_summaries_are_taken_where_the_paper_says(make_swin, make_stream, make_input, monkeypatch):
    """Of the block's input, of the attention's output before its linear, and of the state after the residual."""
    stream, x = make_swin(depths=(1, 1)), images(32)
    model = MultiStream({"vision": stream, "audio": make_stream("ast", 1)})
    layer, observed = stream.encoder.encoder.layers[1].blocks[0], {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: observed.update(input=args[0])),
        layer.attention.output.dense.register_forward_pre_hook(lambda _, args: observed.update(context=args[0])),
        layer.intermediate.register_forward_pre_hook(lambda _, args: observed.update(state=args[0])),
    ]
    stream.encoder(x)
    for hook in hooks:
        hook.remove()
    original = []
    monkeypatch.setattr(stream, "summary", lambda x, kind, mask: (original.append(x), x[:, 0])[1])
    for stage in ("attend", "project", "feed_forward"):
        model.add_exchange(0, stage, Reading("vision", "audio"))
    model({"vision": x, "audio": make_input("ast")})
    assert [x.shape for x in original] == [(2, 64, 32)] * 3
    torch.testing.assert_close(original[0], observed["input"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(original[2], observed["state"], rtol=1e-12, atol=1e-12)
    # The encoder has the attention's output by windows, in the order of which a mean does not depend.
    means = observed["context"].unflatten(0, (2, -1)).mean((1, 2))
    torch.testing.assert_close(original[1].mean(1), means, rtol=1e-12, atol=1e-12)
