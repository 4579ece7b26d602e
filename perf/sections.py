"""The measurements, one function per table or figure."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import msgspec
import torch
from accelerate import Accelerator
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.config.plan import RunRequest, make_plan
from bench.config.recipe import Recipe
from bench.data.loader import TensorDataset, load
from bench.measurement.memory import bytes_of_step
from bench.measurement.speed import Ratio, by_turns
from bench.records.environment import environment
from bench.records.schema import Epoch, Memory, Parameters, Record, Scores, Throughput
from bench.records.store import FOLDER
from bench.streams.additions import StreamState
from bench.streams.roles import STAGES
from bench.training.trainer import train
from perf.floors import floor
from perf.subjects import Size, Subject, methods

Row = tuple[str, ...]
R = 16


def layer_rows(size: Size, device: torch.device, rounds: int) -> list[Row]:
    """Return the times of forward and backward of one block's linears that share an input: q, k and v."""
    alternatives = {}
    for name, make in methods(R, size.reduction).items():
        subject = Subject(size, make, device)
        streams = subject.model.streams
        stream = streams.streams["vision"]
        tokens = stream.embed(stream.input.normalize(subject.batch["vision"].flatten(0, 1))).detach()
        states = {
            name: StreamState(partner, torch.randn(len(tokens), 1, partner.width, device=device), None, 1, "cls")
            for name, partner in streams.streams.items()
        }
        tokens.requires_grad_()
        roles = [role for role in STAGES["attend"] if role in stream.linears(0)]

        def layer(streams=streams, stream=stream, tokens=tokens, states=states, roles=roles) -> None:
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                exchange = next(iter(streams.exchanges_at(0, "attend")), None)
                evaluator = exchange.read(states).get("vision") if exchange else None
                outputs = stream.apply_linears(0, roles, tokens, evaluator)
            torch.autograd.backward([y.sum() for y in outputs])

        alternatives[name] = layer
    return [
        (f"q, k, v of a block: {name}", str(ratio))
        for name, ratio in by_turns(alternatives, "LoRA", rounds, device).items()
    ]


@dataclass(frozen=True)
class Cost:
    """The costs of a training step that do not depend on the machine: bytes (`memory`), and the counts of `work`."""

    bytes: int
    flops: int
    operators: int


@dataclass(frozen=True)
class Costs:
    """What methods cost, by name.

    Attributes:
        steps: Time of a training step relative to LoRA's.
        scoring: Time of a forward pass without gradients, with merged adapters, relative to LoRA's.
        validation: The same with adapters as they are in training, relative to their own scoring.
        counts: What does not depend on the machine.
        floors: The floors of CoLA's training step and scoring (`floors`).
    """

    steps: dict[str, Ratio]
    scoring: dict[str, Ratio]
    validation: dict[str, Ratio]
    counts: dict[str, Cost]
    floors: tuple[float, float]


SCORED = ("LoRA", "CoLA", "CoLA, plain")


def step_costs(size: Size, device: torch.device, rounds: int, r: int = R) -> Costs:
    """Return what each method costs at a rank."""
    factories = methods(r, size.reduction)
    counts = {name: _count(Subject(size, make, device)) for name, make in factories.items()}  # one at a time in memory
    subjects = {name: Subject(size, make, device) for name, make in factories.items()}
    steps = by_turns({name: subject.step for name, subject in subjects.items()}, "LoRA", rounds, device)
    step_floor = floor(subjects["CoLA"].step, subjects["LoRA"].step, rounds, device)
    merged = {name: Subject(size, factories[name], device) for name in SCORED}
    for subject in merged.values():
        subject.method.merge()
    validation = {
        name: by_turns({"merged": merged[name].score, name: subjects[name].score}, "merged", rounds, device)[name]
        for name in SCORED
    }
    scoring = by_turns({name: subject.score for name, subject in merged.items()}, "LoRA", rounds, device)
    scoring_floor = floor(merged["CoLA"].score, merged["LoRA"].score, rounds, device)
    return Costs(steps, scoring, validation, counts, (step_floor, scoring_floor))


def _count(subject: Subject) -> Cost:
    return Cost(memory(subject), *work(subject))


def memory_ratio(size: Size, device: torch.device) -> float:
    """Return the memory of a step of CoLA (`memory`) relative to LoRA's."""
    factories = methods(R, size.reduction)
    lora, cola = (memory(Subject(size, factories[name], device)) for name in ("LoRA", "CoLA"))
    return cola / lora


