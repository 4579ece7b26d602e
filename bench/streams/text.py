"""What streams of text have in common.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from bench.errors import BenchError
from bench.streams.blocks import BlockStream
from bench.streams.inputs import Input, TextInput


class TextStream(BlockStream):
    """An encoder of token ids. Subclasses are pre-norm or post-norm streams too.

    Attributes:
        masks_padding_id: Whether padding has the configuration's `pad_token_id` and is masked.
    """

    input_type = TextInput
    special = 1
    masks_padding_id: ClassVar[bool] = True

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from a text encoder.

        Args:
            encoder: The transformers model.
            input: The form of its texts.

        Raises:
            BenchError: The input is not text or is longer than the encoder has positions for, or the configuration
                names no padding token although that is masked.
        """
        super().__init__(encoder, input)
        assert isinstance(input, TextInput)
        if self.masks_padding_id and encoder.config.pad_token_id is None:
            raise BenchError(f"the configuration of {type(encoder).__name__} must have a pad_token_id, but has none")
        if input.length > self.positions:
            raise BenchError(
                f"texts of {input.length} tokens exceed the positions of {type(encoder).__name__}: set a length of "
                f"{self.positions} or less"
            )

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

    def mask(self, inputs: Tensor) -> Tensor | None:
        """Return which token ids (B, T) are not padding."""
        return inputs != self.encoder.config.pad_token_id
