"""Which linears a low-rank method adapts, and with which ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench.errors import BenchError, did_you_mean
from bench.methods.base import check_names
from bench.methods.peft_method import PeftMethod
from bench.streams.roles import STAGES

if TYPE_CHECKING:
    from bench.streams.base import Stream
    from bench.streams.lockstep import MultiStream

Ranks: TypeAlias = int | dict[str, int | dict[str, int | dict[str, int]]]
"""One rank for all linears, or a table of ranks.

The keys of a table are names of streams, roles (q, k, v, o, fc1, ...) or numbers of blocks from 0. Its values are
ranks or further tables, as in {vision = 8, audio = {q = 16, v = 16}}. If several keys of a table fit a linear, that of
its stream comes first, then that of its role, then that of its block. `default` is for all linears that no other key
fits; without it, they are not adapted. Neither are those of rank 0.
"""

Linears: TypeAlias = Literal["all", "attention", "feed_forward"] | tuple[str, ...]
"""Linears of a block: all, those of the attention or of the feed-forward part, or those of some roles."""

Blocks: TypeAlias = Literal["all", "first", "last"] | tuple[int, ...]
"""Blocks of a stream: all, the first half, the last half, or some by their numbers from 0."""

DEFAULT = "default"
_LATER: dict[str, Any] = {"streams": (), "linears": "all", "blocks": "all"}


def rank_at(ranks: Ranks, stream: str, role: str, block: int) -> int:
    """Return the rank of a linear; 0 if it is not adapted."""
    return _lookup(ranks, (stream, role, str(block), DEFAULT)) or 0


def _lookup(ranks: Any, keys: tuple[str, ...]) -> int | None:
    if isinstance(ranks, int):
        return ranks
    matches = (_lookup(ranks[key], keys) for key in keys if key in ranks)
    return next((rank for rank in matches if rank is not None), None)


def all_ranks(ranks: Any) -> Iterator[int]:
    """Yield the ranks in a table, or the one rank."""
    if isinstance(ranks, int):
        yield ranks
    else:
        for item in ranks.values():
            yield from all_ranks(item)


def reference_rank(ranks: Ranks) -> int:
    """Return the rank r of the scale alpha / r: the default of a table, or its largest rank if it has none."""
    default = ranks if isinstance(ranks, int) else ranks.get(DEFAULT)
    return default if isinstance(default, int) and default else max(all_ranks(ranks), default=0)


def check_ranks(ranks: Ranks, name: str, minimum: int = 1) -> None:
    """Check that adapted linears have ranks of at least a minimum. Ranks in tables may be 0.

    Raises:
        ValueError: They do not, or no rank is above 0; names the setting `name`.
    """
    if isinstance(ranks, int):
        if ranks < minimum:
            raise ValueError(f"{name} must be at least {minimum}")
    elif any(rank < minimum for rank in all_ranks(ranks) if rank) or not any(all_ranks(ranks)):
        raise ValueError(f"{name} must be at least {minimum}, or in a table 0 for linears that are not adapted")


def with_largest(ranks: Ranks, value: int, minimum: int = 1) -> Ranks:
    """Return ranks in the same proportions, of which `value` is the largest; those above 0 are at least `minimum`."""
    largest = max(all_ranks(ranks))

    def scaled(item: Any) -> Any:
        if isinstance(item, int):
            return max(minimum, round(item * value / largest)) if item else 0
        return {key: scaled(inner) for key, inner in item.items()}

    return value if isinstance(ranks, int) else scaled(ranks)


@dataclass(frozen=True)
class Selection:
    """A choice of linears within streams.

    Attributes:
        linears: Which linears of a block.
        blocks: Which blocks of a stream.
        prefix: Of the names of these two settings, for messages.
    """

    linears: Linears
    blocks: Blocks
    prefix: str = ""

    def __post_init__(self) -> None:
        for name, chosen in (("linears", self.linears), ("blocks", self.blocks)):
            if not chosen:
                raise ValueError(f"{self.prefix}{name} is empty: no linear would be adapted")
        if not isinstance(self.blocks, str) and min(self.blocks) < 0:
            raise ValueError(f"{self.prefix}blocks: block {min(self.blocks)} does not exist: the first is 0")

    def has(self, role: str, block: int, depth: int) -> bool:
        """Return whether a linear of a stream with `depth` blocks is selected."""
        if self.linears in ("attention", "feed_forward"):
            has_role = (role in STAGES["feed_forward"]) == (self.linears == "feed_forward")
        else:
            has_role = self.linears == "all" or role in self.linears
        if isinstance(self.blocks, str):
            return has_role and {"all": True, "first": block < depth // 2, "last": block >= depth // 2}[self.blocks]
        return has_role and block in self.blocks


@dataclass
class Targeted(PeftMethod):
    """A method from PEFT that can be limited to some linears: `config` must configure those of `targets`.

    Attributes:
        streams: Names of the streams to adapt, as in ("vision",). Empty for all.
        linears: Which linears of a block are adapted: all, those of the attention, those of the feed_forward part, or
            those of some roles, as in ("q", "v").
        blocks: Which blocks of a stream are adapted: all, the first half, the last half, or some by their numbers from
            0, as in (0, 1, 11).
    """

    _: KW_ONLY
    streams: tuple[str, ...] = ()
    linears: Linears = "all"
    blocks: Blocks = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.selection  # noqa: B018  # checks itself

    @property
    def selection(self) -> Selection:
        """The linears within each adapted stream."""
        return Selection(self.linears, self.blocks)

    @property
    def rank_table(self) -> Ranks:
        """The ranks of the linears; 1 for all if the method has no tables of ranks."""
        return 1

    @property
    def names_parts(self) -> bool:
        """Whether settings name roles or blocks of encoders, which not every encoder has."""
        named = not isinstance(self.selection.linears, str) or not isinstance(self.selection.blocks, str)
        return named or not isinstance(self.rank_table, int)

    def rank_of(self, stream: str, block: int, role: str) -> int:
        """Return the rank of a linear, also of one that is not selected; the reference rank if the table has none."""
        return rank_at(self.rank_table, stream, role, block) or reference_rank(self.rank_table)

    def to_config(self) -> dict[str, Any]:
        """Return the settings that identify a run, without later settings that have their defaults."""
        values = super().to_config()
        return {name: value for name, value in values.items() if name not in _LATER or value != _LATER[name]}

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that the streams and roles named in settings exist.

        Raises:
            ValueError: They do not.
        """
        super().check_streams(streams)
        roles = [role for stage in STAGES.values() for role in stage]
        check_names(self.streams, streams)
        linears = self.selection.linears
        for role in () if isinstance(linears, str) else linears:
            if role not in roles:
                known = did_you_mean(role, ("all", "attention", "feed_forward", *roles))
                raise ValueError(f"{self.selection.prefix}linears: unknown {role}: {known}")
        for key in _keys(self.rank_table):
            if not key.isdecimal() and key not in (*streams, *roles, DEFAULT):
                known = did_you_mean(key, (*streams, *roles, DEFAULT))
                raise ValueError(f"{self.size_settings[0]}: unknown key {key}: {known}, and numbers of blocks")

    def check_model(self, model: MultiStream) -> None:
        """Check that blocks and roles named in settings exist in the streams, and that something is adapted.

        Raises:
            BenchError: They do not, or nothing is.
        """
        super().check_model(model)
        adapted = {name: stream for name, stream in model.streams.items() if not self.streams or name in self.streams}
        linears, blocks, prefix = self.selection.linears, self.selection.blocks, self.selection.prefix
        depths = {name: stream.depth for name, stream in adapted.items()}
        for name, depth in depths.items():
            if not isinstance(blocks, str) and max(blocks) >= depth:
                raise BenchError(f"{prefix}blocks: {name} has no block {max(blocks)}: it has blocks 0 to {depth - 1}")
        _check_blocks(self.rank_table, depths, max(depths.values()), self.size_settings[:1])
        known = {role for stream in adapted.values() for block in range(stream.depth) for role in stream.linears(block)}
        if not isinstance(linears, str) and (missing := [role for role in linears if role not in known]):
            raise BenchError(
                f"{prefix}linears: the adapted streams have no {missing[0]}, only {', '.join(sorted(known))}"
            )
        if not any(self._targets(name, stream) for name, stream in model.streams.items()):
            raise BenchError("no linear is adapted: these settings select none with a rank above 0")

    def adapts(self, stream: Stream) -> bool:
        """Return whether any linear of a stream of the attached model is adapted."""
        return bool(self.targets(stream))

    def targets(self, stream: Stream) -> dict[str, int]:
        """Return the rank of each linear to adapt in a stream of the attached model, by its path in the encoder."""
        return self._targets(self.name_of(stream), stream)

    def name_of(self, stream: Stream) -> str:
        """Return the name of a stream of the attached model; empty for any other stream."""
        streams = self.model.streams if hasattr(self, "model") else {}
        return next((name for name, candidate in streams.items() if candidate is stream), "")

    def _targets(self, name: str, stream: Stream) -> dict[str, int]:
        if self.streams and name not in self.streams:
            return {}
        selected = {
            path: rank_at(self.rank_table, name, role, block)
            for block in range(stream.depth)
            for role, path in stream.linears(block).items()
            if self.selection.has(role, block, stream.depth)
        }
        return {path: rank for path, rank in selected.items() if rank}