def work(subject: Subject) -> tuple[int, int]:
    """Return the floating-point operations of a training step's matrix products, and its number of operator calls."""
    with _Calls() as calls, flop_counter() as counter:
        subject.step()
    return counter.get_total_flops(), calls.count


class _Calls(TorchDispatchMode):
    """A counter of operator calls, without views."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def _product(self_shape: Shape, a_shape: Shape, b_shape: Shape, *_: object, **__: object) -> int:
    return 2 * a_shape[0] * a_shape[1] * b_shape[1]


Shape = tuple[int, ...]
_IN_PLACE = {torch.ops.aten.addmm_: _product}  # not known to torch's counter


def flop_counter() -> FlopCounterMode:
    """Return a counter of floating-point operations that knows all products of this project."""
    return FlopCounterMode(display=False, custom_mapping=_IN_PLACE)


def memory(subject: Subject) -> int:
    """Return a step's peak in bytes on a GPU; elsewhere, the bytes that the forward pass saves for backward."""
    return bytes_of_step(subject.loss, subject.step, subject.model.parameters(), subject.device)


def growth_rows(size: Size, device: torch.device, rounds: int) -> list[Row]:
    """Return how a step of CoLA, and its ratio to LoRA's, grows with rank, tokens, batch and depth."""
    start = replace(size, videos=2, depth=4 if size.name == "mini" else 12, pixels=56 if size.name == "mini" else 224)
    changes: list[tuple[str, Size, int]] = [
        ("baseline", start, R),
        ("rank 4", start, 4),
        ("rank 64", start, 64),
        ("image side x 2 (tokens x 4)", replace(start, pixels=2 * (start.pixels or 0)), R),
        ("batch x 4", replace(start, videos=8), R),
        ("depth x 2", replace(start, depth=2 * (start.depth or 0)), R),
    ]
    rows = []
    first: tuple[float, int] | None = None
    for change, changed_size, r in changes:
        factories = methods(r, size.reduction)
        subjects = {name: Subject(changed_size, factories[name], device) for name in ("LoRA", "CoLA")}
        ratio = by_turns({name: subject.step for name, subject in subjects.items()}, "LoRA", rounds, device)["CoLA"]
        saved_bytes = {name: memory(subject) for name, subject in subjects.items()}
        first = first or (ratio.seconds, saved_bytes["CoLA"])
        rows.append(
            (
                change,
                f"{ratio.seconds / first[0]:.2f}",
                str(ratio),
                f"{saved_bytes['CoLA'] / first[1]:.2f}",
                f"{saved_bytes['CoLA'] / saved_bytes['LoRA']:.2f}",
            )
        )
    return rows


def harness_ratio(size: Size, device: torch.device, rounds: int) -> Ratio:
    """Return the time of the harness relative to a hand-written loop with equal model, data, steps and validation."""
    recipe = Recipe(epochs=1, batch_size=size.videos, eval_batch_size=size.videos, **_RATES)
    make = methods(R, size.reduction)["CoLA"]
    subject = Subject(size, make, device)
    videos = [replace(size, videos=8 * size.videos).batch(subject.model.streams, torch.device("cpu")) for _ in range(1)]
    splits = {
        "train": TensorDataset(videos[0]),
        "val": TensorDataset({name: value[: size.videos] for name, value in videos[0].items()}),
    }
    precision = "bf16" if device.type == "cuda" else "no"
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=precision)
    subjects = {"by hand": subject, "harness": Subject(size, make, device)}

    def harness() -> None:
        subject = subjects["harness"]
        train(subject.model, subject.method, subject.task, recipe, splits, accelerator, seed=0, label="")

    def by_hand() -> None:
        _loop(subjects["by hand"], recipe, splits, device)

    return by_turns({"by hand": by_hand, "harness": harness}, "by hand", rounds, device)["harness"]


_RATES = {"lr_adapter": 1e-3, "lr_head": 1e-3, "weight_decay": 0.01, "warmup": 0.1, "clip": 1.0, "precision": "auto"}


