"""CoLA: LoRA with an inter-modal path beside it; and the same path beside any other method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench import registry
from bench.errors import UsageError, did_you_mean
from bench.methods.base import Method
from bench.methods.lora import LoRA
from bench.methods.search_space import Range, Space
from bench.methods.targets import DEFAULT, Blocks, Linears, Selection, Targeted

if TYPE_CHECKING:
    from torch import Tensor

    from bench.streams.lockstep import MultiStream

DEFAULT_RANK = 16  # of the inter-modal path if the intra-modal method has no rank; as in the paper
DEFAULT_SCALE = 0.5  # likewise; the paper's alpha / r


@dataclass
class CrossModal(Method):
    """CoLA's inter-modal path beside any method, as in cola+peft:ia3: y = intra(x) + s_c B_c Phi(x_c) A_c x.

    x_c is a summary vector of the partner stream, and the hypernetwork Phi maps it to a matrix for each sample. A_c,
    B_c, s_c and Phi are trained, separately for each linear and partner, together with what the intra-modal method
    trains. The terms of several partners are summed. Suharitdamrong et al., "CoLA: Cross-Modal Low-rank Adaptation for
    Multimodal Downstream Tasks", ICML 2026, arXiv 2604.03314. A class with this one and then another method as its
    bases is that method with the path beside it.

    Attributes:
        inter_r: Rank of the inter-modal path; None for that of the intra-modal path of the same linear, or 16 if the
            intra-modal method has none. If only this linear has none, it is the rank that alpha refers to.
        inter_scale: Initial s_c; None for the intra-modal method's alpha / r, or 0.5 if that has none.
        reduction: The hypernetwork's hidden width is the partner's width // reduction, at least 1.
        hidden: The hidden width itself, instead of `reduction`: one number, or a table by the stream whose linears are
            adapted, as in {vision = 48, audio = 96}, in which `default` is for all other streams. None for `reduction`.
        summary: x_c is the class token (cls) or the mean of all tokens (mean).
        paths: Directions of the paths, as in ("vision>audio",), where audio reads vision. Empty for all, or for those
            into `streams` if the intra-modal method has such a setting and it is set.
        shared: Whether all linears of a stream that read the same partner share one hypernetwork; A_c, B_c and s_c
            remain separate.
        joint: Whether the partners of a linear have one term together, whose hypernetwork reads their summaries side by
            side, rather than a term each; with one partner it is the same.
        blocks: Which paired blocks have the path: all, the first half or the last half.
        linears: Which linears of a block have the path: all, those of the attention or those of the feed-forward part.
        intra_linears: Which linears of a block the intra-modal method adapts: its setting `linears`, see `Targeted`.
        intra_blocks: Which blocks the intra-modal method adapts: its setting `blocks`.
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
    intra_linears: Linears = "all"
    intra_blocks: Blocks = "all"
    joint: bool = False

    reads_partners: ClassVar[bool] = True
    fused: ClassVar[bool] = True
    """Whether the path is evaluated in the fused form; tests compare it with the plain one."""

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
                    f"hidden and reduction={self.reduction} both set the hypernetworks' hidden width: "
                    f"set hidden=none, or reduction={type(self).reduction}, its default"
                )
        self.paths = tuple(dict.fromkeys(self.paths))
        for path in self.paths:
            if path.count(">") != 1:
                raise ValueError(f"paths: write source>target, as in vision>audio, not {path or 'nothing'}")
        if not isinstance(self, Targeted) and (self.intra_linears, self.intra_blocks) != ("all", "all"):
            raise ValueError("intra_linears and intra_blocks cannot be set: the intra-modal method has no such choice")

    @property
    def selection(self) -> Selection:
        """The linears that the intra-modal method adapts within each adapted stream."""
        return Selection(self.intra_linears, self.intra_blocks, "intra_")

    @classmethod
    def named(cls, name: str) -> type[Method]:
        """Return the method of a name with the inter-modal path beside it.

        Raises:
            UsageError: There is no such method, it has the path already, or both have a setting of the same name.
        """
        base = registry.load("methods", name)
        if issubclass(base, cls):
            raise UsageError(f"cola+{name}: {name} has the inter-modal path already")
        names = {field.name for field in fields(base)} & {field.name for field in fields(cls)}
        if issubclass(base, Targeted):
            names -= {field.name for field in fields(Targeted)}  # `selection` has them under other names
        if duplicates := sorted(names):
            raise UsageError(
                f"cola+{name}: {name} and the inter-modal path both have a setting {duplicates[0]}. To combine them, "
                f"write a class in which {name}'s setting has another name"
            )
        description = f"{name} with CoLA's inter-modal path beside it."
        return make_dataclass(f"cola+{name}", [], bases=(cls, base), namespace={"__doc__": description})

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that the streams named in `paths` and `hidden` exist, and that `hidden` covers all that it must.

        Raises:
            ValueError: They do not.
        """
        super().check_streams(streams)
        self._directions(streams)
        self._hidden_widths(streams)

    def to_config(self) -> dict[str, Any]:
        """Return the settings that identify a run, without later settings that have their defaults."""
        values = super().to_config()
        later = ("shared", "blocks", "linears", "hidden", "intra_linears", "intra_blocks", "joint")
        if self.hidden is not None:
            del values["reduction"]  # it has no effect then
        return {
            name: value for name, value in values.items() if name not in later or value != getattr(type(self), name)
        }

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The intra-modal method's size settings, which this path's rank follows, and the hypernetworks' width."""
        return (*(super().size_settings or ("inter_r",)), "reduction" if self.hidden is None else "hidden")

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return the settings for a size.

        A table of hidden widths keeps its proportions; `value` is its smallest width.
        """
        if setting == "hidden" and isinstance(self.hidden, dict):
            smallest = min(self.hidden.values())
            return {setting: {name: round(value * width / smallest) for name, width in self.hidden.items()}}
        return super().with_size(setting, value)

    @property
    def search(self) -> Space:
        """The intra-modal method's search space, and the learning rate of the path even if that method has none."""
        return {"lr_adapter": Range(), **super().search}

    def attach(self, model: MultiStream) -> None:
        """Attach the intra-modal method, then inter-modal paths to the linears of paired blocks."""
        from bench.methods.inter_modal_adapter import Placement, attach_inter_modal

        super().attach(model)
        ranks = getattr(self, "rank_of", None) if hasattr(self, "rank") else None
        r: Any = self.inter_r or ranks or getattr(self, "rank", DEFAULT_RANK)
        scale = getattr(self, "scale", DEFAULT_SCALE) if self.inter_scale is None else self.inter_scale
        placement = Placement(frozenset(self._directions(list(model.streams))), self.blocks, self.linears)
        attach_inter_modal(
            model,
            r,
            self.reduction,
            scale,
            placement,
            hidden=self._hidden_widths(list(model.streams)),
            shared=self.shared,
            joint=self.joint,
            fused=self.fused,
            summary=self.summary,
        )

    def held_apart(self) -> list[Tensor]:
        """Return the tensors that the intra-modal method writes in its own form, and those of the paths."""
        from bench.methods.inter_modal_adapter import inter_modal_tensors

        return [*super().held_apart(), *inter_modal_tensors(self.model).values()]

    def save(self, folder: Path) -> None:
        """Write what the intra-modal method writes, and the inter-modal paths."""
        from bench.methods.inter_modal_adapter import save_inter_modal

        super().save(folder)
        save_inter_modal(self.model, folder)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote into the attached model.

        Raises:
            BenchError: The adapter was saved with other settings or from other streams, or is incomplete.
        """
        from bench.methods.inter_modal_adapter import load_inter_modal

        super().load(folder)
        load_inter_modal(self.model, folder)

    def _directions(self, streams: Sequence[str]) -> set[tuple[str, str]]:
        """Return the pairs (source, target) of streams that paths connect."""
        if not self.paths:
            targets = [name for name in streams if name in getattr(self, "streams", ())] or streams
            return {(source, target) for source in streams for target in targets if source != target}
        pairs = {(source.strip(), target.strip()) for source, _, target in (path.partition(">") for path in self.paths)}
        for source, target in sorted(pairs):
            if unknown := [name for name in (source, target) if name not in streams]:
                known = did_you_mean(unknown[0], streams)
                raise ValueError(f"paths: {source}>{target}: this task has no stream {unknown[0]}: {known}")
            if source == target:
                raise ValueError(
                    f"paths: {source}>{target} connects a stream with itself, not two of {', '.join(streams)}"
                )
        return pairs

    def _hidden_widths(self, streams: Sequence[str]) -> dict[str, int] | None:
        """Return the hypernetworks' hidden width by the stream whose linears are adapted; None for `reduction`."""
        if not isinstance(self.hidden, dict):
            return None if self.hidden is None else dict.fromkeys(streams, self.hidden)
        if unknown := [name for name in self.hidden if name not in (*streams, DEFAULT)]:
            raise ValueError(f"hidden: {unknown[0]} must be one of the streams {', '.join(streams)}")
        widths = (
            {**dict.fromkeys(streams, self.hidden[DEFAULT]), **self.hidden} if DEFAULT in self.hidden else self.hidden
        )
        if missing := sorted({target for _, target in self._directions(streams)} - widths.keys()):
            raise ValueError(
                f"hidden: {missing[0]} reads another stream too: set its width, or one number for all streams"
            )
        return widths


@dataclass
class CoLA(CrossModal, LoRA):  # type: ignore[misc]  # `selection` has LoRA's `linears` under another name
    """LoRA with a path beside it that reads the partner stream: y = W x + b + s B A x + s_c B_c Phi(x_c) A_c x.

    A, B, A_c, B_c, s_c and Phi are trained, separately for each linear. Suharitdamrong et al., "CoLA: Cross-Modal
    Low-rank Adaptation for Multimodal Downstream Tasks", ICML 2026, arXiv 2604.03314. `CrossModal` describes the path.

    Attributes:
        r: Rank of both paths, or a table of ranks, as for `LoRA`.
        alpha: s = alpha / r.
        dropout: Dropout of the input of the intra-modal path, as for LoRA.
    """
