"""Masked language modeling (Devlin et al., NAACL 2019) of a small BERT on generated texts.

Of the tokens to predict, 80% are replaced by [MASK], 10% by a random token, and 10% remain, as in the paper.

Dimensions in names: B batch, T tokens, D width, M tokens to predict, V tokens of the vocabulary.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertTokenizer

from bench.datasets.mini.wording import vocabulary
from bench.streams.base import Stream
from bench.streams.inputs import TextInput
from bench.streams.load import build_stream

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LENGTH = 40  # tokens of a text


def write_tokenizer(folder: Path) -> None:
    """Write a WordPiece tokenizer of the generator's words, with letters for other words, into a folder."""
    letters = string.ascii_lowercase + string.digits
    pieces = (f"##{letter}" for letter in letters)
    tokens = dict.fromkeys([*SPECIAL, *vocabulary(), *letters, *pieces, *string.punctuation])
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)


def new_text_stream(folder: Path, width: int, depth: int, heads: int) -> tuple[Stream, TextInput]:
    """Return a BERT with random weights and its input, the tokens of a new tokenizer.

    Args:
        folder: Folder to write the tokenizer into.
        width: Features of a token.
        depth: Number of blocks.
        heads: Attention heads.
    """
    write_tokenizer(folder)
    text = TextInput(str(folder), LENGTH)
    config = BertConfig(
        vocab_size=text.vocabulary()[0],
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return build_stream(config, text).requires_grad_(True), text


class MaskedLanguageModel(nn.Module):
    """A text stream and BERT's head, which predicts tokens with the word embeddings as output weights."""

    def __init__(self, stream: Stream, masked: float) -> None:
        super().__init__()
        self.stream = stream
        self.masked = masked
        self.transform = nn.Sequential(nn.Linear(stream.width, stream.width), nn.GELU(), nn.LayerNorm(stream.width))
        self.bias = nn.Parameter(torch.zeros(self._embedding.shape[0]))

    @property
    def _embedding(self) -> Tensor:
        return self.stream.encoder.embeddings.word_embeddings.weight

    def prepare(self, ids_BT: Tensor) -> Tensor:
        """Return a batch of the pool, unchanged."""
        return ids_BT

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return the mean cross-entropy over the tokens to predict."""
        logits_MV, target_M = self.predict(ids_BT)
        return F.cross_entropy(logits_MV, target_M)

    def predict(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Mask tokens at random and predict them.

        Args:
            ids_BT: Token ids (B, T).

        Returns:
            Logits (M, V) of the tokens to predict, and their ids (M,).
        """
        chosen_BT = (torch.rand(ids_BT.shape) < self.masked) & (ids_BT >= len(SPECIAL))
        chance_BT = torch.rand(ids_BT.shape)
        random_BT = torch.randint(len(SPECIAL), len(self.bias), ids_BT.shape)
        masked_BT = ids_BT.masked_fill(chosen_BT & (chance_BT < 0.8), SPECIAL.index("[MASK]"))
        masked_BT = torch.where(chosen_BT & (chance_BT >= 0.9), random_BT, masked_BT)
        state_MD = self.transform(self.stream(masked_BT)[chosen_BT])
        return F.linear(state_MD, self._embedding, self.bias), ids_BT[chosen_BT]

    @torch.no_grad()
    def accuracy(self, ids_BT: Tensor) -> float:
        """Return the fraction of masked tokens that are predicted correctly."""
        logits_MV, target_M = self.predict(ids_BT)
        return (logits_MV.argmax(-1) == target_M).double().mean().item()
