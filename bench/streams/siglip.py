"""The two towers of SigLIP (Zhai et al., ICCV 2023) and SigLIP 2 (Tschannen et al., 2025) as streams.

Dimensions in names: B batch, T tokens, D width, N patches.
"""

from __future__ import annotations

from torch import Tensor

from bench.streams.blocks import PreNormStream
from bench.streams.clip import CLIP_LAYOUTS
from bench.streams.prenorm import VisionStream
from bench.streams.text import TextStream


class SiglipVisionStream(VisionStream):
    """The vision tower of SigLIP: patches only. Its attention pooling is left out.

    The checkpoints of SigLIP 2 for images of one size have this family too.
    """

    special = 0
    layouts = CLIP_LAYOUTS

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions if needed."""
        return self.encoder.embeddings(inputs, interpolate_pos_encoding=True)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.post_layernorm(x_BTD)


class SiglipTextStream(TextStream, PreNormStream):
    """The text tower of SigLIP, without its projection.

    It was trained on texts of 64 tokens, with attention to padding, and its last token summarizes the text even if that
    is padding. No token is therefore masked, and `length` should be 64.
    """

    special = 0
    layouts = CLIP_LAYOUTS
    class_token = -1
    masks_padding_id = False

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.final_layer_norm(x_BTD)

    def mask(self, inputs: Tensor) -> None:
        """Return None: tokens attend to padding too."""
        return


class Siglip2VisionStream(SiglipVisionStream):
    """The vision tower of SigLIP 2 for images of any size (NaFlex): patches only, without attention pooling.

    The checkpoints resize images to a number of patches and keep their aspect ratio. Here they are square.
    """

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions."""
        size = self.encoder.config.patch_size
        patches = inputs.unfold(2, size, size).unfold(3, size, size)  # B, 3, rows, columns, size, size
        patches_BNI = patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
        shapes_B2 = inputs.new_tensor(patches.shape[2:4]).long().expand(len(inputs), -1)
        return self.encoder.embeddings(patches_BNI, shapes_B2)
