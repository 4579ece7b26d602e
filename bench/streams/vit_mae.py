"""The encoder of a masked autoencoder (He et al., CVPR 2022) as a stream.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.streams.prenorm import ViTStream


class ViTMAEStream(ViTStream):
    """The encoder of a masked autoencoder, which reads all patches in their order: nothing is masked."""

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions if needed."""
        embeddings = self.encoder.embeddings
        patches_BTD = embeddings.patch_embeddings(inputs)
        x_BTD = torch.cat([embeddings.cls_token.expand(len(inputs), -1, -1), patches_BTD], dim=1)
        return x_BTD + embeddings.interpolate_pos_encoding(x_BTD, *inputs.shape[2:])
