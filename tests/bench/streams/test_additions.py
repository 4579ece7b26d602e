"""What methods add to streams: adapters around sublayers, tokens, and exchanges that read all tokens of a partner."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.errors import BenchError
from bench.streams.additions import AddedTokens, Exchange, SublayerAdapter
from bench.streams.inputs import TextInput
from bench.streams.lockstep import MultiStream

TEXT = TextInput("", 16)
IDS = torch.tensor([[2, 5, 7, 9, 3, 0, 0], [2, 8, 3, 0, 0, 0, 0]])
DEPTHS = {"vision": 4, "text": 2}


@pytest.fixture
def model(make_stream, make_text_stream):
    return MultiStream({"vision": make_stream("vit", 4), "text": make_text_stream(TEXT, 2)})


@pytest.fixture
def inputs(make_input):
    return {"vision": make_input("vit"), "text": IDS}


class Prompts(AddedTokens):
    """Prompts of the first block that stay (shallow), or that are replaced in each block (deep)."""

    def __init__(self, count: int, width: int, depth: int = 1):
        super().__init__()
        self.count = count
        self.values = nn.Parameter(torch.randn(depth, count, width, dtype=torch.float64))

    def forward(self, block, previous_BPD):
        if block < len(self.values):
            return self.values[block]
        return previous_BPD


def test_prompts_take_part_in_every_block_and_are_dropped(make_stream, make_input):
    """Against the encoder's own blocks, between whose inputs the prompts are put by hand."""
    stream, images = make_stream("vit", 3), make_input("vit")
    model = MultiStream({"vision": stream})
    prompts = Prompts(2, stream.width)
    model.add_tokens("vision", prompts)
    x = torch.cat([stream.embed(images), prompts.values[0].expand(2, -1, -1)], dim=1)
    for layer in stream.encoder.layers:
        x = layer(x)
    expected = stream.encoder.layernorm(x)[:, :-2]
    torch.testing.assert_close(model({"vision": images})["vision"], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(stream(images), expected, rtol=1e-12, atol=1e-12)


def test_deep_prompts_replace_those_of_the_block_before(make_stream, make_input):
    stream, images = make_stream("vit", 3), make_input("vit")
    prompts = Prompts(2, stream.width, depth=2)
    MultiStream({"vision": stream}).add_tokens("vision", prompts)
    x = stream.embed(images)
    for block, layer in enumerate(stream.encoder.layers):
        tokens = x[:, : 1 + stream.grid[0] * stream.grid[1]]
        added = prompts.values[block].expand(2, -1, -1) if block < 2 else x[:, tokens.shape[1] :]
        x = layer(torch.cat([tokens, added], dim=1))
    expected = stream.encoder.layernorm(x)[:, :-2]
    torch.testing.assert_close(stream(images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov3", "dinov3-gated", "ast"])
def test_prompts_that_no_token_attends_to_change_nothing(kind, make_stream, make_input, monkeypatch):
    """Positions, registers and the special tokens stay where they were."""
    stream, images = make_stream(kind), make_input(kind)
    expected = stream(images)
    MultiStream({"vision": stream}).add_tokens("vision", Prompts(3, stream.width))
    attend = stream.attend
    count = expected.shape[1]

    def blind(block, x_BTD, evaluator=None, mask_BT=None):
        mask_BT = torch.ones(x_BTD.shape[:2], dtype=torch.bool)
        mask_BT[:, count:] = False
        return attend(block, x_BTD, evaluator, mask_BT)

    monkeypatch.setattr(stream, "attend", blind)
    torch.testing.assert_close(stream(images), expected, rtol=1e-12, atol=1e-12)


def test_prompts_stand_after_padding_and_keep_the_mask(model, inputs):
    expected, masks = model(inputs), model.masks(inputs)
    model.add_tokens("text", Prompts(3, model.streams["text"].width))
    actual = model(inputs)
    assert {name: tokens.shape for name, tokens in actual.items()} == {
        name: tokens.shape for name, tokens in expected.items()
    }
    assert torch.equal(model.masks(inputs)["text"], masks["text"])
    assert not torch.isclose(actual["text"], expected["text"]).all()
    shorter = {**inputs, "text": IDS[:, :5]}  # without any padding in the first text
    torch.testing.assert_close(model(shorter)["text"][0], actual["text"][0, :5], rtol=1e-12, atol=1e-12)


def test_a_family_without_room_for_tokens_refuses_them(make_swin):
    model = MultiStream({"vision": make_swin()})
    with pytest.raises(BenchError, match="swinv2 accept no added tokens"):
        model.add_tokens("vision", Prompts(2, 16))


class Recorder(SublayerAdapter):
    """Doubles what the sublayer reads, adds 1 to what it returns, and records the states."""

    def __init__(self, reads=()):
        super().__init__()
        self.reads = frozenset(reads)
        self.calls = []

    def before(self, x_BTD, states):
        self.calls.append({name: (state.tokens, state.mask, state.frames) for name, state in states.items()})
        return 2 * x_BTD

    def after(self, x_BTD, y_BTD, states):
        self.calls.append({name: (state.tokens, state.mask, state.frames) for name, state in states.items()})
        return y_BTD + 1


@pytest.mark.parametrize("sublayer", ["attention", "feed_forward"])
def test_an_adapter_stands_before_and_after_its_sublayer(sublayer, model, inputs):
    vision, text = model.streams.values()
    for name, stream in model.streams.items():
        for block in range(stream.depth):
            model.add_adapter(name, block, sublayer, Recorder())
    outputs = model(inputs)
    x = vision.embed(inputs["vision"])
    for layer in vision.encoder.layers:
        first, second = (2, 1) if sublayer == "attention" else (1, 2)
        x = first * x + layer.attention(layer.layernorm_before(first * x))[0] + (first - 1)
        x = second * x + layer.mlp(layer.layernorm_after(second * x)) + (second - 1)
    torch.testing.assert_close(outputs["vision"], vision.encoder.layernorm(x), rtol=1e-12, atol=1e-12)
    x, mask = text.embed(IDS), text.mask(IDS)
    for block, layer in enumerate(text.encoder.encoder.layer):
        first, second = (2, 1) if sublayer == "attention" else (1, 2)
        output = layer.attention.output
        x = output.LayerNorm(first * x + output.dense(text.attend(block, first * x, None, mask)) + (first - 1))
        y = layer.output.dense(layer.intermediate(second * x))
        x = layer.output.LayerNorm(second * x + y + (second - 1))
    torch.testing.assert_close(outputs["text"], x, rtol=1e-12, atol=1e-12)


def test_an_adapter_reads_all_tokens_of_its_partner_their_mask_and_the_frames(model, inputs):
    """What `after` reads has been through the partner's `before`; what `before` reads has not."""
    adapter, partner = Recorder(reads=["text", "vision"]), Recorder()
    model.add_adapter("vision", 1, "attention", adapter)
    model.add_adapter("text", 0, "attention", partner)
    model.add_tokens("text", Prompts(2, model.streams["text"].width))
    model(inputs, frames=2)
    initial = model.streams["text"].embed(IDS)
    for call, factor in zip(adapter.calls, (1, 2), strict=True):
        tokens, mask, frames = call["text"]
        torch.testing.assert_close(tokens, factor * initial)
        assert torch.equal(mask, IDS != 0)
        assert frames == 2
        assert call["vision"][1] is None


def test_adapters_are_chained_and_checkpointing_gives_the_same_gradients(model, inputs):
    class Scale(SublayerAdapter):
        def __init__(self, value, reads=()):
            super().__init__()
            self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))
            self.reads = frozenset(reads)

        def after(self, x_BTD, y_BTD, states):
            return self.value * y_BTD + sum(state.summary("mean").mean() for state in states.values())

    scales = [Scale(0.5), Scale(3.0, ["text"]), Scale(2.0, ["vision"])]
    model.add_adapter("vision", 1, "feed_forward", scales[0])
    model.add_adapter("vision", 1, "feed_forward", scales[1])
    model.add_adapter("text", 1, "attention", scales[2])
    values = [scale.value for scale in scales]

    def gradients():
        return torch.autograd.grad(sum(x.square().sum() for x in model(inputs).values()), values)

    expected = gradients()
    assert all(gradient.any() for gradient in expected)
    model.gradient_checkpointing = True
    for actual, gradient in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(actual, gradient, rtol=1e-10, atol=1e-10)


class Attending(Exchange):
    """Adds the mean of the partner's real tokens to the queries: it reads tokens and mask itself, in one stage."""

    paths = frozenset({("text", "vision")})

    def read(self, states):
        state = states["text"]
        term_BD = (state.tokens * state.mask[..., None]).sum(1) / state.mask.sum(1, keepdim=True)

        def evaluate(modules, x_BTI):
            return [m(x_BTI) + term_BD.mean(1)[:, None, None] * (role == "q") for role, m in modules.items()]

        return {"vision": evaluate}


@pytest.mark.parametrize("stage", ["attend", "project", "feed_forward"])
def test_an_exchange_may_take_part_in_one_stage_and_read_tokens(stage, model, inputs):
    expected = model(inputs)
    model.add_exchange(1, stage, Attending())
    actual = model(inputs)
    torch.testing.assert_close(actual["text"], expected["text"])
    assert torch.isclose(actual["vision"], expected["vision"]).all() == (stage != "attend")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda m: m.add_exchange(2, "attend", Attending()), "no step 2: they are numbered from 0 to 1"),
        (lambda m: m.add_exchange(0, "atend", Attending()), "no stage atend: .*attend"),
        (lambda m: m.add_adapter("visoin", 0, "attention", Recorder()), "no stream visoin: .*vision"),
        (lambda m: m.add_adapter("text", 2, "attention", Recorder()), "no block 2"),
        (lambda m: m.add_adapter("text", 0, "mlp", Recorder()), "no sublayer mlp"),
        (lambda m: m.add_adapter("text", 0, "attention", Recorder(["audio"])), "no stream audio"),
        (lambda m: m.add_adapter("vision", 0, "attention", Recorder(["text"])), "cannot read text in block 0.*1, 3"),
        (lambda m: m.add_tokens("audio", Prompts(1, 24)), "no stream audio"),
    ],
)
def test_what_cannot_be_added_is_refused_by_name(add, message, model):
    with pytest.raises(BenchError, match=message):
        add(model)


