from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_states import Reading
from torch import nn
from transformers import BertConfig, RobertaConfig

from bench.errors import BenchError
from bench.methods.inter_modal_adapter import attach_inter_modal
from bench.streams.base import Stream
from bench.streams.inputs import ImageInput, TextInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.model import Head, TaskModel

TEXT = TextInput("none")
IMAGE = ImageInput(size=32, mean=(0.5,) * 3, std=(0.5,) * 3)


def token_ids(lengths: list[int], padded: int) -> torch.Tensor:
    """Rows of so many random tokens, then padding."""
    ids = torch.randint(1, 20, (len(lengths), padded), generator=torch.Generator().manual_seed(0))
    return torch.where(torch.arange(padded) < torch.tensor(lengths)[:, None], ids, 0)


def change_padding(stream: Stream) -> None:
    with torch.no_grad():
        stream.encoder.embeddings.word_embeddings.weight[0] *= -5.0


rows = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(lengths=rows, spare=st.integers(0, 5), depth=st.integers(1, 3), heads=st.sampled_from([1, 2, 3]))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
def test_stages_equal_the_encoders_own_forward(
    make_text_stream, dtype, tolerance, training, lengths, spare, depth, heads
):
    stream = make_text_stream(TEXT, depth, dtype, num_attention_heads=heads).train(training)
    ids = token_ids(lengths, max(lengths) + spare)
    expected = stream.encoder(ids, attention_mask=(ids != 0).long()).last_hidden_state
    torch.testing.assert_close(stream(ids), expected, rtol=tolerance, atol=tolerance)


def roberta(dtype: torch.dtype = torch.float64, input: TextInput = TEXT) -> Stream:
    """Make a small RoBERTa: padding has the id 1, so 43 of 45 positions remain."""
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40, "num_hidden_layers": 2}
    stream = build_stream(RobertaConfig(vocab_size=20, max_position_embeddings=45, **sizes), input).to(dtype)
    generator = torch.Generator().manual_seed(3)
    for parameter in stream.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=dtype) * 0.2
    return stream


