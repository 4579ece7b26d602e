"""Watched runs on a few videos: what each optimizer step did, and what trackers received."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import mocks
import pytest
import torch
from accelerate import tracking as of_accelerate
from torch import nn

from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.execution import single_run
from bench.records import schema, store
from bench.training import trainer as training
from bench.training.setup import Setup
from bench.training.step import StepLoss

FEW = (*mocks.EACH_ONCE, "train.batch_size=4", "train.warmup=0.3", "train.head_factor=1")
LOWERED = ("train.precision=bf16", "train.low_precision_frozen=true")
RUNS = {
    # Every kind of method, every task with embedded data, every schedule, and every precision of a CPU.
    "lora": ("ave", "ave.epochs=2", "train.passes=2", "train.micro_batch=3", "train.precision=no", "train.beta2=0.9"),
    "head": ("ave", "ave.epochs=2", "train.schedule=constant", "train.head_factor=2", "train.head_first=1"),
    "cola": ("avs", "avs.epochs=3", "train.schedule=poly", "train.clip=0", *LOWERED),
    "full": ("avs", "avs.epochs=2", "train.weight_decay=0.1", *LOWERED),
    "dora": ("avs", "avs.epochs=9", "train.lr_adapter=1e-12", "train.lr_head=1e-12", "train.patience=1"),
    "peft:ia3": ("refcoco:box", "refcoco:box.epochs=2", "train.schedule=poly", "train.precision=no"),
    "cola-adalora": ("refcoco:mask", "refcoco:mask.epochs=2", "train.schedule=constant", "train.head_first=1"),
    "adalora": ("refcoco", "refcoco.epochs=2", "train.train_share=0.7", "train.precision=bf16"),
    "cola-dora": ("refcoco_plus", "refcoco_plus.epochs=2", "train.gradient_checkpointing=true"),
    "cola+peft:ia3": ("refcoco+refcoco_plus", "refcoco+refcoco_plus.epochs=1", "train.schedule=constant"),
}


@dataclass
class StepLog:
    """An optimizer step: its learning rates by part, the samples of each forward pass, and the loss."""

    rates: dict[str, float]
    parts: list[int]
    types: set[torch.dtype | None]
    loss: float


class Watched(training._Training):
    """Training that records what each step does."""

    instances: ClassVar[list[Watched]] = []

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.did: list[StepLog] = []
        self.instances.append(self)

    def _take_step(self, batch: dict[str, torch.Tensor]) -> StepLoss:
        of_streams = {id(p) for p in self.model.streams.parameters()}
        rates: dict[str, float] = {}
        for group in self.optimizer.param_groups:
            (in_streams,) = {id(p) in of_streams for p in group["params"]}
            rates["adapter" if in_streams else "head"] = group["lr"]
        step = StepLog(rates, [], set(), math.nan)

        def note_batch(module: nn.Module, args: tuple[dict[str, torch.Tensor]]) -> None:
            step.parts.append(len(next(iter(args[0].values()))))
            step.types.add(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)

        with self.model.register_forward_pre_hook(note_batch):
            loss = super()._take_step(batch)
        step.loss = loss.task.item()
        self.did.append(step)
        return loss


@dataclass
class Noted:
    """A tracker that records what it receives."""

    project: str
    name: str
    dir: str
    configuration: dict[str, str] = field(default_factory=dict)
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    instances: ClassVar[list[Noted]] = []

    def start(self) -> None:
        self.instances.append(self)

    def store_init_configuration(self, values: dict[str, str]) -> None:
        self.configuration = values

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        pass


@dataclass
class Ran:
    """What a run did, according to its loop and model, and the files it wrote."""

    record: schema.Record
    results: Path
    setup: Setup
    loop: Watched
    tracker: Noted
    seconds: float

    @property
    def in_epoch(self) -> int:
        return self.loop.steps // self.loop.recipe.epochs

    def of_epoch(self, number: int) -> list[StepLog]:
        return self.loop.did[(number - 1) * self.in_epoch : number * self.in_epoch]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """Each epoch's last step, mean loss, learning rates at that step, and the number of samples so far."""
        samples, epochs = 0, []
        for number in range(1, len(self.loop.did) // self.in_epoch + 1):
            steps = self.of_epoch(number)
            samples += sum(sum(step.parts) for step in steps)
            loss = sum(step.loss for step in steps) / len(steps)
            epochs.append({"step": number * self.in_epoch, "loss": loss, "rates": steps[-1].rates, "samples": samples})
        return epochs

    @property
    def best(self) -> dict[str, Any]:
        return self.epochs[self.record.scores.best_epoch - 1]

    @property
    def precision(self) -> str:
        (computed_in,) = {dtype for step in self.loop.did for dtype in step.types}
        return {None: "no", torch.bfloat16: "bf16"}[computed_in]

    @property
    def frozen_type(self) -> str:
        frozen = {
            str(p.dtype).removeprefix("torch.")
            for module in self.setup.model.modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
            for p in module.parameters(recurse=False)
            if not p.requires_grad
        }
        return frozen.pop() if len(frozen) == 1 else "float32"

    @property
    def trained(self) -> dict[str, int]:
        """Numbers of parameters of the optimizer, by part."""
        of_streams = {id(p) for p in self.setup.model.streams.parameters()}
        counts = {"adapter": 0, "head": 0}
        for group in self.loop.optimizer.param_groups:
            for p in group["params"]:
                counts["adapter" if id(p) in of_streams else "head"] += p.numel()
        return counts

    @property
    def adam(self) -> dict[str, Any]:
        """The optimizer's settings, equal in all groups."""
        (shared,) = {(group["betas"], group["weight_decay"]) for group in self.loop.optimizer.param_groups}
        return {"betas": list(shared[0]), "weight_decay": shared[1]}

    @property
    def peaks(self) -> list[float]:
        """The highest learning rate of each part: of the adapter, if there is one, and of the head."""
        return [group["initial_lr"] for group in self.loop.optimizer.param_groups]


def watch(method: str, options: RunOptions, results: Path) -> Ran:
    """Do a run of `RUNS`, as `bench run --track wandb --save-adapters` does it."""
    task, *changes = RUNS[method]
    (spec,) = make_plan(RunRequest("mini", [method], [task], [0], [*FEW, *changes]))
    setups: list[Setup] = []
    Watched.instances.clear()
    Noted.instances.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_Training", Watched)
        patch.setitem(of_accelerate.LOGGER_TYPE_TO_CLASS, "wandb", Noted)
        patch.setenv("WANDB_MODE", "offline")
        set_up = single_run.set_up
        patch.setattr(single_run, "set_up", lambda *args: setups.append(set_up(*args)) or setups[0])
        began = time.perf_counter()
        record = single_run.execute(spec, replace(options, results=results, track=("wandb",), save_adapters=True))
        seconds = time.perf_counter() - began
    assert record.status == "ok", record.traceback
    # The fields that `bench.execution.sweep` adds to a record.
    tuned = {"file": "tuned.toml", "sha256": "abc"}
    record = replace(record, environment=replace(record.environment, jobs=3), tuned=tuned)
    store.write(record, results)
    return Ran(record, results, setups[0], Watched.instances[-1], Noted.instances[-1], seconds)