def test_an_adapter_may_read_its_own_stream_in_an_unpaired_block(model, inputs):
    adapter = Recorder(["vision"])
    model.add_adapter("vision", 0, "attention", adapter)
    model(inputs)
    assert len(adapter.calls) == 2


class Returns(SublayerAdapter):
    """An adapter whose methods return what they are told to."""

    def __init__(self, **functions):
        super().__init__()
        for name, function in functions.items():
            setattr(self, name, function)


@pytest.mark.parametrize("member", ["before", "after"])
@pytest.mark.parametrize(
    ("change", "returned"),
    [
        (lambda x_BTD: None, "None"),
        (lambda x_BTD: x_BTD[:, 1:], r"a tensor \(2, \d+, 32\)"),
        (lambda x_BTD: x_BTD[..., :1], r"a tensor \(2, \d+, 1\)"),  # which would be broadcast
        (lambda x_BTD: x_BTD[:1], r"a tensor \(1, \d+, 32\)"),
    ],
)
def test_an_adapter_returns_a_state_of_the_same_shape(member, change, returned, model, inputs):
    model.add_adapter("vision", 0, "attention", Returns(**{member: lambda x_BTD, *_: change(x_BTD)}))
    with pytest.raises(
        BenchError, match=rf"Returns\.{member} returned {returned}: a tensor \(2, \d+, 32\) was expected"
    ):
        model(inputs)