@settings(max_examples=15, deadline=None)
@given(lengths=rows, spare=st.integers(0, 5))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
def test_roberta_equals_its_own_forward(dtype, tolerance, training, lengths, spare):
    stream, ids = roberta(dtype).train(training), token_ids(lengths, max(lengths) + spare)
    ids = torch.where(ids == 0, 1, torch.where(ids == 1, 2, ids))
    mask = stream.mask(ids)
    assert mask.sum(1).tolist() == lengths
    expected = stream.encoder(ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(stream(ids), expected, rtol=tolerance, atol=tolerance)


def test_roberta_has_fewer_positions_than_embeddings():
    longest = TextInput("none", length=43)
    ids = torch.full((1, 43), 5)
    assert roberta(input=longest)(ids).shape == (1, 43, 24)
    with pytest.raises(BenchError, match="texts of 44 tokens exceed the positions of RobertaModel: set a length of 43"):
        roberta(input=TextInput("none", length=44))


def test_the_mask_is_true_where_a_token_is_real(make_text_stream, make_stream, make_input):
    stream = make_text_stream(TEXT)
    assert stream.mask(token_ids([2, 4], 4)).tolist() == [[True, True, False, False], [True] * 4]
    vision = make_stream("vit")
    assert vision.mask(make_input("vit")) is None
    inputs = {"vision": make_input("vit"), "text": token_ids([2, 4], 4)}
    assert list(MultiStream({"vision": vision, "text": stream}).masks(inputs)) == ["text"]


def test_summaries_leave_padding_out(make_text_stream):
    stream, x = make_text_stream(TEXT), torch.randn(2, 4, 24, dtype=torch.float64)
    mask = stream.mask(token_ids([2, 4], 4))
    torch.testing.assert_close(stream.summary(x, "mean", mask), torch.stack([x[0, :2].mean(0), x[1].mean(0)]))
    assert torch.equal(stream.summary(x, "cls", mask), x[:, 0])


@settings(max_examples=20, deadline=None)
@given(lengths=rows, spare=st.integers(1, 5))
def test_what_padding_holds_does_not_matter(make_text_stream, lengths, spare):
    stream, ids = make_text_stream(TEXT), token_ids(lengths, max(lengths) + spare)
    mask = stream.mask(ids)
    initial = stream(ids)
    change_padding(stream)
    final = stream(ids)
    assert not torch.isclose(final[~mask], initial[~mask]).all()
    torch.testing.assert_close(final[mask], initial[mask], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(stream.summary(final, "mean", mask), stream.summary(initial, "mean", mask))
    shorter = ids[:, : max(lengths)]
    torch.testing.assert_close(stream(shorter)[mask[:, : max(lengths)]], initial[mask], rtol=1e-12, atol=1e-12)


def joined(make_stream, make_text_stream, summary: str, depths: tuple[int, int] = (3, 2)) -> MultiStream:
    """Vision and text with inter-modal terms both ways, every parameter drawn, the terms trained."""
    streams = {"vision": make_stream("vit", depths[0]), "text": make_text_stream(TEXT, depths[1])}
    model = MultiStream(streams, summary)
    attach_inter_modal(model, r=3, reduction=4, scale=0.5)
    generator = torch.Generator().manual_seed(5)
    for parameter in model.inter.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4
    return model


@pytest.mark.parametrize("summary", ["cls", "mean"])
@pytest.mark.parametrize("depths", [(3, 2), (1, 3)])
def test_padding_does_not_reach_the_partner(make_stream, make_text_stream, make_input, summary, depths):
    model = joined(make_stream, make_text_stream, summary, depths)
    vision, ids = make_input("vit"), token_ids([3, 6], 7)
    expected = model({"vision": vision, "text": ids})
    longer = torch.cat([ids, torch.zeros(2, 6, dtype=ids.dtype)], dim=1)
    change_padding(model.streams["text"])
    actual = model({"vision": vision, "text": longer})
    torch.testing.assert_close(actual["vision"], expected["vision"], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(actual["text"][:, :7][ids != 0], expected["text"][ids != 0], rtol=1e-11, atol=1e-11)
    second = model({"vision": vision, "text": torch.where(ids == ids[0, 1], ids % 19 + 1, ids)})
    assert not torch.isclose(second["vision"], expected["vision"]).all()


def test_summaries_are_taken_where_the_paper_says(make_stream, make_text_stream, make_input, monkeypatch):
    """Of the block's input, of the attention's output before its linear, and of the state after the first norm."""
    model = MultiStream({"vision": make_stream("vit", 1), "text": make_text_stream(TEXT, 1)}, "mean")
    stream, ids = model.streams["text"], token_ids([3, 6], 7)
    layer, observed = stream.encoder.encoder.layer[0], {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: observed.update(input=args[0])),
        layer.attention.output.dense.register_forward_pre_hook(lambda _, args: observed.update(context=args[0])),
        layer.attention.output.LayerNorm.register_forward_hook(lambda _, args, output: observed.update(state=output)),
    ]
    stream.encoder(ids, attention_mask=(ids != 0).long())
    for hook in hooks:
        hook.remove()
    original = []
    monkeypatch.setattr(stream, "summary", lambda x, kind, mask: (original.append((x, mask)), x[:, 0])[1])
    for stage in ("attend", "project", "feed_forward"):
        model.add_exchange(0, stage, Reading("text", "vision"))
    model({"vision": make_input("vit"), "text": ids})
    assert len(original) == 3
    for (x, mask), expected in zip(original, (observed["input"], observed["context"], observed["state"]), strict=True):
        torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(mask, ids != 0)


@pytest.mark.parametrize("summary", ["cls", "mean"])
def test_gradient_checkpointing_gives_the_same_gradients(make_stream, make_text_stream, make_input, summary):
    model = joined(make_stream, make_text_stream, summary)
    inputs = {"vision": make_input("vit"), "text": token_ids([3, 6], 7)}
    trained = list(model.inter.parameters())

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(sum(x.square().sum() for x in model(inputs).values()), trained)

    expected = gradients()
    model.gradient_checkpointing = True
    assert all(gradient.any() for gradient in expected)
    for actual, gradient in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(actual, gradient, rtol=1e-12, atol=1e-12)


def test_the_head_is_told_of_padding(make_stream, make_text_stream):
    class Words(Head):
        def forward(self, states, masks):
            assert list(masks) == ["text"]
            return masks["text"].sum(1)

    model = TaskModel(MultiStream({"vision": make_stream("vit"), "text": make_text_stream(TEXT)}), Words())
    batch = {"vision": torch.zeros(2, 2, 3, 32, 32).double(), "text": token_ids([3, 1, 2, 4], 5).view(2, 2, 5)}
    assert model(batch).tolist() == [[3, 1], [2, 4]]


def test_dropout_is_set_to_0():
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 40, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=20, **sizes)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.1
    stream, ids = build_stream(config, TEXT).train(), token_ids([3], 5)
    torch.testing.assert_close(stream(ids), stream(ids))
    assert all(module.p == 0 for module in stream.modules() if isinstance(module, nn.Dropout))
    assert stream.encoder.config.hidden_dropout_prob == stream.encoder.config.attention_probs_dropout_prob == 0


def test_linears_are_those_of_the_blocks(make_text_stream):
    stream = make_text_stream(TEXT, depth=2)
    paths = [path for block in range(2) for path in stream.linears(block).values()]
    assert sorted(paths) == sorted(name for name, m in stream.encoder.named_modules() if isinstance(m, nn.Linear))
    assert list(stream.linears(0)) == ["q", "k", "v", "o", "fc1", "fc2"]
    assert [stream.features(1, role) for role in ("q", "o", "fc1", "fc2")] == [(24, 24), (24, 24), (24, 40), (40, 24)]


def test_what_does_not_go_together_is_refused(make_text_stream):
    with pytest.raises(BenchError, match="texts of 49 tokens"):
        make_text_stream(TextInput("none", length=49))
    with pytest.raises(BenchError, match="needs an input of text"):
        make_text_stream(IMAGE)
    with pytest.raises(BenchError, match="pad_token_id"):
        make_text_stream(TEXT, pad_token_id=None)
    with pytest.raises(BenchError, match="no grid"):
        _ = make_text_stream(TEXT).grid
