"""ModernBERT (Warner et al., 2024) as a stream: a pre-norm text encoder with rotary positions and local attention.

Dimensions in names: B batch, T tokens, D width, H heads, K features of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from bench.streams.blocks import Layout, PreNormStream
from bench.streams.text import TextStream


class ModernBertStream(TextStream, PreNormStream):
    """ModernBERT, class token first, with padding: texts are not packed into one sequence.

    One linear computes queries, keys and values (the role `qkv`), another both halves of the gated MLP (`fc1`). In most
    blocks tokens attend to their neighbors only, up to `sliding_window` tokens away.
    """

    activation_setting = "hidden_activation"
    layouts = (
        Layout(
            blocks="layers",
            norms=("attn_norm", "mlp_norm"),
            linears={"qkv": "attn.Wqkv", "o": "attn.Wo", "fc1": "mlp.Wi", "fc2": "mlp.Wo"},
            gated=True,
        ),
    )

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.final_norm(x_BTD)

    def _rotated(self, block: int, q_BHTK: Tensor, k_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys rotated by the positions of their tokens, by different angles in local attention.

        Tokens that a method has added have no position and are left as they are.
        """
        positions = torch.arange(q_BHTK.shape[2] - self.added_count, device=q_BHTK.device)[None]
        cos_BTK, sin_BTK = self.encoder.rotary_emb(q_BHTK, positions, self._attention_type(block))
        added = (0, 0, 0, self.added_count)
        return apply_rotary_pos_emb(q_BHTK, k_BHTK, F.pad(cos_BTK, added, value=1.0), F.pad(sin_BTK, added))

    def _attention_bias(self, block: int, q_BHTK: Tensor, mask_BT: Tensor | None) -> Tensor | None:
        """Return which tokens attend to which: to all but padding, or to neighbors only.

        Padding attends to itself at least, since it may have no other neighbors. Tokens that a method has added are
        neighbors of all.
        """
        real_B11T = super()._attention_bias(block, q_BHTK, mask_BT)
        if self._attention_type(block) == "full_attention":
            return real_B11T
        positions = torch.arange(q_BHTK.shape[2], device=q_BHTK.device)
        distance_TT = (positions[:, None] - positions).abs()
        near_TT = distance_TT <= self.encoder.config.sliding_window
        if self.added_count:
            near_TT[:, -self.added_count :] = True
            near_TT[-self.added_count :] = True
        return near_TT if real_B11T is None else near_TT & (real_B11T | (distance_TT == 0))

    def _attention_type(self, block: int) -> Any:
        return self.encoder.config.layer_types[block]
