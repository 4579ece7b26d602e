"""BEiT (Bao et al., ICLR 2022) as a stream: a pre-norm encoder with relative position biases and scaled branches.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from bench.streams.blocks import check_square, switch_off_dropout
from bench.streams.inputs import Input
from bench.streams.prenorm import ViTStream


class BeitStream(ViTStream):
    """BEiT: class token, then patches, whose attention has a bias by relative position.

    It runs without drop path, in training too: the checkpoints' configurations have some, which is switched off here,
    for the same reason as BERT's dropout.

    Encoders fine-tuned with mean pooling have their final norm in the pooler. Here it is applied to all tokens.
    """

    def __init__(self, encoder: Any, input: Input) -> None:
        switch_off_dropout(encoder)
        super().__init__(encoder, input)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized square images (B, 3, side, side) of any size.

        Raises:
            BenchError: The images are not square.
        """
        check_square(inputs)
        return self.encoder.embeddings(inputs)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        pooled = self.encoder.config.use_mean_pooling and self.encoder.pooler is not None
        return (self.encoder.pooler if pooled else self.encoder).layernorm(x_BTD)

    def _attention_bias(self, block: int, q_BHTK: Tensor, mask_BT: Tensor | None) -> Tensor | None:
        """Return the biases by relative position, (1, H, T, T): those of the block plus those that all blocks share.

        Tokens that a method has added have no position, and no bias.
        """
        side = math.isqrt(q_BHTK.shape[2] - self.special - self.added_count)
        layer: Any = self.encoder.get_submodule(self.blocks[block])
        tables = [table for table in (layer.relative_position_bias, self.encoder.shared_position_bias) if table]
        biases = [table((side, side)) for table in tables]
        return F.pad(sum(biases), (0, self.added_count, 0, self.added_count)) if biases else None

    def _scale(self, block: int, part: int, y_BTD: Tensor) -> Tensor:
        layer: Any = self.encoder.get_submodule(self.blocks[block])
        return (layer.lambda_1, layer.lambda_2)[part] * y_BTD
