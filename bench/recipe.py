"""The training recipe: what a run's loop needs to know, the same for every method of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PER_METHOD = ("lr_adapter", "lr_head")
"""Fields that a method may have values of its own for, since its parameters need it. All others are common to all."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. A suite gives it; its tasks and methods, and the command line, may change it."""

    epochs: int
    """Passes over the training split."""
    batch_size: int
    """Samples of one optimiser step."""
    eval_batch_size: int
    """Samples scored at a time; does not alter the scores."""
    lr_adapter: float
    """Peak learning rate of the method's parameters."""
    lr_head: float
    """Peak learning rate of the task's head."""
    weight_decay: float
    """AdamW's weight decay, for every trained parameter."""
    warmup: float
    """Share of all steps, in [0, 1), over which the learning rates rise from zero."""
    clip: float
    """Largest norm of the gradient over all trained parameters; 0 does not clip."""
    precision: Literal["auto", "no", "bf16", "fp16"]
    """Mixed precision; `auto` takes bf16 on GPUs that have it and float32 elsewhere."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "lr_adapter", "lr_head"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, not {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be in [0, 1), not {self.warmup}")
