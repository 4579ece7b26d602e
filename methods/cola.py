"""CoLA: LoRA and an inter-modal path beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.methods.lora import LoRA

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class CoLA(LoRA):
    """LoRA and beside it a path that reads the partner stream: y = W x + b + s B A x + s_c B_c Phi(x_c) A_c x.

    x_c is a summary vector of the partner stream, Phi a hypernetwork that makes an r x r matrix of it for each sample.
    A, B, A_c, B_c, s_c and Phi are trained, for each linear its own. Suharitdamrong et al., "CoLA: Cross-Modal Low-rank
    Adaptation for Multimodal Downstream Tasks", ICML 2026, arXiv 2604.03314.

    Attributes:
        r: rank of both paths.
        alpha: s = alpha / r.
        dropout: of the intra-modal path's input, as for LoRA.
        reduction: the hypernetwork's hidden width is the partner's width // reduction, at least 1.
        inter_scale: what s_c begins with; None for alpha / r.
        summary: x_c is the class token (cls) or the mean of all tokens (mean).
    """

    reduction: int = 16
    inter_scale: float | None = None
    summary: Literal["cls", "mean"] = "cls"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction < 1:
            raise ValueError("reduction must be at least 1")

    def attach(self, model: MultiStream) -> None:
        """Put LoRA into every linear of the model's blocks, and inter-modal paths into those of paired blocks."""
        from bench.methods.crossmodal import attach_inter_modal

        super().attach(model)
        scale = self.alpha / self.r if self.inter_scale is None else self.inter_scale
        model.summary = self.summary
        attach_inter_modal(model, self.r, self.reduction, scale)

    def save(self, folder: Path) -> None:
        """Write a PEFT folder a stream, the inter-modal paths beside them, and the settings."""
        from bench.methods.crossmodal import save_inter_modal

        super().save(folder)
        save_inter_modal(self.model, folder)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        from bench.methods.crossmodal import load_inter_modal

        super().load(folder)
        load_inter_modal(self.model, folder)