@pytest.mark.parametrize(
    ("tokens", "returned"),
    [(None, "None"), (torch.ones(6, 32), r"a tensor \(6, 32\)"), (torch.ones(3, 3, 32), r"a tensor \(3, 3, 32\)")],
)
def test_tokens_are_as_many_as_they_say(tokens, returned, model, inputs):
    class Fixed(AddedTokens):
        count = 3

        def forward(self, block, previous_BPD):
            return tokens

    model.add_tokens("vision", Fixed())
    expected = r"a tensor \(3, 32\) or \(1, 3, 32\) or \(2, 3, 32\) was expected"
    with pytest.raises(BenchError, match=rf"Fixed\.forward returned {returned}: {expected}"):
        model(inputs)


class Evaluates(Exchange):
    """An exchange whose `read` returns what it is told to."""

    paths = frozenset({("text", "vision")})

    def __init__(self, value):
        super().__init__()
        self.value = value

    def read(self, states):
        return self.value


def applied(change):
    return {"vision": lambda linears, x_BTI: change([linear(x_BTI) for linear in linears.values()])}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"Evaluates\.read returned None: a mapping of streams to evaluators was expected"),
        ({"nobody": len}, r"Evaluates\.read returned an evaluator for nobody: known: vision"),
        ({"text": len}, r"Evaluates\.read returned an evaluator for text: .*known: vision"),
        ({"vision": 3}, r"Evaluates\.read returned a int for vision: evaluator\(linears, x\) was expected"),
        (applied(lambda ys: []), "an evaluator of Evaluates for vision returned a list of 0: a list of 3 was expected"),
        (
            applied(lambda ys: None),
            "for vision returned None: a list of 3 was expected, the outputs of q, k, v in this",
        ),
        (applied(dict.fromkeys), "for vision returned a dict: a list of 3 was expected"),
        (applied(lambda ys: [None, *ys[1:]]), r"returned None for q: a tensor \(2, \d+, 32\) was expected"),
        (
            applied(lambda ys: [ys[0], ys[1][:, 1:], ys[2]]),
            r"returned a tensor \(2, \d+, 32\) for k: a tensor \(2, \d+",
        ),
        (
            applied(lambda ys: [ys[0], ys[1], ys[2][..., :1]]),
            r"returned a tensor \(2, \d+, 1\) for v: a tensor \(2, \d+",
        ),
    ],
)
def test_an_exchange_returns_an_evaluator_of_each_linear(value, message, model, inputs):
    model.add_exchange(0, "attend", Evaluates(value))
    with pytest.raises(BenchError, match=message):
        model(inputs)
