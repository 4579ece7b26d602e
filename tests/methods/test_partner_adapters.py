"""LAVISH and DG-SCT against their equations, computed token by token."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bench.conformance.models import THREE, TWO, perturb, randomize, tiny_inputs, tiny_model
from bench.methods.dg_sct import DGSCT
from bench.methods.lavish import LAVISH
from bench.methods.partner_adapters import CHANNEL, FRAME, TOKEN, DGSCTAdapter, LavishAdapter
from bench.streams.additions import StreamState

WIDTHS = {"text": 12}


def state(tokens, mask=None, frames=1) -> StreamState:
    return StreamState(None, tokens, mask, frames, "cls")


def drawn(cls, **sizes):
    adapter = cls("vision", 8, WIDTHS, hidden=5, tokens=2, **sizes).double()
    randomize(adapter)
    return adapter


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randn(4, 6, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    c = torch.randn(4, 5, 12, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[3], [5], [2], [4]])
    return x, y, c, mask


def read(fusion, x_D, tokens):
    """Return g_av softmax(x S^T) S of one token, given the partner's real tokens."""
    mapped = [fusion.project(token) for token in tokens]
    summaries = []
    for latent in fusion.latent:
        weights = torch.stack([latent @ token for token in mapped]).softmax(0)
        summaries.append(latent + sum(w * token for w, token in zip(weights, mapped, strict=True)))
    weights = torch.stack([x_D @ summary for summary in summaries]).softmax(0)
    return fusion.gate * sum(w * summary for w, summary in zip(weights, summaries, strict=True))


def bottleneck(adapter, x_D):
    hidden = (adapter.down.weight @ adapter.norm_before(x_D)).clamp(min=0)
    return adapter.gate * adapter.norm_after(adapter.up.weight @ hidden)


def test_lavish_is_its_equation(data):
    x, y, c, mask = data
    adapter = drawn(LavishAdapter)
    actual = adapter.after(x, y, {"vision": state(x), "text": state(c, mask)})
    for b in range(4):
        tokens = [c[b, n] for n in range(5) if mask[b, n]]
        for t in range(6):
            mixed = x[b, t] + read(adapter.fusions["text"], x[b, t], tokens)
            torch.testing.assert_close(actual[b, t], y[b, t] + bottleneck(adapter, mixed))


def test_dg_sct_is_its_equation(data):
    """Two videos of two frames; the last token of the stream is an added one, which the channel gate does not read."""
    x, y, c, mask = data
    adapter = drawn(DGSCTAdapter, gates=3)
    gates = adapter.gatings["text"]
    states = {"vision": state(x[:, :-1], frames=2), "text": state(c, mask, frames=2)}
    actual = adapter.after(x, y, states)
    for video in range(2):
        hidden = None
        for b in (2 * video, 2 * video + 1):
            tokens = [c[b, n] for n in range(5) if mask[b, n]]
            u = sum(tokens) / len(tokens)
            mixed = [x_D + read(adapter.fusions["text"], x_D, tokens) for x_D in x[b]]
            queries = [gates.channel_query(x_D).relu() for x_D in mixed[:-1]]
            q = sum(queries) / len(queries) * gates.channel_guide(u).relu()
            channel = gates.channel_gate(gates.channel_hidden(q).relu()).sigmoid()
            step = gates.frame_input(u) + (0 if hidden is None else gates.frame_state(hidden))
            hidden = step.tanh()
            frame = 1 + FRAME * gates.frame_gate(hidden).sigmoid()
            for t, x_D in enumerate(mixed):
                query = gates.token_query((channel + 1) * x_D).relu() * gates.token_guide(u).relu()
                token = gates.token_gate(query).sigmoid()
                gated = (CHANNEL * channel + TOKEN * token + 1 - CHANNEL) * x_D
                torch.testing.assert_close(actual[b, t], y[b, t] + frame * bottleneck(adapter, gated))


@pytest.mark.parametrize("method", [LAVISH(bottleneck=4), DGSCT(bottleneck=4, gates=6)], ids=["lavish", "dg-sct"])
def test_each_stream_reads_every_partner_in_paired_blocks(method):
    model = tiny_model(THREE)
    method.attach(model)
    perturb(model)
    inputs = tiny_inputs(model)
    expected = model(inputs)
    for name in model.streams:
        changed = model({**inputs, name: tiny_inputs(model, seed=2)[name]})
        for stream, tokens in changed.items():
            assert not torch.isclose(tokens, expected[stream]).all(), f"{stream} does not read {name}"
    assert {(name, int(block)) for name, blocks in model.adapters.items() for block, _ in blocks.named_children()} == {
        (name, turn.paired) for step in model.schedule for name, turn in step.items()
    }


def test_the_temporal_gate_reads_the_frames_before_and_no_other_video():
    model = tiny_model(TWO, torch.float64)
    DGSCT(bottleneck=4, gates=6).attach(model)
    model.double()
    perturb(model)
    inputs = tiny_inputs(model, batch=4)
    changed = {**inputs, "audio": inputs["audio"].clone()}
    changed["audio"][0] += 1
    outputs, of_images = (model(inputs, frames=frames)["vision"] for frames in (2, 1))
    with_change = model(changed, frames=2)["vision"]
    assert not torch.isclose(with_change[1], outputs[1]).all(), "the second frame of the same video"
    torch.testing.assert_close(with_change[2:], outputs[2:], rtol=1e-12, atol=1e-12)
    assert not torch.isclose(of_images[1], outputs[1]).all()
    torch.testing.assert_close(model(changed, frames=1)["vision"][1:], of_images[1:], rtol=1e-12, atol=1e-12)


def test_a_partner_of_equal_width_is_read_without_a_projection():
    adapter = LavishAdapter("vision", 8, {"depth": 8}, hidden=5, tokens=2)
    assert not list(adapter.fusions["depth"].project.parameters())
    assert F.mse_loss(adapter.gate, torch.zeros(1)) == 0


@pytest.mark.parametrize("method", [LAVISH(bottleneck=4), DGSCT(bottleneck=4, gates=6)], ids=["lavish", "dg-sct"])
def test_a_stream_without_partners_has_the_bottleneck_alone(method):
    model = tiny_model({"vision": 2})
    inputs = tiny_inputs(model)
    expected = model(inputs)["vision"]
    method.attach(model)
    torch.testing.assert_close(model(inputs)["vision"], expected)
    perturb(model)
    assert not torch.isclose(model(inputs)["vision"], expected).all()
