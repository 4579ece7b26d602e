"""The training recipe: the settings of a run's training loop, the same for every method of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

PER_METHOD = ("lr_adapter", "lr_head", "head_factor")
"""Fields that may differ between methods: learning rates, since each method's parameters need their own, and how much
longer the head is trained if it is trained alone. All other fields are the same for all methods."""

BETA1 = 0.9  # AdamW's; beta2 is a field of the recipe


@dataclass(frozen=True)
class Recipe:
    """The settings of training. A suite sets them; its tasks and methods, and the command line, may override them."""

    epochs: int
    """Number of epochs, each with `passes` passes over the training split followed by validation."""
    batch_size: int
    """Samples per optimizer step, over all processes."""
    eval_batch_size: int
    """Samples scored at a time; does not affect the scores."""
    lr_adapter: float
    """Peak learning rate of the method's parameters."""
    lr_head: float
    """Peak learning rate of the task's head."""
    weight_decay: float
    """AdamW's weight decay, for all trainable parameters; with 0, AdamW equals Adam."""
    warmup: float
    """Fraction of all steps, in [0, 1), over which the learning rates rise from zero."""
    clip: float
    """Maximum norm of the gradient over all trainable parameters; 0 for no clipping."""
    precision: Literal["auto", "no", "bf16", "fp16"]
    """Mixed precision; `auto` is bf16 on GPUs that support it and float32 elsewhere."""
    # The fields below were added later. Their defaults are left out of a run's specification (see `to_config`).
    schedule: Literal["cosine", "constant", "poly"] = "cosine"
    """Learning rates after the warm-up: falling as a half cosine, constant, or falling per epoch as
    (1 - epoch/epochs)^0.9."""
    patience: int | None = None
    """Epochs without a better validation score after which training stops; none to train to the end."""
    beta2: float = 0.999
    """AdamW's decay rate of the mean of squared gradients, in [0, 1). 0.999 averages over about a thousand steps; in
    shorter runs, steps become far too large if gradients grow during training."""
    head_factor: int = 1
    """Factor on the number of epochs if no stream is trained: training only the head is cheap but needs more steps."""
    head_first: int = 0
    """Number of additional epochs at the start in which only the head is trained, on the streams' pretrained features,
    so that adaptation starts with a head that has learned the task. If no stream is trained, they are ordinary
    additional epochs. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
    ICLR 2022."""
    views: int | None = None
    """Number of augmented views per training sample if no stream is trained, or no block of the first steps of the
    lockstep: what is frozen encodes them once, and training draws among them. None for a new view in every pass."""
    train_share: float = 1.0
    """Fraction of the training split to use, in (0, 1]: the same samples for every method, with samples of one picture
    kept together. A larger fraction includes the samples of a smaller one."""
    train_draw: Literal["fixed", "seed"] = "fixed"
    """Which samples `train_share` takes: the same for every seed, or others for each, so that the spread over seeds and
    the intervals also say what other training samples would have given."""
    passes: int = 1
    """Passes over the training split per epoch: with few samples, validation would take longer than training."""
    micro_batch: int | None = None
    """Samples per forward pass of a process, with gradients accumulated; none for its whole batch."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass instead of storing their activations: less memory, more time."""
    compile: bool = False
    """Compile the model with `torch.compile` for training."""
    low_precision_frozen: bool = False
    """Store frozen linear and convolution layers in the mixed precision's type, which halves their memory."""

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
        """Return the fields that differ from their defaults, so that run ids stay the same when a field is added."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def complete(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of a recipe, including the defaults that `Recipe.to_config` leaves out of a specification."""
    return {field.name: field.default for field in fields(Recipe) if field.default is not MISSING} | dict(recipe)


def per_method(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe that may differ between methods: those of `PER_METHOD`."""
    return {name: recipe[name] for name in PER_METHOD if name in recipe}
