"""The two towers of CLIP as streams: Radford et al., ICML 2021.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.streams.blocks import Layout, PreNormStream
from bench.streams.prenorm import VisionStream
from bench.streams.text import TextStream

CLIP_LAYOUTS = (
    Layout(
        blocks="encoder.layers",
        norms=("layer_norm1", "layer_norm2"),
        linears={
            **{role: f"self_attn.{role}_proj" for role in ("q", "k", "v")},
            "o": "self_attn.out_proj",
            "fc1": "mlp.fc1",
            "fc2": "mlp.fc2",
        },
    ),
)
"""The blocks of CLIP's towers, whose names SigLIP has adopted."""

_OLD_EOS = 2  # in the configurations of older checkpoints, which does not match their tokenizers


class ClipVisionStream(VisionStream):
    """The vision tower of CLIP: class token, then patches, with a norm before the first block.

    The projection to the space that images and texts share is left out.
    """

    layouts = CLIP_LAYOUTS

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized images (B, 3, height, width), interpolating positions if needed."""
        return self.encoder.pre_layrnorm(self.encoder.embeddings(inputs, interpolate_pos_encoding=True))

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the norm that CLIP applies to the class token, here applied to all tokens."""
        return self.encoder.post_layernorm(x_BTD)


class ClipTextStream(TextStream, PreNormStream):
    """The text tower of CLIP, whose tokens attend to earlier tokens only.

    The token that ends the text summarizes it. All that follows is padding, whatever its id: CLIP's tokenizer pads with
    the token that ends texts. The projection to the space that images and texts share is left out.
    """

    layouts = CLIP_LAYOUTS
    class_token = -1
    masks_padding_id = False

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.final_layer_norm(x_BTD)

    def mask(self, inputs: Tensor) -> Tensor:
        """Return which token ids (B, T) are not padding: all up to the first that ends a text."""
        eos = self.encoder.config.eos_token_id
        is_end_BT = inputs == (inputs.amax(1, keepdim=True) if eos == _OLD_EOS else eos)
        return is_end_BT.cumsum(1) - is_end_BT.long() == 0

    def _attention_bias(self, block: int, q_BHTK: Tensor, mask_BT: Tensor | None) -> Tensor:
        """Return which tokens attend to which: each to itself and earlier ones but padding, and all to added ones."""
        count = q_BHTK.shape[2]
        attends_TT = torch.ones(count, count, dtype=torch.bool, device=q_BHTK.device).tril()
        attends_TT[:, count - self.added_count :] = True
        return attends_TT if mask_BT is None else attends_TT & mask_BT[:, None, None]
