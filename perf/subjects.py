"""The models that are measured: pairs of streams of two sizes, adapted by methods, with AVE's head and loss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTConfig, ViTConfig

from bench.methods.adalora import AdaLoRA
from bench.methods.base import Method
from bench.methods.cola import CoLA
from bench.methods.dora import DoRA
from bench.methods.fused_linears import FusedExchange
from bench.methods.lora import LoRA
from bench.methods.peft_method import PeftMethod
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.load import build_stream, load_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.ave import AVE
from bench.tasks.heads import ClassTokens
from bench.tasks.model import TaskModel

CLASSES = 29


class PlainCoLA(CoLA):
    """CoLA in the plain form of its equation."""

    fused = False


class FixedPhi(nn.Module):
    """Returns the Phi (G, B, R, R) of its first call ever after, without gradients."""

    def __init__(self, hypernetworks: nn.Module) -> None:
        super().__init__()
        self.hypernetworks = hypernetworks
        self.phi_GBRR: Tensor | None = None

    def forward(self, summary_GBC: Tensor) -> Tensor:
        """Return Phi, whatever the summaries (G, B, C) are."""
        if self.phi_GBRR is None:
            with torch.no_grad():
                self.phi_GBRR = self.hypernetworks(summary_GBC)
        return self.phi_GBRR


class CoLAFixedPhi(CoLA):
    """CoLA without the cost of its hypernetworks: of its cost beyond LoRA's, the part that is not theirs."""

    def attach(self, model: MultiStream) -> None:
        """Attach CoLA, and put the hypernetworks out of use."""
        super().attach(model)
        for _, exchange in model.exchanges():
            assert isinstance(exchange, FusedExchange)
            for number, hypernetworks in enumerate(exchange.hypers):
                hypernetworks.requires_grad_(False)
                exchange.hypers[number] = FixedPhi(hypernetworks)


def with_peft_layers(kind: type[PeftMethod], **settings: Any) -> Callable[[], Method]:
    """Return a factory of the method in which PEFT's layers evaluate the linears, not the fused form."""

    class WithPeftLayers(kind):  # type: ignore[misc,valid-type]
        def attach(self, model: MultiStream) -> None:
            super().attach(model)
            for stream in model.streams.values():
                stream.default_evaluator = None

    return partial(WithPeftLayers, **settings)


def methods(r: int, reduction: int) -> dict[str, Callable[[], Method]]:
    """Return factories of the compared methods, by name; ratios are relative to `LoRA`."""
    return {
        "LoRA": partial(LoRA, r=r),
        "LoRA, PEFT's layers": with_peft_layers(LoRA, r=r),
        "LoRA 2r": partial(LoRA, r=2 * r),
        "DoRA": partial(DoRA, r=r),
        "DoRA, PEFT's layers": with_peft_layers(DoRA, r=r),
        "AdaLoRA": partial(AdaLoRA, init_r=r),
        "AdaLoRA, PEFT's layers": with_peft_layers(AdaLoRA, init_r=r),
        "CoLA, Phi fixed": partial(CoLAFixedPhi, r=r, reduction=reduction),
        "CoLA": partial(CoLA, r=r, reduction=reduction),
        "CoLA, plain": partial(PlainCoLA, r=r, reduction=reduction),
    }


@dataclass(frozen=True)
class Size:
    """The sizes of the streams and of a batch.

    Attributes:
        name: Name of the size, for the tables.
        reduction: Reduction of CoLA's hypernetworks.
        videos: Videos per batch.
        seconds: Seconds per video.
        depth: Number of blocks; None for that of the encoders.
        pixels: Side of an image; None for that of the encoders.
    """

    name: str
    reduction: int
    videos: int
    seconds: int = 10
    depth: int | None = None
    pixels: int | None = None

    def streams(self) -> MultiStream:
        """Return streams of vision and audio: embedded ones, or ViTs with random weights."""
        return copy.deepcopy(_streams(self.name, self.depth, self.pixels))

    def batch(self, streams: MultiStream, device: torch.device) -> dict[str, Tensor]:
        """Return a batch of random media and labels."""
        torch.manual_seed(0)
        vision, audio = (stream.input for stream in streams.streams.values())
        assert isinstance(vision, ImageInput) and isinstance(audio, AudioInput)
        side, shape = vision.size, (self.videos, self.seconds)
        batch = {
            "vision": torch.randint(0, 256, (*shape, 3, side, side), dtype=torch.uint8),
            "audio": torch.randn(*shape, audio.frames, audio.mel_bins) * audio.std + audio.mean,
            "label": torch.randint(0, CLASSES, shape),
        }
        return {name: value.to(device) for name, value in batch.items()}


_HEADS = {"mini": 4, "ViT-S": 6, "ViT-B": 12}
"""Attention heads of an encoder, by size; those of ViT are 64 wide."""


@lru_cache(maxsize=2)
def _streams(name: str, depth: int | None, pixels: int | None) -> MultiStream:
    if name == "mini" and depth is None and pixels is None:
        return MultiStream({"vision": load_stream("embedded:vision-v2"), "audio": load_stream("embedded:audio-v1")})
    heads = _HEADS[name]
    width = 64 if name == "mini" else 64 * heads
    shape = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    patch, side, depth = (8, pixels or 56, depth or 4) if name == "mini" else (16, pixels or 224, depth or 12)
    frames = 98
    vision = ViTConfig(image_size=side, patch_size=patch, num_hidden_layers=depth, **shape)
    audio = ASTConfig(max_length=frames, num_hidden_layers=depth, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MultiStream(
            {
                "vision": build_stream(vision, ImageInput(side, (0.5,) * 3, (0.25,) * 3)),
                "audio": build_stream(audio, AudioInput(16_000, 128, frames, -4.0, 4.0)),
            }
        )


class Subject:
    """One method on one pair of streams: its training step and its scoring."""

    def __init__(self, size: Size, make: Callable[[], Method], device: torch.device) -> None:
        self.device = device
        streams = size.streams()
        torch.manual_seed(0)
        head = ClassTokens({name: stream.width for name, stream in streams.streams.items()}, 512, CLASSES)
        torch.manual_seed(0)
        self.method = make()
        self.method.attach(streams)
        self.model = TaskModel(streams, head).to(device)
        self.task = AVE()
        self.batch = size.batch(streams, device)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4, fused=True)

    def loss(self) -> Tensor:
        """Return the loss of the batch; in bfloat16 on a GPU."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.task.loss(self.model(self.batch), self.batch)

    def step(self) -> None:
        """Do a training step, as the harness does it."""
        self.model.train()
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def score(self) -> None:
        """Do a forward pass without gradients."""
        self.model.eval()
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            self.model(self.batch)
