"""Training of a model, and the choice of its best epoch on the validation split."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from bench.config.recipe import Recipe
from bench.data.loader import load, on_device
from bench.errors import BenchError
from bench.measurement.memory import Peak, StepClock
from bench.methods.base import Method, persistent_buffers
from bench.methods.head import HeadOnly
from bench.progress import bar
from bench.records.schema import Epoch
from bench.tasks.base import Task
from bench.tasks.model import TaskModel
from bench.training.checkpoint import Checkpoint
from bench.training.evaluation import Measured, Samples, score
from bench.training.frozen_features import Augment, computed_once
from bench.training.optimizer import make_optimizer, make_schedule, rate
from bench.training.step import StepLoss, take_step

STEPS_DONE = "steps_done"
"""The attribute of exceptions from training with the number of steps done before."""

_CHECK_EVERY = 20  # steps between checks of the losses, which make a GPU wait
_LOWEST_SCALE = (
    2.0**-24
)  # of losses in fp16; the scale starts at 2^16 and is halved by each step with non-finite gradients

_log = logging.getLogger(__name__)

EpochCallback = Callable[[Epoch, Mapping[str, float]], object]
"""Receives each epoch's validation entry, and the learning rates of its last step by parameter group."""


def no_callback(entry: Epoch, rates: Mapping[str, float]) -> None:
    """Do nothing."""


class DivergedError(BenchError):
    """A loss, gradient or weight was not finite."""


@dataclass(frozen=True)
class Trained:
    """The result of training.

    Attributes:
        curve: The validation curve.
        best_epoch: The epoch whose weights the model has.
        validation: The measures of each validation sample after that epoch.
        throughput: Training samples per second.
        no_gradient: Number of trained parameters in tensors that no gradient ever reached.
        seconds: Duration, including the time before an interruption.
        seconds_before: The part of it before an interruption.
        ends: Seconds from the start to the end of each epoch.
        resumed: Number of epochs done before an interruption.
    """

    curve: list[Epoch]
    best_epoch: int
    validation: Measured
    throughput: float
    no_gradient: int
    seconds: float
    seconds_before: float
    ends: list[float]
    resumed: int

    @property
    def best(self) -> dict[str, float]:
        """The validation scores of the best epoch."""
        return self.curve[self.best_epoch - 1].scores


def train(
    model: TaskModel,
    method: Method,
    task: Task,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    accelerator: Accelerator,
    *,
    seed: int,
    label: str,
    checkpoint: Checkpoint | None = None,
    peak: Peak | None = None,
    callback: EpochCallback = no_callback,
) -> Trained:
    """Train the trainable parameters of a model, and leave it with the weights of its best epoch.

    The optimizer is AdamW; learning rates rise during the warm-up and then follow the recipe's schedule. The test split
    is not used. Several processes share each batch, with the same result as one process, unless that one computes
    features of the recipe's `views` once.

    Args:
        model: The streams with the method attached, and the head; moved to the accelerator's device.
        method: May add a term to the loss and act after each step.
        task: Loss and scores.
        recipe: How to train.
        splits: "train" and "val".
        accelerator: Device, precision and processes.
        seed: Seed of the order of samples and of their augmentation.
        label: Text of the progress bar.
        checkpoint: Saves the state after each epoch and resumes from it; None to save none.
        peak: Measures memory; raised to the peak of an interrupted process.
        callback: Called with the validation entry and learning rates of each epoch, including resumed ones.

    Raises:
        DivergedError: Losses, gradients or weights were not finite; names the step.
    """
    started = time.perf_counter()
    ends: list[float] = []
    resumed_state = checkpoint.load() if checkpoint else None
    splits, augment = computed_once(model, task, recipe, splits, task.augment, accelerator, seed)
    if not any(parameter.requires_grad for parameter in model.streams.parameters()):
        recipe = replace(recipe, epochs=recipe.head_first + recipe.head_factor * recipe.epochs)
    elif recipe.head_first and not resumed_state:
        for_head = replace(recipe, epochs=recipe.head_first)
        _train_head(model, task, for_head, splits, augment, accelerator, seed=seed, label=label)
    training = _Training(model, method, task, recipe, splits["train"], accelerator, seed=seed, augment=augment)
    if resumed_state:
        training.restore(resumed_state["training"])
        ends = resumed_state["ends"]
        if peak:
            peak.raise_to(resumed_state["peak"])
        _log.info("%s: resumes after epoch %d of %d", label, len(training.curve), recipe.epochs)
    resumed, seconds_before = len(training.curve), ends[-1] if ends else 0.0
    for entry in training.curve:
        callback(entry, training.rates(entry))
    try:
        with bar(range(training.steps), label, unit="step") as progress:
            progress.update(training.step)
            while not training.is_done():
                loss = training.epoch(progress.update)
                measured, _ = score(model, task, splits["val"], recipe, accelerator)
                scores = training.record_epoch(loss, measured)
                ends.append(time.perf_counter() - started + seconds_before)
                callback(training.curve[-1], training.rates(training.curve[-1]))
                progress.set_postfix_str(f"{task.metric} {scores[task.metric]:.1f}", refresh=False)
                if checkpoint and accelerator.is_main_process:
                    peak_bytes = peak.so_far() if peak else 0
                    checkpoint.save({"training": training.state(), "ends": ends, "peak": peak_bytes})
    except Exception as error:
        setattr(error, STEPS_DONE, training.step)
        raise
    _set(training.changing(), training.best)
    return Trained(
        curve=training.curve,
        best_epoch=best_epoch(training.curve, task.metric),
        validation=training.measured_best,
        throughput=training.clock.throughput(),
        no_gradient=training.no_gradient(),
        seconds=time.perf_counter() - started + seconds_before,
        seconds_before=seconds_before,
        ends=ends,
        resumed=resumed,
    )


