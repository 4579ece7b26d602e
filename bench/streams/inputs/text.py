"""Texts as inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError, UsageError, wording
from bench.streams import limits
from bench.streams.inputs.bounds import check_range
from bench.streams.sources import download_command, encoder_checksum

_PANIC = (
    "PanicException"  # of Rust code, not an Exception; such as for catastrophic backtracking of a regular expression
)


@dataclass(frozen=True)
class TextInput:
    """Texts as token ids.

    The tokenizer is loaded when first needed and not stored here, so inputs are small, can be copied and pickled, and
    are equal if their fields are.

    Attributes:
        tokenizer: Folder, or id on the Hugging Face hub, of a fast tokenizer of transformers.
        length: Tokens of every text, including special ones. Longer texts are cut, shorter ones padded.
        lower_case: Whether texts are lower-cased first, independently of the tokenizer.
        kind: The name of this kind of input.
        options: The `InputSettings` that apply.
    """

    tokenizer: str
    length: int = 40
    lower_case: bool = True

    kind: ClassVar[str] = "text"
    options: ClassVar[tuple[str, ...]] = ("length",)

    def __post_init__(self) -> None:
        if self.length < 3:
            raise BenchError(
                f"texts must have at least 3 tokens, of which the first and last are special, not {self.length}"
            )
        check_range("the length of texts in tokens", self.length, *limits.TOKENS)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids (texts, length), int64.

        Anything in a text that looks like a special token is encoded as plain text, so only padding has the padding id.

        Args:
            texts: The texts.

        Raises:
            BenchError: The tokenizer does not exist, is not a fast one, or cannot encode the texts.
        """
        if self.lower_case:
            texts = [text.lower() for text in texts]
        tokenizer = _tokenizer(self.tokenizer, self.length)
        try:
            rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        except BaseException as error:  # such as for unknown words in a tokenizer without an unknown token
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise BenchError(f"the tokenizer {self.tokenizer} cannot encode texts: {wording(error)}") from error
        return np.asarray(rows, dtype=np.int64).reshape(-1, self.length)

    def encode_short(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids (texts, longest text), without columns that are all padding; errors as for `encode`."""
        tokens = self.encode(texts)
        _, padding = self.vocabulary()
        return tokens[:, : (tokens != padding).any(0).nonzero()[0].max(initial=0) + 1]

    def normalize(self, ids: Tensor) -> Tensor:
        """Return token ids (..., length) unchanged."""
        return ids

    def random(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Return random token ids (*shape, length): texts of 3 tokens to half of the length, then padding.

        Raises:
            BenchError: As for `vocabulary`.
        """
        count, padding = self.vocabulary()
        ids = torch.randint(count - 1, (*shape, self.length), generator=generator)
        ids += ids >= padding
        lengths = torch.randint(3, max(4, self.length // 2 + 1), (*shape, 1), generator=generator)
        return torch.where(torch.arange(self.length) < lengths, ids, padding)

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids and the padding id.

        Raises:
            BenchError: The tokenizer does not exist or is not a fast one.
        """
        tokenizer = _tokenizer(self.tokenizer, self.length)
        return max(tokenizer.get_vocab().values()) + 1, tokenizer.padding["pad_id"]  # some ids may have no token

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files into a folder, from which transformers can load it.

        Raises:
            BenchError: The tokenizer does not exist or is not a fast one.
        """
        _pretrained_tokenizer(self.tokenizer).save_pretrained(folder)

    def to_preprocessor(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json` with these values, except for the tokenizer."""
        return {"max_length": self.length, "do_lower_case": self.lower_case}

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], tokenizer: str, length: int | None = None) -> TextInput:
        """Return the input that a `preprocessor_config.json` describes. All values have defaults.

        Args:
            values: Content of the file; {} without the file, which checkpoints of text encoders need not have.
            tokenizer: Folder, or id on the hub.
            length: Length in tokens that overrides the file's; None for the file's.
        """
        return cls(
            tokenizer, length or int(values.get("max_length", cls.length)), values.get("do_lower_case", cls.lower_case)
        )


@dataclass(frozen=True)
class TextWithoutTokenizer(TextInput):
    """Texts for an encoder without its tokenizer: token ids can be drawn at random, but no text encoded.

    Attributes:
        ids: Number of token ids.
        padding: The padding id.
    """

    ids: int = 0
    padding: int = 0

    def vocabulary(self) -> tuple[int, int]:
        """Return the number of token ids and the padding id."""
        return self.ids, self.padding

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Raise, since there is no tokenizer.

        Raises:
            UsageError: Always; shows the command that downloads the tokenizer.
        """
        raise UsageError(
            f"the tokenizer of {self.tokenizer} is missing: download it with {download_command(self.tokenizer)}"
        )


def _pretrained_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, local_files_only=True)
        words = len(tokenizer) - len(tokenizer.all_special_ids)
    except Exception as error:  # broken files can make transformers fail in any way
        raise BenchError(
            f"cannot load the tokenizer {source} (from tokenizer.json, if there is one): {wording(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise BenchError(f"the tokenizer {source} must be a fast one with a padding token: use another")
    if words <= 0:  # transformers makes up an empty tokenizer if there are no files
        raise BenchError(f"the tokenizer {source} has no words: check that it has a tokenizer.json or vocab.txt")
    return tokenizer


def _tokenizer(source: str, length: int) -> Any:
    """Return the fast tokenizer itself, which threads can share since its settings no longer change."""
    try:
        checksum = encoder_checksum(source, weights=False)
    except UsageError:  # of a tokenizer without an encoder, changes of its files go unnoticed
        checksum = ""
    return _loaded_tokenizer(source, length, checksum)


@lru_cache(maxsize=8)
def _loaded_tokenizer(source: str, length: int, checksum: str) -> Any:
    pretrained = _pretrained_tokenizer(source)
    tokenizer = pretrained.backend_tokenizer
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=pretrained.pad_token_id, pad_token=pretrained.pad_token)
    tokenizer.encode_special_tokens = True
    return tokenizer
