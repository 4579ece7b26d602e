"""Times and memory of LoRA and CoLA as they are, captured as CUDA graphs, and compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch._dynamo

from bench.measurement.memory import release_memory
from bench.measurement.speed import by_turns
from bench.system import memory_errors
from perf import sections
from perf.subjects import Size, Subject, methods

FULL = Size("ViT-B", reduction=16, videos=4)
TINY = Size("mini", reduction=8, videos=1, seconds=1, depth=1, pixels=16)

TARGETS = {("LoRA", "step"): 1.05, ("LoRA", "memory"): 1.05, ("LoRA", "scoring"): 1.05, ("CoLA, plain", "step"): 0.7}
"""What CoLA's ratio to a method shall not exceed, by that method and what is measured."""


class UnsupportedError(Exception):
    """Torch cannot compile or capture a model; says why."""


@dataclass(frozen=True)
class Variant:
    """A way to run models.

    Attributes:
        names: The methods, of `perf.subjects.methods`; the first one is what the others are compared with.
        mode: The mode of torch.compile; None to leave models as they are.
        graph: Whether steps are captured as CUDA graphs.
        memory: Whether the peak of a step is measured: a graph's memory is allocated when it is captured.
    """

    names: tuple[str, ...]
    mode: str | None = None
    graph: bool = False
    memory: bool = True


_BOTH, _PLAIN = ("LoRA", "CoLA"), ("CoLA, plain", "CoLA")
VARIANTS = {
    "eager": Variant((*_BOTH, "CoLA, plain")),
    "CUDA graph": Variant((*_BOTH, "CoLA, plain"), graph=True, memory=False),
    "torch.compile": Variant(_BOTH, mode="default"),
    "torch.compile with CUDA graphs": Variant(_BOTH, mode="reduce-overhead", memory=False),
    "torch.compile, plain form": Variant(_PLAIN, mode="default"),
    "torch.compile with CUDA graphs, plain form": Variant(_PLAIN, mode="reduce-overhead", memory=False),
}
"""The variants, by the name of their row."""


def measure(variant: Variant, device: torch.device, rounds: int, size: Size) -> dict[str, Any]:
    """Measure a training step, its memory, and scoring with what merges merged.

    Returns:
        By "step", "memory" and "scoring", by method: milliseconds and their ratio to the first method's (median and
        quartiles over rounds), or bytes. Under "compiler", how much of the models torch compiled.

    Raises:
        UnsupportedError: Torch cannot compile or capture a model, or this device has no CUDA graphs.
    """
    if device.type != "cuda" and (variant.graph or variant.mode == "reduce-overhead"):
        raise UnsupportedError("there are no CUDA graphs on a CPU")
    torch._dynamo.reset()  # else models of earlier variants count towards the limit of compiled versions
    torch._dynamo.utils.counters.clear()
    with _limit_reached() as reached:
        figures = _measure(variant, device, rounds, size)
    if variant.mode:
        breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
        figures["compiler"] = {"graph breaks": breaks, "gave up recompiling": bool(reached)}
    release_memory()
    return figures


@contextmanager
def _limit_reached() -> Iterator[list[str]]:
    """Yield a list that gets torch's warnings that a function has too many versions and now runs uncompiled."""
    warnings: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "recompile_limit" in (message := record.getMessage()):
                warnings.append(message)

    listener, logger = Listener(), logging.getLogger("torch._dynamo.convert_frame")
    logger.addHandler(listener)
    try:
        yield warnings
    finally:
        logger.removeHandler(listener)


def _measure(variant: Variant, device: torch.device, rounds: int, size: Size) -> dict[str, Any]:
    factories = methods(sections.R, size.reduction)
    if variant.memory:  # libraries allocate their working memory once, which belongs to no subject
        Subject(size, factories[variant.names[0]], device).step()
        release_memory()
    subjects, resident = {}, {}
    for name in variant.names:
        before = _allocated(device)
        subjects[name] = subject = Subject(size, factories[name], device)
        with _unsupported_if_it_fails(variant, name):
            _prepare(subject, variant)
            subject.step()
        resident[name] = _allocated(device) - before
    figures: dict[str, Any] = {}
    if variant.memory:
        figures["memory"] = {
            # Without what the other subjects take meanwhile.
            name: sections.memory(subject) - _allocated(device) + resident[name]
            if device.type == "cuda"
            else sections.memory(subject)
            for name, subject in subjects.items()
        }
    figures["step"] = _times({name: subject.step for name, subject in subjects.items()}, variant, device, rounds)
    if "LoRA" in subjects:
        for subject in subjects.values():
            subject.method.merge()
        scoring = {name: subject.score for name, subject in subjects.items()}
        figures["scoring"] = _times(scoring, variant, device, rounds)
    return figures


def _prepare(subject: Subject, variant: Variant) -> None:
    """Compile the model, or let the optimizer's steps be captured."""
    if variant.mode:
        # A dry run traces and does not generate code, which would take a compiler and minutes.
        options = {"mode": variant.mode} if subject.device.type == "cuda" else {"backend": "eager"}
        subject.model.compile(**options)
    if variant.graph:
        for group in subject.optimizer.param_groups:
            group["capturable"] = True


def _times(
    actions: dict[str, Callable[[], object]], variant: Variant, device: torch.device, rounds: int
) -> dict[str, Any]:
    """Return milliseconds by method, with the ratios to the first one."""
    ready = {}
    for name, action in actions.items():
        with _unsupported_if_it_fails(variant, name):
            ready[name] = captured(action) if variant.graph else action
            ready[name]()  # compiles what it has not before
    return {
        name: {"ms": 1000 * ratio.seconds, "ratio": asdict(ratio.times)}
        for name, ratio in by_turns(ready, variant.names[0], rounds, device).items()
    }


def captured(action: Callable[[], object]) -> Callable[[], object]:
    """Return a function that replays an action, captured as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what libraries allocate at first must not be captured
        for _ in range(3):
            action()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    return graph.replay


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


@contextmanager
def _unsupported_if_it_fails(variant: Variant, name: str) -> Iterator[None]:
    """Take an error for torch's refusal, except of models that run as they are, and except a lack of memory."""
    try:
        yield
    except Exception as error:
        if not (variant.mode or variant.graph) or memory_errors.ran_out(error):
            raise
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise UnsupportedError(f"{name}: {type(error).__name__}: {first}") from error


def lines(variant_name: str, figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the ratios of CoLA for a table: what is compared, the ratio, and the target or ""."""
    base = VARIANTS[variant_name].names[0]
    rows = []
    for measured in ("step", "memory", "scoring"):
        by_method = figures.get(measured, {})
        for reference in dict.fromkeys((base, *(name for name in by_method if name == "CoLA, plain"))):
            if reference not in by_method:
                continue
            ratio, target = _ratio(by_method, reference), TARGETS.get((reference, measured))
            rows.append((f"{measured}, CoLA against {reference}", ratio, f"{target}" if target else ""))
    return rows


def _ratio(by_method: dict[str, Any], reference: str) -> str:
    cola, base = by_method["CoLA"], by_method[reference]
    if isinstance(cola, int):
        return f"{cola / base:.3f} ({cola / 1e6:,.0f} MB)"
    if base["ratio"]["low"] == base["ratio"]["high"] == 1:  # what the ratios within rounds are to
        spread = cola["ratio"]
        return f"{spread['median']:.3f} ({spread['low']:.2f}-{spread['high']:.2f}; {cola['ms']:.1f} ms)"
    return f"{cola['ms'] / base['ms']:.3f} ({cola['ms']:.1f} ms)"