def _train_head(
    model: TaskModel,
    task: Task,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    augment: Augment,
    accelerator: Accelerator,
    *,
    seed: int,
    label: str,
) -> None:
    """Train the head on the frozen streams, and leave it with the weights of its best epoch."""
    trained = [parameter for parameter in model.streams.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    splits, augment = computed_once(model, task, recipe, splits, augment, accelerator, seed)
    training = _Training(model, HeadOnly(), task, recipe, splits["train"], accelerator, seed=seed, augment=augment)
    with bar(range(training.steps), f"{label}: head", unit="step") as progress:
        while not training.is_done():
            loss = training.epoch(progress.update)
            training.record_epoch(loss, score(model, task, splits["val"], recipe, accelerator)[0])
    _set(training.changing(), training.best)
    for parameter in trained:
        parameter.requires_grad_()
    _log.debug(
        "%s: the head alone scored %s", label, training.curve[best_epoch(training.curve, task.metric) - 1].scores
    )


class _Training:
    """A model in training: everything that an epoch changes, which can be saved and restored.

    Attributes:
        steps: Number of optimizer steps of all epochs.
        step: Number of steps done.
        curve: The validation curve so far.
        trained: The trained parameters, by name.
        best: The values of `changing` after the best epoch so far.
        measured_best: The measures of the validation samples at that time.
        clock: Times the steps.
    """

    def __init__(
        self,
        model: TaskModel,
        method: Method,
        task: Task,
        recipe: Recipe,
        samples: Samples,
        accelerator: Accelerator,
        *,
        seed: int,
        augment: Augment,
    ) -> None:
        self.model, self.method, self.task, self.augment = model, method, task, augment
        self.recipe, self.accelerator = recipe, accelerator
        # Every process loads and augments whole batches before it takes its rows of them, so the draws are the same as
        # with one process.
        self.order, self.augmentation = (torch.Generator().manual_seed(seed) for _ in range(2))
        self.loader = load(samples, recipe.batch_size, self.order, pin=accelerator.device.type == "cuda")
        self.steps = recipe.epochs * recipe.passes * len(self.loader)
        optimizer = make_optimizer(model, recipe, method)
        self.schedule = make_schedule(optimizer, recipe, self.steps)
        self.wrapped, self.optimizer = accelerator.prepare(model, optimizer)
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        method.before_training(self.steps)
        self.clock = StepClock(accelerator.device)
        self.step = 0
        self.curve: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.measured_best: Measured = {}

    def epoch(self, callback: Callable[[], object]) -> float:
        """Train for an epoch and return the mean loss.

        Args:
            callback: Called after each step.
        """
        self.model.train()
        losses: list[StepLoss] = []
        self.clock.skip()
        passes = (on_device(self.loader, self.accelerator.device) for _ in range(self.recipe.passes))
        for loaded in chain.from_iterable(passes):
            batch = self.augment(loaded, self.augmentation)
            losses.append(self._take_step(batch))
            self.schedule.step()
            self.step += 1
            if len(losses) % _CHECK_EVERY == 0:
                _check(losses[-_CHECK_EVERY:], self.step - _CHECK_EVERY)
            self.clock.tick(len(next(iter(batch.values()))))
            callback()
        _check(losses, self.step - len(losses))
        self._check_step()
        of_task = torch.stack([loss.task for loss in losses])
        return self.accelerator.reduce(of_task, "sum").mean().item()  # each process has a part of each loss

    def _check_step(self) -> None:
        """Check the latest steps: scores may look fine although weights are not finite."""
        scaler = self.accelerator.scaler
        if scaler and scaler.get_scale() < _LOWEST_SCALE:
            raise DivergedError(
                f"up to step {self.step}, gradients are not finite in fp16 at any scale of the loss: "
                "lower the learning rate, or use bf16 or float32"
            )
        finite = [tensor.isfinite().all() for tensor in self.changing().values()]
        if finite and not torch.stack(finite).all():
            raise DivergedError(f"weights are not finite after step {self.step}: lower the learning rate")

    def record_epoch(self, loss: float, measured: Measured) -> dict[str, float]:
        """Add an epoch to the curve, store its weights if they are the best so far, and return the scores."""
        scores = self.task.summarize(measured)
        self.curve.append(Epoch(len(self.curve) + 1, self.step, loss, scores))
        if best_epoch(self.curve, self.task.metric) == len(self.curve):
            self.measured_best = measured
            self.best = {name: tensor.detach().clone() for name, tensor in self.changing().items()}
        return scores

    def changing(self) -> dict[str, Tensor]:
        """Return the trained parameters and the buffers that training may change."""
        return {**self.trained, **persistent_buffers(self.model)}

    def rates(self, entry: Epoch) -> dict[str, float]:
        """Return the learning rates of an epoch's last step, by parameter group."""
        fraction = rate(entry.step - 1, recipe=self.recipe, steps=self.steps)
        return {group["name"]: fraction * group["initial_lr"] for group in self.optimizer.param_groups}

    def is_done(self) -> bool:
        """Return whether all epochs are done, or none has improved for as many as the patience of the recipe."""
        epochs, patience = len(self.curve), self.recipe.patience
        return epochs == self.recipe.epochs or (
            patience is not None and epochs > patience and epochs - best_epoch(self.curve, self.task.metric) >= patience
        )

    def no_gradient(self) -> int:
        """Return the number of trained parameters in tensors that no gradient ever reached."""
        return sum(p.numel() for p in self.trained.values() if not _was_reached(self.optimizer.state.get(p, {})))

    def state(self) -> dict[str, Any]:
        """Return everything that an epoch changes, as tensors and plain values."""
        device, scaler = self.accelerator.device, self.accelerator.scaler
        return {
            "curve": [asdict(entry) for entry in self.curve],
            "weights": {name: tensor.detach() for name, tensor in self.changing().items()},
            "best": self.best,
            "measured_best": self.measured_best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "method": self.method.training_state(),
            "drawn": [generator.get_state() for generator in self._generators()],
            "drawn_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "rates": self.clock.rates(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        device, scaler = self.accelerator.device, self.accelerator.scaler
        self.curve = [Epoch(**entry) for entry in state["curve"]]
        self.step = self.curve[-1].step
        _set(self.changing(), state["weights"])
        self.best = {name: value.to(device) for name, value in state["best"].items()}
        self.measured_best = state["measured_best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if scaler and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        self.method.load_training_state(state["method"])
        for generator, drawn in zip(self._generators(), state["drawn"], strict=True):
            generator.set_state(drawn)
        if device.type == "cuda" and state["drawn_cuda"] is not None:
            torch.cuda.set_rng_state(state["drawn_cuda"], device)
        self.clock.add(state["rates"])

    def _generators(self) -> tuple[torch.Generator, ...]:
        return self.order, self.augmentation, torch.default_generator  # the last one is that of dropout

    def _take_step(self, batch: dict[str, Tensor]) -> StepLoss:
        return take_step(
            self.wrapped,
            self.method,
            self.task,
            batch,
            self.optimizer,
            self.accelerator,
            clip=self.recipe.clip,
            step=self.step,
            micro_batch=self.recipe.micro_batch,
        )


def _set(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value)


def _was_reached(state: Mapping[str, Tensor]) -> bool:
    """Return whether a non-zero gradient ever reached a parameter, according to its state in AdamW.

    Weight decay changes parameters too, so a changed value is no evidence.
    """
    return any(bool(state[name].any()) for name in ("exp_avg", "exp_avg_sq") if name in state)


def best_epoch(curve: list[Epoch], metric: str) -> int:
    """Return the epoch with the highest validation score, the first of equals; non-finite scores rank lowest."""

    def rank(entry: Epoch) -> tuple[bool, float, int]:
        score = entry.scores[metric]
        return math.isfinite(score), score if math.isfinite(score) else 0.0, -entry.epoch

    return max(curve, key=rank).epoch


def _check(losses: list[StepLoss], first_step: int) -> None:
    finite = torch.stack([loss.total for loss in losses]).isfinite()
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        loss, at = losses[bad], f"at step {first_step + bad + 1}"
        if loss.task.isfinite():
            term = f"with the term that the method adds, the loss is {loss.total.item()} {at}"
            raise DivergedError(f"{term}: see `loss` of the method, or lower the learning rate")
        raise DivergedError(f"the loss is {loss.task.item()} {at}: lower the learning rate")
