"""AdaLoRA, through PEFT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench.errors import did_you_mean
from bench.methods.targets import (
    DEFAULT,
    Ranks,
    Targeted,
    all_ranks,
    check_ranks,
    rank_at,
    reference_rank,
    with_largest,
)

if TYPE_CHECKING:
    from peft import AdaLoraConfig
    from torch import Tensor

    from bench.streams.base import Stream
    from bench.streams.lockstep import MultiStream


_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # the state of PEFT's allocator between steps


@dataclass
class AdaLoRA(Targeted):
    """LoRA as an SVD, with rank moved to where it matters: y = W x + b + s B (E * A) x, s = alpha / init_r.

    A, B and the singular values E are trained, with a term in the loss that keeps A and B orthogonal:

        orthogonality * mean over all matrices of |A A^T - I|_F and |B^T B - I|_F

    Of the `init_r` singular values of each linear, the least important are set to 0 step by step, until `target_r` per
    linear remain on average in each stream. All of A, B and E are kept and trained; the number of parameters in use at
    the end is lower, and reported beside the number trained. Zhang et al., "AdaLoRA: Adaptive Budget Allocation for
    Parameter-Efficient Fine-Tuning", ICLR 2023, arXiv 2303.10512.

    Attributes:
        init_r: Initial rank of every linear, or a table of ranks by stream, as in {vision = 24, audio = 12}. A key
            `default` is for all other streams; without it, they are not adapted. The ranks of a stream's roles and
            blocks are not set, since it is the method that allocates them.
        target_r: Mean rank at the end, or a table like that of init_r; None for two thirds of init_r, as in the paper.
        alpha: Scale; the product is multiplied by alpha / init_r. With a table, init_r is here its `default`, or its
            largest rank: all linears have the same scale.
        dropout: Probability of dropping an element of the adapter's input in training.
        orthogonality: Weight of the orthogonality term in the loss.
        warmup: Fraction of all steps before the first singular value is dropped.
        final: Fraction of all steps, at the end, with fixed ranks; at least one step. A single step drops nothing,
            since no earlier step shows what matters. A step that fp16 skips allocates nothing; if the ranks were to be
            fixed then, they are fixed at the next step.
        interval: Steps between two allocations.

    `Targeted` describes the choice of streams, linears and blocks; by default, every linear is adapted.
    """

    init_r: int | dict[str, int] = 24
    target_r: int | dict[str, int] | None = None
    alpha: float = 12.0
    dropout: float = 0.0
    orthogonality: float = 0.5
    warmup: float = 0.1
    final: float = 0.3
    interval: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.rank_table, "init_r", minimum=2)
        tables = [table for table in (self.init_r, self.target_r) if isinstance(table, dict)]
        for name in (DEFAULT, *(name for table in tables for name in table)):
            initial = self._initial(name) or reference_rank(self.rank_table)
            if not 1 <= self.mean_rank(name) < initial:
                of_stream = f" for {name}" if tables else ""
                raise ValueError(f"target_r must be at least 1 and less than init_r, which is {initial}{of_stream}")
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
        """The mean rank at the end; for streams with the rank that alpha refers to, if they differ."""
        return self.mean_rank(DEFAULT)

    @property
    def rank_table(self) -> Ranks:
        """The initial ranks."""
        return cast("Ranks", self.init_r)

    def mean_rank(self, stream: str) -> int:
        """Return the mean rank of a stream's linears at the end."""
        target = self.target_r
        if isinstance(target, dict):
            target = target.get(stream, target.get(DEFAULT))
        return max(1, 2 * (self._initial(stream) or reference_rank(self.rank_table)) // 3) if target is None else target

    def rank_of(self, stream: str, block: int, role: str) -> int:
        """Return the mean rank at the end of the linear's stream."""
        return self.mean_rank(stream)

    @property
    def scale(self) -> float:
        """The factor s of the low-rank product."""
        return self.alpha / reference_rank(self.rank_table)

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The initial rank, which determines the number of trained parameters."""
        return ("init_r",)

    def with_size(self, setting: str, value: int) -> dict[str, object]:
        """Return a rank, with the alpha and target_r that keep their ratios to it.

        A table keeps its proportions: `value` is its largest rank.
        """
        if setting != "init_r":
            return super().with_size(setting, value)
        ranks, largest = with_largest(self.rank_table, value, minimum=2), max(all_ranks(self.rank_table))

        def target(old: int, initial: int) -> int:
            return min(max(1, round(value * old / largest)), max(1, initial - 1))

        changed: dict[str, object] = {"init_r": ranks, "alpha": self.scale * reference_rank(ranks)}
        if isinstance(self.target_r, dict):
            reference = reference_rank(ranks)
            changed["target_r"] = {
                name: target(old, rank_at(ranks, name, "", -1) or reference) for name, old in self.target_r.items()
            }
        elif self.target_r is not None:
            changed["target_r"] = target(self.target_r, min(rank for rank in all_ranks(ranks) if rank))
        return changed

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that the streams and roles named in settings exist.

        Raises:
            ValueError: They do not.
        """
        super().check_streams(streams)
        for setting, table in (("init_r", self.init_r), ("target_r", self.target_r)):
            for name in table if isinstance(table, dict) else ():
                if name not in (*streams, DEFAULT):
                    raise ValueError(f"{setting}: unknown stream {name}: {did_you_mean(name, (*streams, DEFAULT))}")

    def config(self, stream: Stream) -> AdaLoraConfig:
        """Return PEFT's configuration for the linears to adapt; `before_training` sets its step numbers."""
        from peft import AdaLoraConfig

        name, reference = self.name_of(stream), reference_rank(self.rank_table)
        initial = self._initial(name) or reference
        return AdaLoraConfig(
            init_r=initial,
            target_r=self.mean_rank(name),
            lora_alpha=self.alpha if initial == reference else self.scale * initial,
            lora_dropout=self.dropout,
            orth_reg_weight=self.orthogonality,
            deltaT=self.interval,
            total_step=1,
            target_modules=list(self.targets(stream)),
        )

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every adapted stream."""
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
        """Write a PEFT folder for each adapted stream, and the settings."""
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

    def _initial(self, stream: str) -> int:
        """Return the initial rank of a stream's linears; 0 if it is not adapted."""
        return rank_at(self.rank_table, stream, "", -1)

    def _singular_vectors(self) -> list[Tensor]:
        """Return A and the transpose of B of every linear, each (initial rank, features)."""
        return [
            matrix
            for layer in self.adapters.layers()
            for matrix in (layer.lora_A["default"], layer.lora_B["default"].mT)
        ]
