"""CoLA in the structure of its authors' public code, to show what the fused form saves.

Their code is not contained here. As there, each linear has modules of its own for its two paths and for its
hypernetwork, q, k and v are one product to whose outputs the three low-rank terms are added, and autograd computes the
gradients. Structure: https://arxiv.org/abs/2604.03314 and the code that it links to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.measurement.speed import by_turns
from bench.methods.cola import CoLA
from bench.methods.inter_modal import PlainExchange
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.methods.lora import LoRA
from bench.streams.lockstep import MultiStream
from perf.subjects import Size, Subject

TOLERANCE = 1e-6  # of the loss, relative
SIZES = (  # two blocks a stream
    (Size("ViT-B", reduction=16, videos=1, seconds=4, depth=2), 16),
    (Size("ViT-S", reduction=16, videos=1, seconds=4, depth=2), 16),
    (Size("mini", reduction=8, videos=8, depth=2), 4),
)


class AuthorsForm(CoLA):
    """CoLA whose linears are evaluated in the authors' structure."""

    fused = False

    def attach(self, model: MultiStream) -> None:
        """Attach CoLA's paths, and evaluate them in the authors' structure."""
        super().attach(model)
        for stages in model.inter.values():
            for exchanges in stages.values():  # type: ignore[operator]
                for number, exchange in enumerate(exchanges):
                    exchanges[number] = _AuthorsExchange(exchange)


class _AuthorsExchange(PlainExchange):
    def __init__(self, exchange: PlainExchange) -> None:
        super().__init__(exchange.terms)
        self.summary, self.covers = exchange.summary, exchange.covers
        self._merged: dict[str, tuple[Tensor, Tensor]] = {}  # the frozen weight and bias of q, k and v, by stream

    def _evaluate(
        self, name: str, summaries: Mapping[str, Tensor], modules: Mapping[str, nn.Module], x_BTI: Tensor
    ) -> list[Tensor]:
        layers: list[Any] = list(modules.values())
        deltas = [self._delta(name, role, summaries, layer, x_BTI) for role, layer in modules.items()]
        if len(layers) == 1:
            return [layers[0].base_layer(x_BTI) + deltas[0]]
        if name not in self._merged:
            bases = [layer.base_layer for layer in layers]
            self._merged[name] = torch.cat([b.weight for b in bases]), torch.cat([b.bias for b in bases])
        return list((F.linear(x_BTI, *self._merged[name]) + torch.cat(deltas, dim=-1)).chunk(len(layers), dim=-1))

    def _delta(self, name: str, role: str, summaries: Mapping[str, Tensor], layer: Any, x_BTI: Tensor) -> Tensor:
        (adapter,) = layer.active_adapters
        y_BTO = layer.lora_B[adapter](layer.lora_A[adapter](x_BTI)) * layer.scaling[adapter]
        for partner, term in self.terms[name][role].items():
            y_BTO = y_BTO + term(x_BTI, summaries[partner])
        return y_BTO


def rows(device: torch.device, rounds: int, threads: tuple[int, ...] = (1, 2)) -> Iterator[tuple[str, ...]]:
    """Yield, for each size: its name, and the times of our CoLA and of the authors' form relative to our LoRA.

    Forward and backward of two blocks a stream, AVE's head included, by turns in one process; both forms have equal
    losses. On a GPU, threads do not matter and one number is measured.
    """
    for size, r in SIZES:
        makes = {
            "LoRA": partial(LoRA, r=r),
            "CoLA": partial(CoLA, r=r, reduction=size.reduction),
            "authors": partial(AuthorsForm, r=r, reduction=size.reduction),
        }
        subjects = {name: Subject(size, make, device) for name, make in makes.items()}
        for subject in subjects.values():
            _perturb(subject)
        losses = [subjects[name].loss().item() for name in ("CoLA", "authors")]
        if device.type == "cpu" and abs(losses[0] - losses[1]) > TOLERANCE * abs(losses[1]):
            raise AssertionError(f"{size.name}: the two forms of CoLA differ: {losses}")
        cells = []
        for count in threads if device.type == "cpu" else threads[:1]:
            with _threads(count):
                steps = {name: partial(_forward_and_backward, subject) for name, subject in subjects.items()}
                ratios = by_turns(steps, "LoRA", rounds, device)
            cells += [str(ratios["CoLA"]), str(ratios["authors"])]
        yield f"{size.name}, {size.videos * size.seconds} rows, r {r}", *cells


def _perturb(subject: Subject) -> None:
    """Change the adapters, the same way in both forms: they are zero at first, and losses would not depend on them."""
    generator = torch.Generator().manual_seed(0)
    streams = subject.model.streams
    trained = [p for name, p in streams.named_parameters() if p.requires_grad and ".lora_" in name]
    with torch.no_grad():
        for tensor in (*trained, *inter_modal_tensors(streams).values()):
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator).to(tensor)


def _forward_and_backward(subject: Subject) -> None:
    subject.loss().backward()
    for parameter in subject.trained:
        parameter.grad = None


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
