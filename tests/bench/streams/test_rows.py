"""Streams with a row for each frame of a sample beside streams with one for the sample."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from bench.conformance.models import THREE, loss, perturb, tiny_inputs, tiny_model
from bench.errors import BenchError
from bench.methods.cola import CoLA
from bench.methods.dg_sct import DGSCT
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lavish import LAVISH
from bench.streams.additions import Exchange, StreamState, SublayerAdapter
from bench.streams.base import summarize
from bench.tasks.heads import PooledOverInputs
from bench.tasks.model import Head, TaskModel

FRAMES, SAMPLES = 3, 2
METHODS = {
    "cola": CoLA(r=2, reduction=4),
    "cola shared": CoLA(r=2, reduction=4, shared=True, summary="mean"),
    "lavish": LAVISH(bottleneck=4),
    "dg-sct": DGSCT(bottleneck=4, gates=4),
}


def inputs_of(model, texts: int = 1):
    """Return the inputs of two samples of three frames with `texts` equal texts each."""
    inputs = tiny_inputs(model, FRAMES * SAMPLES)
    return {**inputs, "text": inputs["text"][:SAMPLES].repeat_interleave(texts, 0)}


def attached(method):
    model = tiny_model(THREE, torch.float64)
    torch.manual_seed(0)
    method.attach(model)
    model.double()
    perturb(model)
    return model.eval()


def state(rows: int, frames: int, class_token: int | None = 0) -> StreamState:
    generator = torch.Generator().manual_seed(rows)
    stream = SimpleNamespace(
        summary=lambda x_BTD, kind, mask_BT: summarize(x_BTD, class_token if kind == "cls" else None, mask_BT)
    )
    mask = torch.arange(4) < torch.arange(rows)[:, None] % 4 + 1
    return StreamState(stream, torch.randn(rows, 4, 5, generator=generator), mask, frames, "cls")


def test_a_state_with_the_rows_of_its_reader_is_itself():
    shared = state(6, 3)
    assert shared.aligned(6) is shared


def test_rows_are_repeated_for_a_reader_with_frames():
    text = state(2, 1)
    read = text.aligned(6)
    rows = [0, 0, 0, 1, 1, 1]
    assert read.frames == 3
    assert torch.equal(read.tokens, text.tokens[rows])
    assert torch.equal(read.mask, text.mask[rows])
    for kind in ("cls", "mean", None):
        assert torch.equal(read.summary(kind), text.summary(kind)[rows])
    assert text.aligned(6) is read


def test_rows_of_a_sample_are_joined_for_a_reader_of_the_sample():
    vision = state(6, 3)
    read = vision.aligned(2)
    assert read.frames == 1
    for sample in range(2):
        rows = slice(3 * sample, 3 * sample + 3)
        assert torch.equal(read.tokens[sample], torch.cat([*vision.tokens[rows]]))
        assert torch.equal(read.mask[sample], torch.cat([*vision.mask[rows]]))
        for kind in ("cls", "mean", None):
            assert_close(read.summary(kind)[sample], vision.summary(kind)[rows].mean(0))


def test_a_state_without_padding_has_none_in_other_rows():
    vision = StreamState(None, torch.zeros(4, 2, 3), None, 2, "cls")
    assert vision.aligned(2).mask is None and vision.aligned(8).mask is None


@pytest.mark.parametrize("name", METHODS)
def test_one_text_is_read_like_as_many_equal_ones(name):
    """If the text reads nothing, so that its states do not depend on the number of its rows."""
    method = METHODS[name]
    if isinstance(method, CoLA):
        method = replace(method, paths=("text>vision", "text>audio", "audio>vision"))
    model = attached(method)
    if "text" in model.adapters:
        del model.adapters["text"]
    actual, expected = (model(inputs_of(model, texts), frames=FRAMES) for texts in (1, FRAMES))
    for stream in ("vision", "audio"):
        assert_close(actual[stream], expected[stream], rtol=1e-9, atol=1e-9)
    assert len(actual["text"]) == SAMPLES


def test_a_text_reads_the_mean_of_the_frames_summaries():
    """CoLA's term of the first block of text, from the mean over frames of what the other streams begin with."""
    model = attached(CoLA(r=2, reduction=4, paths=("vision>text",), linears="attention"))
    inputs = inputs_of(model)
    exchange = model.inter["0"]["attend"][0]
    read = []
    exchange.evaluators = lambda summaries: read.append(summaries) or {}
    model(inputs, frames=FRAMES)
    vision = model.streams["vision"]
    x = vision.run(model.schedule[0]["vision"].unpaired, vision.embed(inputs["vision"]))
    assert_close(read[0]["text"]["vision"], x[:, 0].unflatten(0, (SAMPLES, FRAMES)).mean(1))


class PlainCoLA(CoLA):
    fused = False


