"""Post-norm transformer encoders of transformers as streams: BERT, RoBERTa.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench.errors import BenchError
from bench.streams.blocks import BERT_LINEARS, Layout, PostNormStream, switch_off_dropout
from bench.streams.inputs import Input, TextInput


class BertStream(PostNormStream):
    """BERT (Devlin et al., NAACL 2019) without its pooler, class token first.

    It runs without dropout, in training too: the checkpoints' configurations have 0.1, which is set to 0 here (a
    deviation from the paper). The function that a method trains is therefore the deterministic function that is scored.
    """

    input_type = TextInput
    special = 1
    layouts = (
        Layout(
            blocks="encoder.layer",
            norms=("attention.output.LayerNorm", "output.LayerNorm"),
            linears=BERT_LINEARS,
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from a BERT encoder.

        Args:
            encoder: The transformers model.
            input: The form of its texts.

        Raises:
            BenchError: The input is not text or is longer than the encoder has positions for, or the configuration
                names no padding token.
        """
        super().__init__(encoder, input)
        assert isinstance(input, TextInput)
        if encoder.config.pad_token_id is None:
            raise BenchError(f"the configuration of {type(encoder).__name__} must have a pad_token_id, but has none")
        if input.length > self.positions:
            raise BenchError(
                f"texts of {input.length} tokens exceed the positions of {type(encoder).__name__}: set a length of "
                f"{self.positions} or less"
            )
        switch_off_dropout(encoder)

    @property
    def positions(self) -> int:
        """The maximum number of tokens of a text."""
        return self.encoder.config.max_position_embeddings

    @property
    def grid(self) -> tuple[int, int]:
        """Raise, since a text has no rows and columns.

        Raises:
            BenchError: Always.
        """
        raise BenchError("text has no grid of rows and columns")

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of token ids (B, T)."""
        return self.encoder.embeddings(inputs)

    def mask(self, inputs: Tensor) -> Tensor:
        """Return which token ids (B, T) are not padding."""
        return inputs != self.encoder.config.pad_token_id


class RobertaStream(BertStream):
    """RoBERTa (Liu et al., 2019): BERT's blocks, likewise without dropout.

    Its position embeddings start after the id of the padding token, so fewer are left for a text.
    """

    @property
    def positions(self) -> int:
        """The maximum number of tokens of a text."""
        return self.encoder.config.max_position_embeddings - self.encoder.config.pad_token_id - 1
