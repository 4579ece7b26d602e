"""Attaches inter-modal paths to the linears of a model, beside any intra-modal method; saves and loads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.methods.base import check_tensors, read_tensors, write_tensors
from bench.methods.fused_linears import FusedExchange, fused_evaluator
from bench.methods.inter_modal import Hypernetwork, InterModal, InterModalExchange, PlainExchange, Terms
from bench.streams.base import STAGES, SummaryKind
from bench.streams.lockstep import MultiStream

FOLDER = "inter_modal"
_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Where:
    """Where inter-modal terms are put.

    Attributes:
        paths: pairs (source, target) of streams: the target reads the source. None for all.
        blocks: "all" paired blocks, the "first" half of them or the "last".
        linears: "all" of a block, those of "attention" or those of "feed_forward".
    """

    paths: frozenset[tuple[str, str]] | None = None
    blocks: str = "all"
    linears: str = "all"

    def partners(self, model: MultiStream, name: str) -> list[str]:
        """Return the streams that a stream reads."""
        others = (other for other in model.streams if other != name)
        return [other for other in others if self.paths is None or (other, name) in self.paths]

    def has_step(self, number: int, steps: int) -> bool:
        """Return whether the paired blocks of this step, of so many, have terms."""
        half = steps // 2
        return {"all": True, "first": number < half, "last": number >= half}[self.blocks]

    def has_stage(self, stage: str) -> bool:
        """Return whether the linears of a stage have terms."""
        return self.linears == "all" or (stage == "feed_forward") == (self.linears == "feed_forward")


def attach_inter_modal(
    model: MultiStream,
    r: int,
    reduction: int,
    scale: float,
    where: Where = Where(),
    *,
    hidden: Mapping[str, int] | None = None,
    shared: bool = False,
    fused: bool = True,
    summary: SummaryKind | None = None,
) -> None:
    """Give linears of paired blocks an inter-modal term for each stream that they are to read.

    It is added to what the linears give then, be it by PEFT's layers, by another way to evaluate them alone, or by an
    exchange that is there already.

    Args:
        model: to be adapted, in place.
        r: rank.
        reduction: the hypernetworks' hidden width is the partner's width // reduction, at least 1.
        scale: what s_c begins with.
        where: which linears; all by default.
        hidden: the hidden width itself, by the stream whose linears are adapted, in place of `reduction`.
        shared: one hypernetwork for all linears of a stream that read the same partner, as far as its width is equal.
        fused: evaluate them in the fused form rather than term by term; the results are equal but for rounding.
        summary: what is read: the class token (cls) or the mean of all tokens (mean); None for the model's kind.
    """
    kind: Callable[[Terms], InterModalExchange] = partial(FusedExchange, shared=shared) if fused else PlainExchange
    common: dict[tuple[str, str, int], Hypernetwork] = {}  # by target, source and width
    for number, step in enumerate(model.schedule):
        if not where.has_step(number, len(model.schedule)):
            continue
        made: dict[str, dict[str, dict[str, InterModal]]] = {}
        for name, turn in step.items():
            stream = model.streams[name]
            like = next(stream.encoder.parameters())
            for role in stream.linears(turn.paired):
                if not where.has_stage(_stage_of(role)):
                    continue
                for partner in where.partners(model, name):
                    width = model.streams[partner].width_at(step[partner].paired)
                    narrow = hidden[name] if hidden else max(1, width // reduction)
                    hyper = common.get((name, partner, width))
                    term = InterModal(stream.features(turn.paired, role), width, r, narrow, scale, hyper)
                    if shared:
                        common[name, partner, width] = term.hyper
                    made.setdefault(name, {}).setdefault(role, {})[partner] = term.to(like.device, like.dtype)
        for stage, roles in STAGES.items():
            terms = {name: {role: own[role] for role in roles if role in own} for name, own in made.items()}
            exchange = kind(terms)
            exchange.summary, exchange.covers = summary, fused_evaluator
            model.add_exchange(number, stage, exchange)


def _stage_of(role: str) -> str:
    return next(stage for stage, roles in STAGES.items() if role in roles)


def save_inter_modal(model: MultiStream, folder: Path) -> None:
    """Write the inter-modal terms of all streams: a folder with the form of a PEFT adapter's."""
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CONFIG).write_text(json.dumps(_description(model), indent=2) + "\n", encoding="utf-8")
    write_tensors(inter_modal_tensors(model), folder / _WEIGHTS)


def load_inter_modal(model: MultiStream, folder: Path) -> None:
    """Read back what `save_inter_modal` wrote.

    Raises:
        BenchError: the saved terms are missing, or not those of the model.
    """
    path = folder / FOLDER / _WEIGHTS
    saved = read_tensors(path)
    here = inter_modal_tensors(model)
    check_tensors(saved, here, path)
    with torch.no_grad():
        for name, tensor in here.items():
            tensor.copy_(saved[name])


def _description(model: MultiStream) -> dict[str, Any]:
    """Return what somebody needs to know who reads the tensors."""
    exchanges = [exchange for _, exchange in model.exchanges() if isinstance(exchange, InterModalExchange)]
    return {
        "equation": "y = intra(x) + sum over partners of scale * B Phi(x_c) A x",
        "names": "stream.block.role.partner.parameter",
        "summary": next((exchange.summary for exchange in exchanges if exchange.summary), model.summary),
        "widths": {name: stream.width for name, stream in model.streams.items()},
        "paths": sorted({f"{source}>{name}" for exchange in exchanges for source, name in exchange.paths}),
    }


def inter_modal_tensors(model: MultiStream) -> dict[str, Tensor]:
    """Return the inter-modal parameters by `stream.block.role.partner.parameter`; they share the model's memory.

    Of several terms for one linear and partner, those that were added last: the others have no names of this form.
    """
    found = {
        (target, model.schedule[step][target].paired, role, source, name): tensor
        for step, exchange in model.exchanges()
        if isinstance(exchange, InterModalExchange)
        for (target, role, source, name), tensor in exchange.tensors()
    }
    return {
        ".".join(map(str, key)): tensor for name in model.streams for key, tensor in found.items() if key[0] == name
    }