@pytest.mark.parametrize("settings", [{}, {"shared": True}, {"joint": True}, {"summary": "mean"}], ids=str)
def test_targets_with_several_numbers_of_rows_are_served_at_once_as_one_by_one(settings):
    """The fused form computes the hypernetworks of all targets in one product, the plain one each by itself."""
    fused, plain = (attached(kind(r=2, reduction=4, **settings)) for kind in (CoLA, PlainCoLA))
    plain.load_state_dict(fused.state_dict(), strict=False)  # all but the terms, whose parameters are stacked
    values = {name: tensor.clone() for name, tensor in inter_modal_tensors(fused).items()}
    for name, tensor in inter_modal_tensors(plain).items():
        tensor.copy_(values[name])
    outputs = [model(inputs_of(model), frames=FRAMES) for model in (fused, plain)]
    assert_close(*outputs, rtol=1e-9, atol=1e-9)
    for model, output in zip((fused, plain), outputs, strict=True):
        loss(output).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter -= parameter.grad  # so that the changes of the terms are their gradients
    changes = [
        {name: tensor - values[name] for name, tensor in inter_modal_tensors(model).items()} for model in (fused, plain)
    ]
    assert all(change.any() for change in changes[0].values())
    assert_close(*changes, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_checkpointing_gives_the_same_gradients(name):
    gradients = []
    for checkpointing in (False, True):
        model = attached(METHODS[name])
        model.gradient_checkpointing = checkpointing
        loss(model(inputs_of(model), frames=FRAMES)).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert_close(*gradients, rtol=1e-10, atol=1e-10)


class Counting(Exchange):
    """Every stream reads every other one; counts its calls, and notes the rows it gets."""

    def __init__(self):
        super().__init__()
        self.paths = frozenset((source, target) for source in THREE for target in THREE if source != target)
        self.rows = []

    def read(self, states):
        self.rows.append({len(state.summary()) for state in states.values()})
        return {}


def test_an_exchange_is_read_once_for_each_number_of_rows():
    model = tiny_model(THREE)
    exchange = Counting()
    model.add_exchange(0, "attend", exchange)
    model(inputs_of(model, FRAMES), frames=FRAMES)
    assert exchange.rows == [{6}]
    exchange.rows.clear()
    model(inputs_of(model), frames=FRAMES)
    assert exchange.rows == [{6}, {2}]


class Frames(SublayerAdapter):
    def __init__(self):
        super().__init__()
        self.reads = frozenset(THREE)
        self.calls = []

    def after(self, x_BTD, y_BTD, states):
        self.calls.append({name: (len(state.tokens), state.frames) for name, state in states.items()})
        return y_BTD


def test_adapters_get_states_in_their_own_rows():
    model = tiny_model(THREE)
    adapters = {name: Frames() for name in THREE}
    for name, adapter in adapters.items():
        model.add_adapter(name, model.schedule[0][name].paired, "attention", adapter)
    model(inputs_of(model), frames=FRAMES)
    assert adapters["vision"].calls == adapters["audio"].calls == [dict.fromkeys(THREE, (6, 3))]
    assert adapters["text"].calls == [dict.fromkeys(THREE, (2, 1))]


@pytest.mark.parametrize("texts", [1, 4, 5])
def test_numbers_of_inputs_that_do_not_fit_are_refused(texts):
    model = tiny_model(THREE)
    inputs = tiny_inputs(model, FRAMES * SAMPLES)
    message = f"do not fit together: vision 6, audio 6, text {texts}; with 3 for each sample, a stream has 6, or one"
    with pytest.raises(BenchError, match=re.escape(message)):
        model({**inputs, "text": inputs["text"][:texts]}, frames=FRAMES)


class Rows(Head):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, states, masks):
        return self.scale * torch.stack([states["vision"][:, 0, 0], states["text"][:, 0, 0], masks["text"].sum(1)], 1)


def test_a_head_gets_the_text_with_each_frame_or_once_if_it_pools():
    model = tiny_model(THREE)
    flat = inputs_of(model)
    batch = {name: x.unflatten(0, (SAMPLES, -1)) for name, x in flat.items()}
    for stream in model.streams.values():
        stream.input = SimpleNamespace(normalize=lambda x: x)
    states = model(flat, frames=FRAMES)
    output = TaskModel(model, Rows())(batch)
    assert output.shape == (SAMPLES, FRAMES, 3)
    assert_close(output[..., 0].flatten(), states["vision"][:, 0, 0])
    assert_close(output[..., 1], states["text"][:, None, 0, 0].expand(-1, FRAMES))
    assert_close(output[..., 2], model.masks(flat)["text"].sum(1).float()[:, None].expand(-1, FRAMES))
    pooled = TaskModel(model, PooledOverInputs({name: s.width for name, s in model.streams.items()}, 4, 2))
    repeated = {**batch, "text": batch["text"].expand(-1, FRAMES, -1)}
    assert_close(pooled(batch), pooled(repeated))
