"""What a recipe may do to spend less memory or time, without other numbers: runs on a few generated videos."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from alike import alike
from small_runs import spec
from torch import nn

from bench.errors import UsageError
from bench.execution.single_run import execute
from bench.training.setup import apply_memory_options, cast_frozen_parameters, set_up
from bench.training.trainer import _Training


def losses(options, *changes, task="avs", method="cola"):
    record = execute(spec(task, method, "train.batch_size=4", *changes), options)
    assert record.status == "ok", record.traceback
    return [epoch.train_loss for epoch in record.scores.validation], record


def test_gradients_of_parts_of_a_batch_add_up_to_its_own(options):
    whole, _ = losses(options, method="adalora")
    parts, record = losses(options, "train.micro_batch=3", method="adalora")  # 3 and 1
    assert parts == pytest.approx(whole, abs=1e-4)
    assert record.spec.recipe["micro_batch"] == 3


def test_gradient_checkpointing_changes_no_number(options):
    expected, _ = losses(options)
    recomputed, _ = losses(options, "train.gradient_checkpointing=true")
    assert recomputed == pytest.approx(expected, abs=1e-5)


def test_a_method_that_asks_for_gradient_checkpointing_itself_has_it(options):
    setup = set_up(spec("avs", "cola"), options)
    assert not setup.model.streams.gradient_checkpointing
    setup.model.streams.gradient_checkpointing = True
    apply_memory_options(setup.model, setup.recipe, setup.accelerator)
    assert setup.model.streams.gradient_checkpointing


def test_an_epoch_of_several_passes_is_several_epochs_with_one_validation(options):
    four_epochs, several = losses(options, "avs.epochs=4")
    two_epochs, record = losses(options, "avs.epochs=2", "train.passes=2")
    assert two_epochs == pytest.approx([sum(four_epochs[:2]) / 2, sum(four_epochs[2:]) / 2], abs=1e-6)
    assert [epoch.step for epoch in record.scores.validation] == [
        epoch.step for epoch in several.scores.validation[1::2]
    ]
    assert record.scores.validation[-1].scores == alike(several.scores.validation[-1].scores)


def test_training_stops_where_nothing_gets_better(options):
    _, record = losses(options, "avs.epochs=9", "train.lr_adapter=1e-12", "train.lr_head=1e-12", "train.patience=2")
    scores = [epoch.scores["miou"] for epoch in record.scores.validation]
    assert len(scores) == record.scores.best_epoch + 2 < 9
    assert all(a >= b for a, b in itertools.pairwise(scores[record.scores.best_epoch - 1 :]))


def test_frozen_linears_are_lowered_and_nothing_else(options):
    model = set_up(spec("ave", "cola"), options).model
    trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    cast_frozen_parameters(model, "no")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    cast_frozen_parameters(model, "bf16")
    lowered = {
        f"{place}.{name}"
        for place, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        for name, parameter in module.named_parameters(recurse=False)
        if not parameter.requires_grad
    }
    assert lowered and {name for name, p in model.named_parameters() if p.dtype == torch.bfloat16} == lowered
    assert {name: p.dtype for name, p in model.named_parameters() if p.requires_grad} == trained


def test_mixed_precision_scores_the_same_with_frozen_weights_lowered(options):
    full, _ = losses(options, "train.precision=bf16", "ave.epochs=1", task="ave")
    lowered, _ = losses(options, "train.precision=bf16", "train.low_precision_frozen=true", "ave.epochs=1", task="ave")
    assert lowered == alike(full), "autocast rounds the same weights at each use"


def test_half_precision_is_refused_where_there_is_no_gpu(options):
    with pytest.raises(UsageError, match="precision fp16 needs a GPU"):
        execute(spec("ave", "cola", "train.precision=fp16"), options)


def test_what_a_recipe_has_by_default_is_no_part_of_the_id():
    assert spec("ave", "cola").id == spec("ave", "cola", "train.schedule=cosine", "train.patience=none").id
    assert spec("ave", "cola").id != spec("ave", "cola", "train.patience=3").id


@pytest.fixture
def starts(monkeypatch):
    """Record the initial parameters of each training."""
    actual = []
    real = _Training.__init__

    def noted(self, model, *rest, **named):
        actual.append({name: value.clone() for name, value in model.state_dict().items()})
        real(self, model, *rest, **named)

    monkeypatch.setattr(_Training, "__init__", noted)
    return actual


def test_the_head_is_trained_first_alike_for_all_methods(options, starts):
    for method in ("lora", "dora", "cola", "full"):
        _, record = losses(options, "avs.head_first=2", "avs.epochs=1", method=method)
        assert [epoch.epoch for epoch in record.scores.validation] == [1]
    heads = [{name: v for name, v in start.items() if name.startswith("head.")} for start in starts]
    for initial, final in zip(starts[::2], starts[1::2], strict=True):
        changed = {name for name in initial if not torch.equal(initial[name], final[name])}
        assert changed and changed <= heads[0].keys(), "what the method trains has its turn later"
    # Adam divides by the size of gradients: where one is next to nothing, rounding turns its step about, as long as any
    # other. So single weights may differ, and all of them in the mean by rounding only; another order of samples would
    # move all by steps of 5e-3.
    for head in heads[1::2]:
        for name, weight in head.items():
            assert (weight - heads[1][name]).abs().mean() < 1e-6, name
    _, record = losses(options, "avs.head_first=2", "avs.epochs=1", "avs.head_factor=3", method="head")
    assert len(record.scores.validation) == 5, "the head alone has no other part"


def test_a_run_that_goes_on_does_not_train_the_head_again(options, starts, monkeypatch, tmp_path):
    changes = ("avs.head_first=1", "avs.epochs=2")
    whole, record = losses(options, *changes)

    def stopped(self, *args):
        if len(self.curve) == 1:
            raise KeyboardInterrupt
        return real(self, *args)

    real = _Training.epoch
    with_results = replace(options, results=tmp_path)
    planned = spec("avs", "cola", "train.batch_size=4", *changes)
    monkeypatch.setattr(_Training, "epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        execute(planned, with_results)
    monkeypatch.setattr(_Training, "epoch", real)
    starts.clear()
    resumed = execute(planned, with_results)
    assert resumed.times.resumed == 1 and len(starts) == 1
    first, second = resumed.times.epochs
    assert 0 < first < second <= resumed.times.train
    assert [epoch.train_loss for epoch in resumed.scores.validation] == alike(whole)
    assert resumed.scores.test == alike(record.scores.test)
