"""CoLA: LoRA and an inter-modal path beside it, and the same path beside any other method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench import registry
from bench.errors import UsageError
from bench.methods.base import Method
from bench.methods.lora import LoRA
from bench.methods.search_space import Range, Space

if TYPE_CHECKING:
    from torch import Tensor

    from bench.streams.lockstep import MultiStream

RANK = 16  # of the inter-modal path, where the intra-modal one has no rank to follow: the paper's
SCALE = 0.5  # of the inter-modal path likewise: the paper's alpha / r


@dataclass
class CrossModal(Method):
    """CoLA's inter-modal path beside any method, as in cola+peft:ia3: y = intra(x) + s_c B_c Phi(x_c) A_c x.

    x_c is a summary vector of the partner stream, Phi a hypernetwork that makes a matrix of it for each sample. A_c,
    B_c, s_c and Phi are trained, for each linear and each partner its own, and what the intra-modal method trains.
    The terms of several partners sum. After Suharitdamrong et al., "CoLA: Cross-Modal Low-rank Adaptation for
    Multimodal Downstream Tasks", ICML 2026, arXiv 2604.03314. A class that has this one before another method as its
    base is that method with the path beside it.

    Attributes:
        inter_r: rank of the inter-modal path; None for that of the intra-modal one, 16 where that has none.
        inter_scale: what s_c begins with; None for the intra-modal path's alpha / r, 0.5 where that has none.
        reduction: the hypernetwork's hidden width is the partner's width // reduction, at least 1.
        hidden: the hidden width itself in place of `reduction`: one number, or a table by the stream whose linears are
            adapted, as in {vision = 48, audio = 96}. None for `reduction`.
        summary: x_c is the class token (cls) or the mean of all tokens (mean).
        paths: which streams tell which, as in ("vision>audio",): audio then reads vision. Empty for all.
        shared: one hypernetwork for all linears of a stream that read the same partner; A_c, B_c, s_c stay their own.
        blocks: the path is in all paired blocks, in the first half of them or in the last.
        linears: the path is beside all linears of a block, those of its attention or those of its feed-forward part.
    """

    inter_r: int | None = None
    inter_scale: float | None = None
    reduction: int = 16
    summary: Literal["cls", "mean"] = "cls"
    paths: tuple[str, ...] = ()
    shared: bool = False
    blocks: Literal["all", "first", "last"] = "all"
    linears: Literal["all", "attention", "feed_forward"] = "all"
    hidden: int | dict[str, int] | None = None

    fused: ClassVar[bool] = True
    """Evaluate the path in the fused form; the plain one is there to compare with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inter_r is not None and self.inter_r < 1:
            raise ValueError("inter_r must be at least 1")
        if self.reduction < 1:
            raise ValueError("reduction must be at least 1")
        if self.hidden is not None:
            widths = self.hidden.values() if isinstance(self.hidden, dict) else [self.hidden]
            if min(widths, default=0) < 1:
                raise ValueError("hidden must be at least 1, or a table of such numbers by stream")
            if self.reduction != type(self).reduction:
                raise ValueError(
                    f"hidden and reduction={self.reduction} both give the hypernetworks' hidden width: "
                    f"set hidden=none, or reduction={type(self).reduction}, its default"
                )
        for path in self.paths:
            if path.count(">") != 1:
                raise ValueError(f"paths: write source>target, as in vision>audio, not {path}")

    @classmethod
    def named(cls, name: str) -> type[Method]:
        """Return the method of that name with the inter-modal path beside it.

        Raises:
            UsageError: there is no such method, or it has the path already.
        """
        base = registry.load("methods", name)
        if issubclass(base, cls):
            raise UsageError(f"cola+{name}: {name} has the inter-modal path already")
        if both := sorted({field.name for field in fields(base)} & {field.name for field in fields(cls)}):
            raise UsageError(
                f"cola+{name}: {name} and the inter-modal path both have a setting {both[0]}, and one value cannot "
                f"stand for two; a class of its own that gives {name}'s another name can have the path"
            )
        about = f"{name} with CoLA's inter-modal path beside it."
        return make_dataclass(f"cola+{name}", [], bases=(cls, base), namespace={"__doc__": about})

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that the streams named in `paths` and `hidden` are there, and that `hidden` has all that it must."""
        super().check_streams(streams)
        self._directions(streams)
        self._hidden_widths(streams)

    def to_config(self) -> dict[str, Any]:
        """Return what tells these settings from others: so a run keeps its id though fields came later."""
        values = super().to_config()
        later = ("shared", "blocks", "linears", "hidden")
        if self.hidden is not None:
            del values["reduction"]  # says nothing then
        return {
            name: value for name, value in values.items() if name not in later or value != getattr(type(self), name)
        }

    @property
    def size_settings(self) -> tuple[str, ...]:
        """What turns the intra-modal path, and with it the rank of this one; and the hypernetworks' width."""
        return (*(super().size_settings or ("inter_r",)), "reduction" if self.hidden is None else "hidden")

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return hidden widths of which the least is the value, in the proportions that they have."""
        if setting == "hidden" and isinstance(self.hidden, dict):
            least = min(self.hidden.values())
            return {setting: {name: round(value * width / least) for name, width in self.hidden.items()}}
        return super().with_size(setting, value)

    @property
    def search(self) -> Space:
        """What the intra-modal method declares, and the path's learning rate also where that one has no parameters."""
        return {"lr_adapter": Range(), **super().search}

    def attach(self, model: MultiStream) -> None:
        """Attach the intra-modal method, and inter-modal paths to the linears of paired blocks."""
        from bench.methods.inter_modal_adapter import Where, attach_inter_modal

        super().attach(model)
        r = getattr(self, "rank", RANK) if self.inter_r is None else self.inter_r
        scale = getattr(self, "scale", SCALE) if self.inter_scale is None else self.inter_scale
        where = Where(frozenset(self._directions(list(model.streams))), self.blocks, self.linears)
        attach_inter_modal(
            model,
            r,
            self.reduction,
            scale,
            where,
            hidden=self._hidden_widths(list(model.streams)),
            shared=self.shared,
            fused=self.fused,
            summary=self.summary,
        )

    def held_apart(self) -> list[Tensor]:
        """Return what the intra-modal method writes in a form of its own, and the parameters of the paths."""
        from bench.methods.inter_modal_adapter import inter_modal_tensors

        return [*super().held_apart(), *inter_modal_tensors(self.model).values()]

    def save(self, folder: Path) -> None:
        """Write what the intra-modal method writes, and the inter-modal paths beside it."""
        from bench.methods.inter_modal_adapter import save_inter_modal

        super().save(folder)
        save_inter_modal(self.model, folder)

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            BenchError: it was saved with other settings or from other streams, or is incomplete.
        """
        from bench.methods.inter_modal_adapter import load_inter_modal

        super().load(folder)
        load_inter_modal(self.model, folder)

    def _directions(self, streams: Sequence[str]) -> set[tuple[str, str]]:
        """Return the pairs (source, target) of streams between which there is a path."""
        if not self.paths:
            return {(source, target) for source in streams for target in streams if source != target}
        pairs = {(source.strip(), target.strip()) for source, _, target in (path.partition(">") for path in self.paths)}
        for source, target in sorted(pairs):
            if source not in streams or target not in streams or source == target:
                raise ValueError(
                    f"paths: {source}>{target} does not join two of the streams here: {', '.join(streams)}"
                )
        return pairs

    def _hidden_widths(self, streams: Sequence[str]) -> dict[str, int] | None:
        """Return the hypernetworks' hidden width by the stream whose linears are adapted; None for `reduction`."""
        if not isinstance(self.hidden, dict):
            return None if self.hidden is None else dict.fromkeys(streams, self.hidden)
        if others := [name for name in self.hidden if name not in streams]:
            raise ValueError(f"hidden: {others[0]} is none of the streams here: {', '.join(streams)}")
        if missing := sorted({target for _, target in self._directions(streams)} - self.hidden.keys()):
            raise ValueError(f"hidden: {missing[0]} reads another stream too: give its width, or one number for all")
        return self.hidden


@dataclass
class CoLA(CrossModal, LoRA):
    """LoRA and beside it a path that reads the partner stream: y = W x + b + s B A x + s_c B_c Phi(x_c) A_c x.

    A, B, A_c, B_c, s_c and Phi are trained, for each linear its own. Suharitdamrong et al., "CoLA: Cross-Modal Low-rank
    Adaptation for Multimodal Downstream Tasks", ICML 2026, arXiv 2604.03314. `CrossModal` tells of the path.

    Attributes:
        r: rank of both paths.
        alpha: s = alpha / r.
        dropout: of the intra-modal path's input, as for LoRA.
    """
