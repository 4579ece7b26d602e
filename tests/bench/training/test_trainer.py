from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from bench.config.recipe import Recipe
from bench.errors import BenchError
from bench.methods.base import ParameterGroup
from bench.methods.head import HeadOnly
from bench.records.schema import Epoch
from bench.training.evaluation import max_abs_difference
from bench.training.optimizer import make_optimizer, rate
from bench.training.trainer import _was_reached, best_epoch


def curve(*scores: float) -> list[Epoch]:
    return [Epoch(i, i, 0.0, {"miou": score}) for i, score in enumerate(scores, start=1)]


def test_the_best_epoch_is_the_first_with_the_highest_validation_score():
    assert best_epoch(curve(1.0, 3.0, 2.0, 3.0), "miou") == 2
    assert best_epoch(curve(0.0), "miou") == 1


RECIPE = Recipe(1, 1, 1, 1e-3, 1e-3, 0.0, 0.1, 1.0, "no")


def test_the_rate_rises_and_then_falls_to_zero():
    rates = [rate(step, recipe=RECIPE, steps=100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.0, abs=1e-9)
    assert rate(0, recipe=replace(RECIPE, warmup=0.0), steps=1) == 1.0


def test_a_constant_rate_stays():
    assert {rate(step, recipe=replace(RECIPE, schedule="constant"), steps=50) for step in range(5, 50)} == {1.0}


def test_a_polynomial_rate_falls_from_epoch_to_epoch():
    recipe = replace(RECIPE, schedule="poly", epochs=4, warmup=0.0)
    rates = [rate(step, recipe=recipe, steps=12) for step in range(13)]
    assert rates == pytest.approx([share**0.9 for share in (1, 0.75, 0.5, 0.25) for _ in range(3)] + [0.0])


def test_the_optimizer_has_the_rates_and_the_beta_of_the_recipe():
    model = SimpleNamespace(streams=torch.nn.Linear(2, 2), head=torch.nn.Linear(2, 1))
    optimizer = make_optimizer(model, replace(RECIPE, lr_head=2e-3, beta2=0.95), HeadOnly())
    assert [(group["lr"], group["betas"]) for group in optimizer.param_groups] == [
        (1e-3, (0.9, 0.95)),
        (2e-3, (0.9, 0.95)),
    ]


class Grouped(HeadOnly):
    """Names two groups of the parameters of a linear."""

    groups: ClassVar = {"b": ParameterGroup(["bias"], lr_factor=16, weight_decay=0.5)}

    def parameter_groups(self):
        return self.groups


def test_a_group_of_the_method_has_its_own_rate_and_weight_decay():
    model = SimpleNamespace(streams=torch.nn.Linear(2, 2), head=torch.nn.Linear(2, 1))
    optimizer = make_optimizer(model, replace(RECIPE, weight_decay=0.1), Grouped())
    assert [(group["name"], len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups] == [
        ("adapter", 1, 0.1),
        ("adapter: b", 1, 0.5),
        ("head", 2, 0.1),
    ]
    assert optimizer.param_groups[1]["lr"] == 16 * RECIPE.lr_adapter
    assert optimizer.param_groups[1]["params"][0] is model.streams.bias


@pytest.mark.parametrize(
    "groups",
    [
        {"b": ParameterGroup(["missing"])},
        {"b": ParameterGroup(["frozen"])},
        {"b": ParameterGroup(["weight"]), "c": ParameterGroup(["weight"])},
    ],
)
def test_a_group_must_name_trained_parameters_that_are_in_no_other(groups, monkeypatch):
    _refused(groups, "Grouped.parameter_groups: parameter group", monkeypatch)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, "returns None: it must return a mapping"),
        ([ParameterGroup(["bias"])], "returns a list: it must return a mapping"),
        ({"b": ["bias"]}, "group b is a list: each must be a ParameterGroup"),
        ({"b": ParameterGroup("bias")}, "group b: names is a str: it must be a list"),
        ({"b": ParameterGroup(["bias"], lr_factor=-1.0)}, "group b: lr_factor is -1.0: it must be a finite number of"),
        ({"b": ParameterGroup(["bias"], lr_factor=math.nan)}, "lr_factor is nan"),
        ({"b": ParameterGroup(["bias"], lr_factor=None)}, "lr_factor is None"),
        ({"b": ParameterGroup(["bias"], weight_decay=math.inf)}, "weight_decay is inf"),
        ({"b": ParameterGroup(["bias"], weight_decay=-0.1)}, "weight_decay is -0.1"),
    ],
)
def test_groups_that_are_none_or_have_no_possible_rate_are_refused(groups, message, monkeypatch):
    _refused(groups, message, monkeypatch)


def _refused(groups, message, monkeypatch):
    monkeypatch.setattr(Grouped, "groups", groups)
    streams = torch.nn.Linear(2, 2)
    streams.frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    with pytest.raises(BenchError, match=message):
        make_optimizer(SimpleNamespace(streams=streams, head=torch.nn.Linear(2, 1)), RECIPE, Grouped())


def test_two_scorings_differ_by_the_largest_difference_of_a_sample():
    first = {"miou": torch.tensor([1.0, 2.0]), "f": torch.tensor([5.0, 5.0])}
    assert max_abs_difference(first, first) == 0
    assert max_abs_difference(first, {**first, "f": torch.tensor([5.0, 8.0])}) == 3
    assert max_abs_difference(first, {**first, "f": torch.tensor([5.0])}) == math.inf


def test_a_parameter_was_reached_by_any_gradient_but_0():
    reached, of_zeros, unused = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer = torch.optim.AdamW([reached, of_zeros, unused], lr=0.1, weight_decay=0.1)
    for step in range(3):  # what begins at 0, as CoLA's B_c, passes a gradient on from the second step only
        (float(step == 1) * reached[0] + 0 * of_zeros.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert bool((of_zeros != 1).all()), "weight decay has moved it"
    assert [_was_reached(optimizer.state.get(p, {})) for p in (reached, of_zeros, unused)] == [True, False, False]


def test_scores_do_not_depend_on_the_batch_size():
    from accelerate import Accelerator
    from torch import nn

    from bench.training.evaluation import score

    class Task:
        metrics = {"value": ""}  # noqa: RUF012

        def score(self, output, batch):
            return {"value": output}

    class Model(nn.Module):
        def forward(self, batch):
            return batch["x"]

    split = [{"x": torch.tensor(float(i))} for i in range(7)]
    for size in (1, 2, 7):
        sized = replace(RECIPE, eval_batch_size=size)
        measured, _ = score(Model(), Task(), split, sized, Accelerator(cpu=True))
        assert measured["value"].tolist() == list(range(7))
