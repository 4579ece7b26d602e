"""Post-norm transformer encoders of transformers as streams: BERT, RoBERTa.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench.errors import BenchError
from bench.streams.base import LinearEvaluator
from bench.streams.blocks import BERT_LINEARS, BlockStream, Layout, switch_off_dropout
from bench.streams.inputs import Input, TextInput


class PostNormStream(BlockStream):
    """An encoder whose blocks are `x = norm(x + attention(x)); x = norm(x + mlp(x))`."""

    def attend(
        self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None, mask_BT: Tensor | None = None
    ) -> Tensor:
        """Return the attention output (B, T, D) before its output linear."""
        return self._attention(block, x_BTD, evaluator, mask_BT)

    def project(
        self, block: int, x_BTD: Tensor, context_BTD: Tensor, evaluator: LinearEvaluator | None = None
    ) -> Tensor:
        """Return the state (B, T, D) after the attention's output linear, residual and norm."""
        (y_BTD,) = self.apply_linears(block, ("o",), context_BTD, evaluator)
        return self._norm(block, 0, x_BTD + y_BTD)

    def feed_forward(self, block: int, x_BTD: Tensor, evaluator: LinearEvaluator | None = None) -> Tensor:
        """Return the state (B, T, D) after the MLP, its residual and norm: the end of the block."""
        return self._norm(block, 1, x_BTD + self._mlp(block, x_BTD, evaluator))

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state as it is: every block ends with a norm, and there is none after the last."""
        return x_BTD


class BertStream(PostNormStream):
    """BERT (Devlin et al., NAACL 2019), the class token first, without its pooler.

    It runs without dropout, in training too: the checkpoints' configurations ask for 0.1, which is set to 0 here
    (a deviation from the paper). So what a method trains is the same deterministic function that is scored.
    """

    reads = TextInput
    special = 1
    layouts = (
        Layout(
            blocks="encoder.layer",
            norms=("attention.output.LayerNorm", "output.LayerNorm"),
            linears=BERT_LINEARS,
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream of a BERT.

        Raises:
            BenchError: the input is not text, or longer than the encoder has positions for, or the configuration does
                not say which token is padding.
        """
        super().__init__(encoder, input)
        assert isinstance(input, TextInput)
        if encoder.config.pad_token_id is None:
            raise BenchError(f"the configuration of {type(encoder).__name__} has no pad_token_id")
        if input.length > self.positions:
            raise BenchError(
                f"texts of {input.length} tokens are asked for, but {type(encoder).__name__} has positions for "
                f"{self.positions}"
            )
        switch_off_dropout(encoder)

    @property
    def positions(self) -> int:
        """The most tokens that a text can have."""
        return self.encoder.config.max_position_embeddings

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


class RobertaStream(BertStream):
    """RoBERTa (Liu et al., 2019): BERT's blocks, without dropout as there.

    Its embeddings count positions from the one after the padding's id, so that fewer are left for a text.
    """

    @property
    def positions(self) -> int:
        """The most tokens that a text can have."""
        return self.encoder.config.max_position_embeddings - self.encoder.config.pad_token_id - 1
