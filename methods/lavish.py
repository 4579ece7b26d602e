"""LAVISH: latent tokens through which the streams of paired blocks read each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.methods.base import Method

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream


@dataclass
class LAVISH(Method):
    """Adapters beside each sublayer that read the partner by latent tokens: f(x) + g LN(W2 ReLU(W1 LN(x'))).

    x' = x + g_av softmax(x S^T) S, with S = L + softmax(L c^T) c for the partner's tokens c: trained latent tokens L
    attend to all tokens of the partner, and the stream's tokens attend to them. Lin et al., "Vision Transformers are
    Parameter-Efficient Audio-Visual Learners", CVPR 2023, arXiv 2212.07983. Gates g and g_av start at 0, so the model
    starts as the frozen one. As in the authors' code (github.com/GenjiB/LAVISH), scores are not divided by the root of
    the width, and there are norms before and after the bottleneck.

    Choices: There is no batch norm, since a sample must not depend on its batch. Projections are dense; the code splits
    them in two groups. The paper has one encoder for both modalities; where widths differ, a trained projection maps
    the partner's tokens first. With several partners, their attentions are summed. Blocks without a partner, in streams
    of different depths, have no adapter.

    Attributes:
        bottleneck: Hidden features of the bottleneck; the code's default for AVE is an eighth of the width.
        tokens: Number of latent tokens of an adapter for each partner; 2 in the code's runs of AVE.
    """

    bottleneck: int = 96
    tokens: int = 2

    reads_partners = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.bottleneck, self.tokens) < 1:
            raise ValueError("bottleneck and tokens must be at least 1")

    @property
    def size_settings(self) -> tuple[str, ...]:
        """The features of the bottleneck, then the number of latent tokens."""
        return ("bottleneck", "tokens")

    def attach(self, model: MultiStream) -> None:
        """Add an adapter beside both sublayers of all paired blocks."""
        from functools import partial

        from bench.methods.partner_adapters import LavishAdapter, attach_partner_adapters

        super().attach(model)
        attach_partner_adapters(model, partial(LavishAdapter, hidden=self.bottleneck, tokens=self.tokens))
