"""AdaLoRA, through PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import AdaLoraConfig
    from torch import Tensor

    from bench.streams.base import Stream
    from bench.streams.lockstep import MultiStream


_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # what PEFT's allocator keeps from step to step


@dataclass
class AdaLoRA(PeftMethod):
    """LoRA as an SVD, with rank moved to where it matters: y = W x + b + s B (E * A) x, s = alpha / init_r.

    A, B and the singular values E are trained, with a term in the loss that keeps A and B orthogonal. Of `init_r`
    singular values a linear those of least importance are set to 0 step by step, until a stream has `target_r` a
    linear on average. All of A, B and E are kept and trained: the parameters in use at the end are fewer, and reported
    beside those trained. Zhang et al., "AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
    ICLR 2023.

    Attributes:
        init_r: rank of every linear at the start.
        target_r: mean rank at the end; None for two thirds of init_r, as in the paper.
        alpha: scale.
        dropout: probability of dropping an element of the adapter's input in training.
        orthogonality: weight of |A A^T - I| and |B^T B - I| in the loss, their mean over all matrices.
        warmup: share of all steps before the first singular value is dropped.
        final: share of all steps, at the end, with the ranks as they then are; at least one step. A single step drops
            nothing: there is no step before it that tells what matters. A step that fp16 skips allocates nothing, and
            where the ranks were to be fixed then, they are at the next one.
        interval: steps between two allocations.
    """

    init_r: int = 24
    target_r: int | None = None
    alpha: float = 12.0
    dropout: float = 0.0
    orthogonality: float = 0.5
    warmup: float = 0.1
    final: float = 0.3
    interval: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_r < 2:
            raise ValueError("init_r must be at least 2")
        if not 1 <= self.rank < self.init_r:
            raise ValueError(f"target_r must be at least 1 and less than init_r, which is {self.init_r}")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and less than 1")
        if self.orthogonality < 0:
            raise ValueError("orthogonality must not be below 0")
        if self.interval < 1:
            raise ValueError("interval must be at least 1")
        if self.warmup < 0 or self.final < 0 or self.warmup + self.final >= 1:
            raise ValueError("warmup and final must not be below 0, and less than 1 together")

    @property
    def rank(self) -> int:
        """The mean rank at the end."""
        return max(1, 2 * self.init_r // 3) if self.target_r is None else self.target_r

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.init_r

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The rank at the start, which is what is trained."""
        return ("init_r",)

    def with_size(self, setting: str, value: int) -> dict[str, object]:
        """Return a rank with the alpha and the target that keep their ratios to it."""
        changed = super().with_size(setting, value)
        if setting == "init_r":
            changed["alpha"] = self.scale * value
            if self.target_r is not None:
                changed["target_r"] = min(max(1, round(value * self.target_r / self.init_r)), max(1, value - 1))
        return changed

    def config(self, stream: Stream) -> AdaLoraConfig:
        """Return PEFT's configuration for all linears of all blocks; `before_training` gives it its steps."""
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            init_r=self.init_r,
            target_r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            orth_reg_weight=self.orthogonality,
            deltaT=self.interval,
            total_step=1,
            target_modules=stream.all_linears(),
        )

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every stream."""
        super().attach(model)
        for layer in self.adapters.layers():
            # A constant; but PEFT lets it be trained where it converts it to the encoder's dtype or device.
            layer.ranknum["default"].requires_grad_(False)

    def before_training(self, steps: int) -> None:
        """Lay the allocation out over the steps."""
        for model in self.adapters.models.values():
            config = model.peft_config["default"]
            config.total_step = steps
            # PEFT fixes the ranks at step total_step - tfinal, which counts from 0: with tfinal 0 it would never come.
            config.tfinal = min(max(1, round(self.final * steps)), steps - 1)
            config.tinit = min(round(self.warmup * steps), max(0, steps - config.tfinal - 1))

    def loss(self) -> Tensor:
        """Return the orthogonality term: PEFT adds it in a `forward` that a stream does not call."""
        import torch

        terms = []
        for matrix in self._singular_vectors():
            gram = matrix @ matrix.mT
            terms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)))
        return self.orthogonality * torch.stack(terms).mean()

    def after_backward(self, step: int) -> None:
        """Allocate the ranks anew, from weights and gradients."""
        for model in self.adapters.models.values():
            tuner, config = model.base_model, model.peft_config["default"]
            last = config.total_step - config.tfinal  # PEFT fixes the ranks at this step and at no other
            seen = bool(tuner.rankallocator.ipt)  # until the ranks are fixed, unless every step so far was skipped
            if step < last or (not seen and config.rank_pattern):
                tuner.update_and_allocate(step)
                continue
            if not seen:
                tuner.rankallocator.update_ipt(tuner.model)
            tuner.update_and_allocate(last)

    def training_state(self) -> dict[str, Any]:
        """Return what the allocation knows of every weight's importance, and the ranks where they are fixed."""
        return {
            name: {
                "importance": {kind: getattr(model.base_model.rankallocator, kind) for kind in _IMPORTANCE},
                "ranks": model.peft_config["default"].rank_pattern,
            }
            for name, model in self.adapters.models.items()
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take up what `training_state` gave."""
        for name, model in self.adapters.models.items():
            devices = {key: parameter.device for key, parameter in model.base_model.model.named_parameters()}
            for kind, values in state[name]["importance"].items():
                moved = {key: value.to(devices[key]) for key, value in values.items()}
                setattr(model.base_model.rankallocator, kind, moved)
            model.peft_config["default"].rank_pattern = state[name]["ranks"]

    def active_parameters(self) -> int:
        """Return how many parameters belong to singular values that are not 0.

        At the start, where all are 0, none is dropped yet and all count.
        """
        trained = super().active_parameters()
        layers = list(self.adapters.layers())
        if not any(layer.lora_E["default"].any() for layer in layers):
            return trained
        unused = 0
        for layer in layers:
            each = layer.lora_A["default"].shape[1] + layer.lora_B["default"].shape[0] + 1
            unused += each * int((layer.lora_E["default"] == 0).sum())
        return trained - unused

    def save(self, folder: Path) -> None:
        """Write a PEFT folder a stream, and the settings."""
        with self._all_ranks():
            super().save(folder)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        with self._all_ranks():
            super().load(folder)

    @contextmanager
    def _all_ranks(self) -> Iterator[None]:
        """Have PEFT keep the singular values that are 0.

        It would cut them off by the last allocation, while the weights are those of the best epoch; and products of
        other shapes round in another way.
        """
        configs = [model.peft_config["default"] for model in self.adapters.models.values()]
        patterns = [config.rank_pattern for config in configs]
        try:
            for config in configs:
                config.rank_pattern = None
            yield
        finally:
            for config, pattern in zip(configs, patterns, strict=True):
                config.rank_pattern = pattern

    def _singular_vectors(self) -> list[Tensor]:
        """Return A and the transpose of B of every linear: (init_r, features)."""
        return [
            matrix
            for layer in self.adapters.layers()
            for matrix in (layer.lora_A["default"], layer.lora_B["default"].mT)
        ]
