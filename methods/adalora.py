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


_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # the state of PEFT's allocator between steps


@dataclass
class AdaLoRA(PeftMethod):
    """LoRA as an SVD, with rank moved to where it matters: y = W x + b + s B (E * A) x, s = alpha / init_r.

    A, B and the singular values E are trained, with a term in the loss that keeps A and B orthogonal:

        orthogonality * mean over all matrices of |A A^T - I|_F and |B^T B - I|_F

    Of the `init_r` singular values of each linear, the least important are set to 0 step by step, until `target_r` per
    linear remain on average in each stream. All of A, B and E are kept and trained; the number of parameters in use at
    the end is lower, and reported beside the number trained. Zhang et al., "AdaLoRA: Adaptive Budget Allocation for
    Parameter-Efficient Fine-Tuning", ICLR 2023.

    Attributes:
        init_r: Initial rank of every linear.
        target_r: Mean rank at the end; None for two thirds of init_r, as in the paper.
        alpha: Scale; the product is multiplied by alpha / init_r.
        dropout: Probability of dropping an element of the adapter's input in training.
        orthogonality: Weight of the orthogonality term in the loss.
        warmup: Fraction of all steps before the first singular value is dropped.
        final: Fraction of all steps, at the end, with fixed ranks; at least one step. A single step drops nothing,
            since no earlier step shows what matters. A step that fp16 skips allocates nothing; if the ranks were to be
            fixed then, they are fixed at the next step.
        interval: Steps between two allocations.
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
            raise ValueError("warmup and final must not be below 0, and their sum must be less than 1")

    @property
    def rank(self) -> int:
        """The mean rank at the end."""
        return max(1, 2 * self.init_r // 3) if self.target_r is None else self.target_r

    @property
    def scale(self) -> float:
        """The factor s of the low-rank product."""
        return self.alpha / self.init_r

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The initial rank, which determines the number of trained parameters."""
        return ("init_r",)

    def with_size(self, setting: str, value: int) -> dict[str, object]:
        """Return a rank, with the alpha and target_r that keep their ratios to it."""
        changed = super().with_size(setting, value)
        if setting == "init_r":
            changed["alpha"] = self.scale * value
            if self.target_r is not None:
                changed["target_r"] = min(max(1, round(value * self.target_r / self.init_r)), max(1, value - 1))
        return changed

    def config(self, stream: Stream) -> AdaLoraConfig:
        """Return PEFT's configuration for all linears of all blocks; `before_training` sets its step numbers."""
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
            # A constant, but PEFT makes it trainable when it converts it to the encoder's dtype or device.
            layer.ranknum["default"].requires_grad_(False)

    def before_training(self, steps: int) -> None:
        """Distribute the phases of the allocation over the steps.

        Args:
            steps: Number of steps of the whole training.
        """
        for model in self.adapters.models.values():
            config = model.peft_config["default"]
            config.total_step = steps
            # PEFT fixes the ranks at step total_step - tfinal, from 0: with tfinal 0, it would never be reached.
            config.tfinal = min(max(1, round(self.final * steps)), steps - 1)
            config.tinit = min(round(self.warmup * steps), max(0, steps - config.tfinal - 1))

    def loss(self) -> Tensor:
        """Return the orthogonality term, which PEFT adds in a `forward` that streams do not call."""
        import torch

        norms = []  # |M M^T - I|_F, for M = A and M = B^T of each linear
        for matrix in self._singular_vectors():
            gram = matrix @ matrix.mT
            norms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)))
        return self.orthogonality * torch.stack(norms).mean()

    def after_backward(self, step: int) -> None:
        """Allocate the ranks again, from weights and gradients.

        Args:
            step: Number of the step, from 0.
        """
        for model in self.adapters.models.values():
            tuner, config = model.base_model, model.peft_config["default"]
            final_step = config.total_step - config.tfinal  # PEFT fixes the ranks at this step and at no other
            # Importance exists until the ranks are fixed, unless every step so far was skipped.
            has_importance = bool(tuner.rankallocator.ipt)
            if step < final_step or (not has_importance and config.rank_pattern):
                tuner.update_and_allocate(step)
                continue
            if not has_importance:
                tuner.rankallocator.update_ipt(tuner.model)
            tuner.update_and_allocate(final_step)

    def training_state(self) -> dict[str, Any]:
        """Return the importance of every weight, and the ranks once they are fixed."""
        return {
            name: {
                "importance": {kind: getattr(model.base_model.rankallocator, kind) for kind in _IMPORTANCE},
                "ranks": model.peft_config["default"].rank_pattern,
            }
            for name, model in self.adapters.models.items()
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore what `training_state` returned."""
        for name, model in self.adapters.models.items():
            devices = {key: parameter.device for key, parameter in model.base_model.model.named_parameters()}
            for kind, values in state[name]["importance"].items():
                moved = {key: value.to(devices[key]) for key, value in values.items()}
                setattr(model.base_model.rankallocator, kind, moved)
            model.peft_config["default"].rank_pattern = state[name]["ranks"]

    def active_parameters(self) -> int:
        """Return the number of trained parameters that belong to non-zero singular values.

        Initially all singular values are 0, none has been dropped, and all count.
        """
        trained = super().active_parameters()
        layers = list(self.adapters.layers())
        if not any(layer.lora_E["default"].any() for layer in layers):
            return trained
        unused = 0
        for layer in layers:
            per_value = layer.lora_A["default"].shape[1] + layer.lora_B["default"].shape[0] + 1
            unused += per_value * int((layer.lora_E["default"] == 0).sum())
        return trained - unused

    def save(self, folder: Path) -> None:
        """Write a PEFT folder for each stream, and the settings."""
        with self._all_ranks():
            super().save(folder)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote into the attached model.

        Raises:
            BenchError: The adapter was saved with other settings or from other streams, or is incomplete.
        """
        with self._all_ranks():
            super().load(folder)

    @contextmanager
    def _all_ranks(self) -> Iterator[None]:
        """Make PEFT save and load the singular values that are 0 as well.

        It would drop them according to the last allocation, while the weights are those of the best epoch. Also,
        products of other shapes round differently.
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
        """Return A and the transpose of B of every linear, each (init_r, features)."""
        return [
            matrix
            for layer in self.adapters.layers()
            for matrix in (layer.lora_A["default"], layer.lora_B["default"].mT)
        ]
