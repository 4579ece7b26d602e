"""The control in which a model gets the inputs of some streams only."""

from __future__ import annotations

import pytest
import torch
from mocks import EACH_ONCE

from bench.cli import main
from bench.config.describe import data_title
from bench.config.plan import RunRequest, make_plan
from bench.data.loader import ConstantInputs, TensorDataset, load
from bench.errors import UsageError
from bench.training.setup import set_up


def spec(task: str, *changes: str):
    return make_plan(RunRequest("mini", ["lora"], [task], ["0"], [*EACH_ONCE, *changes]))[0]


@pytest.mark.parametrize(
    "kind", [TensorDataset, lambda columns: [dict(zip(columns, row, strict=True)) for row in rows()]]
)
def test_columns_are_the_same_for_every_sample(kind):
    columns = {"a": torch.arange(6.0).view(3, 2), "b": torch.arange(3)}
    samples = ConstantInputs(kind(columns), {"a": columns["a"][1]})
    assert len(samples) == 3
    (batch,) = load(samples, 3)
    assert torch.equal(batch["a"], columns["a"][1].expand(3, 2)) and torch.equal(batch["b"], columns["b"])
    samples[0]["a"] += 1
    assert torch.equal(samples[0]["a"], columns["a"][1]), "who changes a sample changes that sample only"


def rows():
    return zip(torch.arange(6.0).view(3, 2), torch.arange(3), strict=True)


@pytest.mark.parametrize(
    ("task", "streams", "same"),
    [
        ("ave", "audio", {"vision"}),
        ("avs", "vision", {"audio"}),  # of a video one frame in training, five in the other splits
        ("avs", "audio", {"vision"}),
        ("refcoco", "vision", {"text", "mirrored"}),
    ],
)
def test_inputs_of_other_streams_carry_no_information(options, task, streams, same):
    data = set_up(spec(task, f'data.streams=["{streams}"]'), options).data
    plain = set_up(spec(task), options).data
    for split, samples in data.datasets.items():
        (batch,) = load(samples, len(samples))
        (expected,) = load(plain.datasets[split], len(samples))
        for name in expected:
            assert batch[name].shape[:2] == expected[name].shape[:2]
            if name in same:
                assert (batch[name] == data.datasets["train"][0][name][0]).all(), "not even which second it is"
                assert not torch.equal(batch[name], expected[name])
            elif name != "mirrors":
                assert torch.equal(batch[name], expected[name])


def test_the_control_is_another_run_and_says_so():
    control = spec("ave", 'data.streams=["vision"]')
    assert control.id != spec("ave").id and control.data["streams"] == ["vision"]
    assert "streams" not in spec("ave").data
    assert "control: vision only" in data_title(control.data) and "control" not in data_title(spec("ave").data)


def test_unknown_streams_are_reported(capsys, tmp_path):
    with pytest.raises(UsageError, match=r"data\.streams: ave has no stream text"):
        spec("ave", 'data.streams=["text"]')
    wrong = ["run", "--methods", "lora", "--tasks", "ave", "--streams", "sight", "--results", str(tmp_path)]
    assert main(wrong) == 2
    assert "ave has no stream sight" in capsys.readouterr().err