def rank_patterns(targets: Mapping[str, int], r: int, alpha: float, power: float = 1.0) -> dict[str, dict[str, Any]]:
    """Return PEFT's `rank_pattern` and `alpha_pattern`, with which all linears have the scale alpha / r^power.

    Args:
        targets: Ranks by path.
        r: The rank of linears outside the patterns.
        alpha: Their alpha.
        power: PEFT divides alpha by this power of the rank.
    """
    ranks = {path: rank for path, rank in targets.items() if rank != r}
    alphas = {path: alpha * (rank / r) ** power for path, rank in ranks.items()}
    return {"rank_pattern": ranks, "alpha_pattern": alphas}


def _keys(ranks: Any) -> Iterator[str]:
    if isinstance(ranks, Mapping):
        for key, item in ranks.items():
            yield key
            yield from _keys(item)


def _check_blocks(ranks: Any, depths: Mapping[str, int], depth: int, setting: Sequence[str]) -> None:
    """Check that each number of a block in a table is below the depth of its stream, or of the deepest stream."""
    for key, item in ranks.items() if isinstance(ranks, Mapping) else ():
        if key.isdecimal() and int(key) >= depth:
            raise BenchError(f"{setting[0]}: there is no block {key}, only blocks 0 to {depth - 1}")
        _check_blocks(item, depths, depths.get(key, depth), setting)
