"""Methods of the suites that follow CoLA's authors have as many parameters as theirs (counted without weights)."""

from __future__ import annotations

import pytest

from bench import registry
from bench.config import validate
from bench.config.plan import RunRequest, make_plan
from bench.streams.load import outline_stream
from bench.streams.lockstep import MultiStream


def trained(suite: str, task: str, name: str, *sets: str) -> tuple[MultiStream, int]:
    """Return the task's streams with the method attached, and how many parameters it trains."""
    (spec,) = make_plan(RunRequest(suite, [name], [task], [0], sets))
    model = MultiStream({stream: outline_stream(**source) for stream, source in spec.streams.items()})
    method = validate.build(registry.load("methods", name), spec.settings, name)
    method.attach(model)
    count = sum(model.get_parameter(key).numel() for key in method.adapter_names(model))
    assert count == method.active_parameters()
    return model, count


def by_the_equation(model: MultiStream, hidden: dict[str, int], r: int = 16) -> int:
    """Of every linear 2 r (in + out) for both paths, 1 for s_c, and the hypernetwork; of unpaired blocks r (in + out).

    The hypernetwork of a partner c wide has c h + h, 2 h, h r^2 + r^2 and 2 r^2.
    """
    (vision, audio), total = model.streams, 0
    partner = {vision: audio, audio: vision}
    for step in model.schedule:
        for name, turn in step.items():
            stream, partner_name, h = model.streams[name], partner[name], hidden[name]
            c = model.streams[partner_name].width_at(step[partner_name].paired)
            for block in turn.unpaired:
                total += sum(r * sum(stream.features(block, role)) for role in stream.linears(block))
            for role in stream.linears(turn.paired):
                total += 2 * r * sum(stream.features(turn.paired, role)) + 1
                total += c * h + 3 * h + h * r**2 + 3 * r**2
    return total


AVE, AVS, GROUNDING = ("paper-ave", "ave"), ("paper-avs", "avs"), ("paper-grounding", "refcoco")


@pytest.mark.parametrize(
    ("suite", "hidden", "count"),
    [
        (AVE, {"vision": 48, "audio": 48}, 17_826_192),
        (AVS, {"vision": 48, "audio": 96}, 23_753_232),
        (GROUNDING, {"vision": 48, "text": 48}, 17_826_192),
    ],
)
def test_cola_is_as_large_as_the_authors(suite, hidden, count):
    """The paper counts the head too: 18.6 M on AVE with 0.80 M of it, 44.8 M on AVS with 21.0 M."""
    model, outcome = trained(*suite, "cola")
    assert outcome == by_the_equation(model, hidden) == count


@pytest.mark.parametrize(("suite", "r", "count"), [(AVE, 54, 17_915_904), (AVS, 48, 23_556_096), (AVE, 16, 5_308_416)])
def test_lora_of_the_suites_heads_is_as_large_as_the_authors(suite, r, count):
    assert trained(*suite, "lora", f"lora.r={r}", f"lora.alpha={r / 2}")[1] == count


def test_a_budget_of_cola_gives_lora_the_authors_rank():
    from bench.config.budget import plan_within

    (lora,), (fit,) = plan_within(RunRequest("paper-avs", ["lora"], ["avs"], budget="cola"))
    assert (lora.settings["r"], lora.settings["alpha"], fit.target) == (48, 24.0, 23_753_232)
