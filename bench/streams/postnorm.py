"""Post-norm transformer encoders of transformers as streams: BERT.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.errors import BenchError
from bench.streams.base import Cross
from bench.streams.blocks import BlockStream, Layout
from bench.streams.inputs import Input, TextInput


class PostNormStream(BlockStream):
    """An encoder whose blocks are `x = norm(x + attention(x)); x = norm(x + mlp(x))`."""

    def attend(self, block: int, x_BTD: Tensor, cross: Cross | None = None, mask_BT: Tensor | None = None) -> Tensor:
        """Return the attention output (B, T, D) before its output linear."""
        return self._attention(block, x_BTD, cross, mask_BT)

    def project(self, block: int, x_BTD: Tensor, context_BTD: Tensor, cross: Cross | None = None) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear, residual and norm."""
        (y_BTD,) = self.apply_linears(block, ("o",), context_BTD, cross)
        return self._norm(block, 0, x_BTD + y_BTD)

    def feed_forward(self, block: int, x_BTD: Tensor, cross: Cross | None = None) -> Tensor:
        """Return the state (B, T, D) after the MLP, its residual and norm: the end of the block."""
        return self._norm(block, 1, x_BTD + self._mlp(block, x_BTD, cross))

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state as it is: every block ends with a norm, and there is none after the last."""
        return x_BTD


class BertStream(PostNormStream):
    """BERT (Devlin et al., NAACL 2019), the class token first, without its pooler.

    It runs without dropout, in training too: the checkpoints' configurations ask for 0.1, which is set to 0 here
    (a deviation from the paper). So what a method trains is the same deterministic function that is scored.
    """

    special = 1
    layouts = (
        Layout(
            blocks="encoder.layer",
            norms=("attention.output.LayerNorm", "output.LayerNorm"),
            linears={
                "q": "attention.self.query",
                "k": "attention.self.key",
                "v": "attention.self.value",
                "o": "attention.output.dense",
                "fc1": "intermediate.dense",
                "fc2": "output.dense",
            },
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream of a BERT.

        Raises:
            BenchError: the input is not text, or longer than the encoder has positions for, or the configuration does
                not say which token is padding.
        """
        super().__init__(encoder, input)
        config = encoder.config
        if not isinstance(input, TextInput):
            raise BenchError(f"{type(encoder).__name__} reads text, not what {type(input).__name__} describes")
        if input.length > config.max_position_embeddings:
            raise BenchError(
                f"texts of {input.length} tokens are asked for, but {type(encoder).__name__} has positions for "
                f"{config.max_position_embeddings}"
            )
        if config.pad_token_id is None:
            raise BenchError(f"the configuration of {type(encoder).__name__} has no pad_token_id")
        _switch_off_dropout(encoder)

    @property
    def grid(self) -> tuple[int, int]:
        """Not there: a text has no rows and columns.

        Raises:
            BenchError: always.
        """
        raise BenchError("the tokens of a text lie in no grid of rows and columns")

    def embed(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, T, D) of token ids (B, T)."""
        return self.encoder.embeddings(inputs)

    def mask(self, inputs: Tensor) -> Tensor:
        """Return where token ids (B, T) are of a text, not padding."""
        return inputs != self.encoder.config.pad_token_id


def _switch_off_dropout(encoder: Any) -> None:
    encoder.config.hidden_dropout_prob = encoder.config.attention_probs_dropout_prob = 0.0
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
