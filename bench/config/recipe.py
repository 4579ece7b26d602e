"""The training recipe: what a run's loop needs to know, the same for every method of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

PER_METHOD = ("lr_adapter", "lr_head", "head_factor")
"""Fields that a method may have values of its own for: rates, since its parameters need it, and how much longer a head
is trained by itself. All others are common to all."""

BETA1 = 0.9  # AdamW's; the other is the recipe's


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. A suite gives it; its tasks and methods, and the command line, may change it."""

    epochs: int
    """Epochs, each of so many `passes` over the training split and a validation."""
    batch_size: int
    """Samples of one optimizer step, of all processes together."""
    eval_batch_size: int
    """Samples scored at a time; does not alter the scores."""
    lr_adapter: float
    """Peak learning rate of the method's parameters."""
    lr_head: float
    """Peak learning rate of the task's head."""
    weight_decay: float
    """AdamW's weight decay, for every trained parameter; with 0 it is Adam."""
    warmup: float
    """Share of all steps, in [0, 1), over which the learning rates rise from zero."""
    clip: float
    """Largest norm of the gradient over all trained parameters; 0 does not clip."""
    precision: Literal["auto", "no", "bf16", "fp16"]
    """Mixed precision; `auto` takes bf16 on GPUs that have it and float32 elsewhere."""
    # Fields from here on came later. What they are by default is left out of a run's specification (see `to_config`).
    schedule: Literal["cosine", "constant", "poly"] = "cosine"
    """After the warm-up the learning rates fall as a half cosine, stay, or fall by epochs as (1 - epoch/epochs)^0.9."""
    patience: int | None = None
    """Epochs without a better validation score after which training stops; none for never."""
    beta2: float = 0.999
    """How slowly AdamW forgets squared gradients, in [0, 1). With 0.999 they are a mean over about a thousand steps: in
    short runs a step is far too long where gradients grow within fewer."""
    head_factor: int = 1
    """So many times the epochs where no stream is trained: the head alone is cheap, and needs more steps."""
    head_first: int = 0
    """Epochs in which the head alone is trained, on what the streams give before they are trained, ahead of all others:
    what is adapted then answers to a head that knows the task. Where no stream is trained they are as many more epochs.
    Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022."""
    views: int | None = None
    """How many augmented views of each training sample are made where no stream is trained: they then go through the
    streams once, and training draws among them. Unset: a view of its own in every pass."""
    train_share: float = 1.0
    """Share of the training split that is used, in (0, 1]: the same samples for every method and seed, those of one
    picture together; a larger share holds all of a smaller one."""
    passes: int = 1
    """Passes over the training split in an epoch: with few samples validation would take longer than training."""
    micro_batch: int | None = None
    """Samples that a process puts through the model at a time, gradients being added up; none for its whole batch."""
    gradient_checkpointing: bool = False
    """Compute a block again in the backward pass instead of keeping what it needs: less memory, more time."""
    compile: bool = False
    """Compile the training step's model with `torch.compile`."""
    low_precision_frozen: bool = False
    """Keep frozen linears and convolutions in the mixed precision's type: half their memory."""

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "eval_batch_size",
            "lr_adapter",
            "lr_head",
            "patience",
            "head_factor",
            "views",
            "passes",
            "micro_batch",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        for name in ("weight_decay", "clip", "head_first"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, not {getattr(self, name)}")
        for name in ("warmup", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if not 0 < self.train_share <= 1:
            raise ValueError(f"train_share must be in (0, 1], not {self.train_share}")

    def to_config(self) -> dict[str, Any]:
        """Return what tells this recipe from others, as plain values: so a run keeps its id when a field is added."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def complete(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of a recipe in plain values, with those that `to_config` leaves out of a specification."""
    return {field.name: field.default for field in fields(Recipe) if field.default is not MISSING} | dict(recipe)


def per_method(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe, in plain values, that a method may set for itself."""
    return {name: recipe[name] for name in PER_METHOD if name in recipe}
