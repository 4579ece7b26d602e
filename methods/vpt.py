"""Visual prompt tuning, for streams of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method, check_names

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class VPT(Method):
    """Prompts beside the tokens of each stream, and nothing else is trained: [x, p] -> block([x, p]).

    Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119. Here streams of sounds and texts have prompts too.
    The paper puts them after the class token; here they follow all tokens, which is the same for an attention without
    positions of its own. They are dropped after the last block: the head reads the stream's own tokens. They are drawn
    as in the paper for 16 x 16 patches and the width of ViT-B, uniformly within sqrt(6 / (2 width)). The options
    of the authors' code (github.com/KMnP/vpt) for dropout of prompts and for a projection to the width are not here.

    Attributes:
        tokens: Number of prompts of a stream.
        deep: Whether each block has prompts of its own, which replace those of the block before (VPT-deep), or prompts
            enter the first block only and go through all others (VPT-shallow).
        streams: Names of the streams with prompts, as in ("audio",), if a family has no place for them. Empty for all.
    """

    tokens: int = 50
    deep: bool = True
    _: KW_ONLY
    streams: tuple[str, ...] = ()

    starts_as_frozen = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens < 1:
            raise ValueError("tokens must be at least 1")

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that the streams with prompts exist.

        Raises:
            ValueError: They do not.
        """
        super().check_streams(streams)
        check_names(self.streams, streams)

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The number of prompts."""
        return ("tokens",)

    def attach(self, model: MultiStream) -> None:
        """Add prompts to the streams.

        Raises:
            AddedTokensError: The family of a stream accepts none.
        """
        from bench.methods.prompts import Prompts

        super().attach(model)
        for name in self.streams or model.streams:
            stream = model.streams[name]
            prompts = Prompts(self.tokens, stream.width, stream.depth if self.deep else 1)
            parameter = next(stream.encoder.parameters())
            model.add_tokens(name, prompts.to(parameter.device, parameter.dtype))
