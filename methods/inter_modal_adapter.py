"""Attach inter-modal paths to the linears of a model, beside any intra-modal method; save and load them."""

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
from bench.methods.inter_modal import Hypernetwork, InterModal, InterModalExchange, PlainExchange, Terms, joined
from bench.streams.base import SummaryKind
from bench.streams.lockstep import MultiStream
from bench.streams.roles import STAGES

FOLDER = "inter_modal"
_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Placement:
    """The linears that have inter-modal terms.

    Attributes:
        paths: Pairs (source, target) of streams: the target reads the source. None for all.
        blocks: "all" paired blocks, the "first" half of them or the "last".
        linears: "all" of a block, those of "attention" or those of "feed_forward".
    """

    paths: frozenset[tuple[str, str]] | None = None
    blocks: str = "all"
    linears: str = "all"

    def partners(self, model: MultiStream, name: str) -> list[str]:
        """Return the streams that a stream reads."""
        return [
            source
            for source in model.streams
            if source != name and (self.paths is None or (source, name) in self.paths)
        ]

    def has_step(self, number: int, steps: int) -> bool:
        """Return whether the paired blocks of a step have terms, given the number of steps."""
        half = steps // 2
        return {"all": True, "first": number < half, "last": number >= half}[self.blocks]

    def has_stage(self, stage: str) -> bool:
        """Return whether the linears of a stage have terms."""
        return self.linears == "all" or (stage == "feed_forward") == (self.linears == "feed_forward")


def attach_inter_modal(
    model: MultiStream,
    r: int | Callable[[str, int, str], int],
    reduction: int,
    scale: float,
    placement: Placement = Placement(),
    *,
    hidden: Mapping[str, int] | None = None,
    shared: bool = False,
    joint: bool = False,
    fused: bool = True,
    summary: SummaryKind | None = None,
) -> None:
    """Give linears of paired blocks an inter-modal term for each partner stream that they read.

    The adapted linear is

        y = intra(x) + sum over partners of s_c B_c Phi(x_c) A_c x

    where intra(x) is what the linear returns without the terms: the output of PEFT's layers, of another evaluator, or
    of an exchange that was added before. Joint terms have one s_c B_c Phi(x_c) A_c x for all partners of a linear, with
    their summaries side by side as x_c.

    Args:
        model: The model to adapt, in place.
        r: Rank of all terms, or a function that returns it for a stream, a block and a role.
        reduction: The hidden width of hypernetworks is the partner's width // reduction, at least 1.
        scale: Initial s_c.
        placement: The linears to adapt; all by default.
        hidden: The hidden width itself, by the stream whose linears are adapted, instead of `reduction`.
        shared: Whether all linears of a stream that have the same rank, and read partners of the same width, share one
            hypernetwork.
        joint: Whether the partners of a linear have one term together.
        fused: Whether to evaluate the terms in the fused form; the plain form is equal up to rounding.
        summary: The summary to read: the class token (cls) or the mean of all tokens (mean); None for the model's kind.
    """
    kind: Callable[[Terms], InterModalExchange] = partial(FusedExchange, shared=shared) if fused else PlainExchange
    shared_hypers: dict[tuple[str, str, int, int], Hypernetwork] = {}  # by target, source, width and rank
    for number, step in enumerate(model.schedule):
        if not placement.has_step(number, len(model.schedule)):
            continue
        terms_by_stream: dict[str, dict[str, dict[str, InterModal]]] = {}
        for name, turn in step.items():
            stream = model.streams[name]
            parameter = next(stream.encoder.parameters())
            for role in stream.linears(turn.paired):
                if not placement.has_stage(_stage_of(role)):
                    continue
                rank = r if isinstance(r, int) else r(name, turn.paired, role)
                partners = placement.partners(model, name)
                for sources in [partners] if joint and partners else [[partner] for partner in partners]:
                    partner = joined(sources)
                    width = sum(model.streams[source].width_at(step[source].paired) for source in sources)
                    hidden_width = hidden[name] if hidden else max(1, width // reduction)
                    hyper = shared_hypers.get((name, partner, width, rank))
                    term = InterModal(stream.features(turn.paired, role), width, rank, hidden_width, scale, hyper)
                    if shared:
                        shared_hypers[name, partner, width, rank] = term.hyper
                    terms_by_stream.setdefault(name, {}).setdefault(role, {})[partner] = term.to(
                        parameter.device, parameter.dtype
                    )
        for stage, roles in STAGES.items():
            terms = {
                name: {role: by_role[role] for role in roles if role in by_role}
                for name, by_role in terms_by_stream.items()
            }
            exchange = kind(terms)
            exchange.summary, exchange.covers = summary, fused_evaluator
            model.add_exchange(number, stage, exchange)


def _stage_of(role: str) -> str:
    return next(stage for stage, roles in STAGES.items() if role in roles)


def save_inter_modal(model: MultiStream, folder: Path) -> None:
    """Write the inter-modal terms of all streams into a folder laid out like a PEFT adapter."""
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CONFIG).write_text(json.dumps(_description(model), indent=2) + "\n", encoding="utf-8")
    write_tensors(inter_modal_tensors(model), folder / _WEIGHTS)


def load_inter_modal(model: MultiStream, folder: Path) -> None:
    """Load terms that `save_inter_modal` wrote into the model.

    Raises:
        BenchError: The saved terms are missing or do not match those of the model.
    """
    path = folder / FOLDER / _WEIGHTS
    saved = read_tensors(path)
    tensors = inter_modal_tensors(model)
    check_tensors(saved, tensors, path)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])


def _description(model: MultiStream) -> dict[str, Any]:
    """Return what a reader of the tensors needs to know."""
    exchanges = [exchange for _, exchange in model.exchanges() if isinstance(exchange, InterModalExchange)]
    return {
        "equation": "y = intra(x) + sum over partners of scale * B Phi(x_c) A x",
        "names": "stream.block.role.partner.parameter",
        "summary": next((exchange.summary for exchange in exchanges if exchange.summary), model.summary),
        "widths": {name: stream.width for name, stream in model.streams.items()},
        "paths": sorted({f"{source}>{name}" for exchange in exchanges for source, name in exchange.paths}),
    }


def inter_modal_tensors(model: MultiStream) -> dict[str, Tensor]:
    """Return the inter-modal parameters by `stream.block.role.partner.parameter`, sharing the model's memory.

    If a linear has several terms for one partner, only the last added ones have such names.
    """
    tensors = {
        (target, model.schedule[step][target].paired, role, source, name): tensor
        for step, exchange in model.exchanges()
        if isinstance(exchange, InterModalExchange)
        for (target, role, source, name), tensor in exchange.tensors()
    }
    return {
        ".".join(map(str, key)): tensor for name in model.streams for key, tensor in tensors.items() if key[0] == name
    }
