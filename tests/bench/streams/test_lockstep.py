from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.streams.base import chain_evaluators
from bench.streams.lockstep import MultiStream, pair_blocks

KINDS = {"vision": "vit", "audio": "ast", "depth": "dinov2"}


@pytest.mark.parametrize(
    "depths",
    [{"vision": 4, "audio": 2}, {"vision": 2, "audio": 3}, {"vision": 3, "audio": 3, "depth": 5}, {"audio": 2}],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_without_an_inter_modal_path_each_stream_is_its_encoder(depths, checkpointing, make_stream, make_input):
    streams = {name: make_stream(KINDS[name], depth) for name, depth in depths.items()}
    inputs = {name: make_input(KINDS[name]) for name in depths}
    model = MultiStream(streams)
    model.gradient_checkpointing = checkpointing
    outputs = model(inputs)
    assert list(outputs) == list(depths)
    for name, stream in streams.items():
        torch.testing.assert_close(
            outputs[name], stream.encoder(inputs[name]).last_hidden_state, rtol=1e-12, atol=1e-12
        )


def test_a_shallow_block_meets_the_last_of_each_deep_group():
    steps = pair_blocks({"deep": 24, "shallow": 12})
    assert [(step["deep"].paired, step["shallow"].paired) for step in steps] == [(2 * j + 1, j) for j in range(12)]
    assert [step["deep"].unpaired for step in steps] == [range(2 * j, 2 * j + 1) for j in range(12)]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1))
def test_every_block_runs_once_and_in_order(depths):
    steps = pair_blocks(depths)
    assert len(steps) == min(depths.values())
    for name, depth in depths.items():
        order = [block for step in steps for block in (*step[name].unpaired, step[name].paired)]
        assert order == list(range(depth))
        sizes = {len(step[name].unpaired) for step in steps}
        assert max(sizes) - min(sizes) <= 1  # evenly


def test_a_model_begins_frozen(make_stream):
    model = MultiStream({"vision": make_stream("vit")})
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_no_summary_is_taken_that_nobody_reads(make_stream, make_input, monkeypatch):
    stream = make_stream("vit")
    monkeypatch.setattr(stream, "summary", lambda *_: pytest.fail("taken"))
    MultiStream({"vision": stream})({"vision": make_input("vit")})


def test_linears_are_evaluated_by_one_and_then_by_another():
    modules, inputs = {"q": nn.Linear(3, 3), "k": nn.Linear(3, 3)}, []

    def inner(linears, x):
        inputs.append(x)
        return [linear(x) + len(linears) for linear in linears.values()]

    def outer(linears, x):
        return [2 * linears[role](x) + linears[role](-x) for role in linears]

    x = torch.randn(2, 4, 3)
    for actual, linear in zip(chain_evaluators(inner, outer)(modules, x), modules.values(), strict=True):
        assert torch.equal(actual, 2 * (linear(x) + 2) + (linear(-x) + 2))
    assert len(inputs) == 3, "of linears with one input, all are evaluated together"
    with pytest.raises(AttributeError):
        chain_evaluators(inner, lambda linears, x: [linear.weight @ x for linear in linears.values()])(modules, x)
