"""Masked language modelling (Devlin et al., NAACL 2019) of a small BERT on generated texts.

Of the tokens that are predicted, 8 in 10 are replaced by [MASK], 1 by any other and 1 not at all, as in the paper.

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
    """Writes a WordPiece tokenizer of the generator's words, and of letters for the words that it does not know."""
    letters = string.ascii_lowercase + string.digits
    pieces = (f"##{letter}" for letter in letters)
    tokens = dict.fromkeys([*SPECIAL, *vocabulary(), *letters, *pieces, *string.punctuation])
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)


def new_text_stream(folder: Path, width: int, depth: int, heads: int) -> tuple[Stream, TextInput]:
    """A BERT with random weights, and what it reads: the tokens of a new tokenizer in `folder`."""
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
    """A text stream and BERT's head, which predicts tokens from their places' states with the embeddings themselves."""

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
        """A batch of the pool, as it is."""
        return ids_BT

    def forward(self, ids_BT: Tensor) -> Tensor:
        """The mean cross-entropy over the tokens that are to be predicted."""
        logits_MV, target_M = self.predict(ids_BT)
        return F.cross_entropy(logits_MV, target_M)

    def predict(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Hides tokens by chance; returns the logits (M, V) in their places, and what they were (M,)."""
        chosen_BT = (torch.rand(ids_BT.shape) < self.masked) & (ids_BT >= len(SPECIAL))
        chance_BT = torch.rand(ids_BT.shape)
        other_BT = torch.randint(len(SPECIAL), len(self.bias), ids_BT.shape)
        seen_BT = ids_BT.masked_fill(chosen_BT & (chance_BT < 0.8), SPECIAL.index("[MASK]"))
        seen_BT = torch.where(chosen_BT & (chance_BT >= 0.9), other_BT, seen_BT)
        state_MD = self.transform(self.stream(seen_BT)[chosen_BT])
        return F.linear(state_MD, self._embedding, self.bias), ids_BT[chosen_BT]

    @torch.no_grad()
    def accuracy(self, ids_BT: Tensor) -> float:
        """The share of hidden tokens that are predicted right."""
        logits_MV, target_M = self.predict(ids_BT)
        return (logits_MV.argmax(-1) == target_M).double().mean().item()