def _loop(subject: Subject, recipe: Recipe, splits: dict[str, TensorDataset], device: torch.device) -> None:
    """Train as one would write it without the harness."""
    torch.manual_seed(0)
    model, task, generator = subject.model, subject.task, torch.Generator().manual_seed(0)
    steps = len(splits["train"]) // recipe.batch_size
    optimizer = torch.optim.AdamW(subject.trained, lr=1e-3, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    autocast = torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")
    model.train()
    for cpu_batch in load(splits["train"], recipe.batch_size, torch.Generator().manual_seed(0)):
        batch = task.augment({name: value.to(device) for name, value in cpu_batch.items()}, generator)
        with autocast:
            loss = task.loss(model(batch), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(subject.trained, recipe.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    with torch.inference_mode(), autocast:
        for cpu_batch in load(splits["val"], recipe.eval_batch_size):
            batch = {name: value.to(device) for name, value in cpu_batch.items()}
            task.score(model(batch), batch)["accuracy"].mean().item()
    _ = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def command_seconds(commands: Iterable[str], rounds: int = 5) -> dict[str, float]:
    """Return the seconds that each command takes, including the start of Python."""
    medians = {}
    for command in commands:
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "bench", *command.split()], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        medians[command] = median(seconds)
    return medians


def run_seconds() -> float:
    """Return the seconds of the main job, `make run`, once its data has been generated and decoded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "run",
            "--methods",
            "lora,cola",
            "--tasks",
            "ave,avs",
            "--jobs",
            "2",
            "--quiet",
            "--results",
            str(Path(folder)),
        ]
        return command_seconds([" ".join(command)], rounds=1)[" ".join(command)]


def leaderboard_seconds(count: int) -> float:
    """Return the seconds that `bench leaderboard` takes for `count` synthetic records of four methods and two tasks."""
    plan = make_plan(RunRequest("mini", ["lora", "dora", "cola", "full"], ["ave", "avs"], range(count // 8)))
    template = Record.failed(plan[0], "2026-01-01T00:00:00+00:00", environment=environment("cpu", 2))
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FOLDER).mkdir()
        for spec in plan:
            epochs = [Epoch(epoch, 100 * epoch, 1 / epoch, {"score": generator.gauss(50, 2)}) for epoch in range(1, 9)]
            scores = Scores("score", epochs, 8, {"score": generator.gauss(50, 2)}, 1000, {"constant answer": 20.0})
            record = replace(
                template,
                id=spec.id,
                spec=spec,
                status="ok",
                scores=scores,
                parameters=Parameters(30_000, 60_000, 90_000, 900_000, 480_000, 6.25),
                memory=Memory("resident size", 900_000_000, 800_000_000),
                throughput=Throughput(20.0, 60.0),
            )
            (Path(folder) / FOLDER / f"{record.stem}.json").write_bytes(msgspec.json.encode(record))
        command = f"leaderboard --results {folder}"
        return command_seconds([command], rounds=3)[command]


_KINDS = {
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::addmm_", "aten::baddbmm", "convolution"),
    "attention": ("scaled_dot_product", "_flash_attention"),
    "activations and norms": ("gelu", "layer_norm", "silu"),
    "copies and sums": ("aten::add", "aten::mul", "aten::copy_", "aten::cat", "aten::sum", "fill_", "aten::addcmul"),
    "optimizer and clipping": ("_fused_adam", "_foreach", "aten::linalg_vector_norm"),
}


def operation_rows(size: Size, device: torch.device) -> list[Row]:
    """Return the share of each kind of operation in a training step of LoRA and of CoLA, in percent."""
    shares = []
    for name in ("LoRA", "CoLA"):
        subject = Subject(size, methods(R, size.reduction)[name], device)
        subject.step()
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=activities) as profiled, record_function("steps"):
            for _ in range(3):
                subject.step()
        times = dict.fromkeys((*_KINDS, "everything else"), 0.0)
        for event in profiled.key_averages():
            self_time = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
            kind = next((kind for kind, keys in _KINDS.items() if any(_is(event.key, key) for key in keys)), None)
            times[kind or "everything else"] += self_time
        total = sum(times.values())
        shares.append({kind: f"{100 * value / total:.0f}" for kind, value in times.items()})
    return [(kind, *(share[kind] for share in shares)) for kind in shares[0]]


def _is(event: str, key: str) -> bool:
    """Return whether an event matches a key: operators by their full names, anything else by a part of the name."""
    return event == key if key.startswith("aten::") else key in event
