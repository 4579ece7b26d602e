"""Families of text encoders beside BERT and RoBERTa, compared with the encoders' own forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import Family, check_added_tokens, check_gradients, last_hidden_state
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    Siglip2TextConfig,
    Siglip2TextModel,
    SiglipTextConfig,
    SiglipTextModel,
)

from bench.errors import BenchError
from bench.streams.clip import ClipTextStream
from bench.streams.inputs import TextInput
from bench.streams.modernbert import ModernBertStream
from bench.streams.postnorm import DistilBertStream
from bench.streams.siglip import SiglipTextStream

TEXT = TextInput("none", length=12)
SIZE = {"vocab_size": 20, "max_position_embeddings": 30, "hidden_size": 24, "num_attention_heads": 3}
TEXT_SIZE = {**SIZE, "num_hidden_layers": 3, "intermediate_size": 40}
DISTILBERT = {"vocab_size": 20, "max_position_embeddings": 30, "dim": 24, "n_heads": 3, "n_layers": 3, "hidden_dim": 40}
MODERNBERT = {
    **TEXT_SIZE,
    "local_attention": 4,
    **dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), 2),
    "pad_token_id": 0,
}
EOS = 19


def masked(encoder: Any, ids: Tensor) -> Tensor:
    return encoder(ids, attention_mask=(ids != 0).long()).last_hidden_state


def clip_forward(encoder: Any, ids: Tensor) -> Tensor:
    """Return the tokens with a mask of all that follows the first token that ends a text."""
    mask = torch.stack([torch.arange(len(row)) <= row.tolist().index(EOS) for row in ids])
    return encoder(ids, attention_mask=mask.long()).last_hidden_state


FAMILIES = {
    "distilbert": Family(DistilBertStream, lambda: DistilBertModel(DistilBertConfig(**DISTILBERT)), masked, TEXT),
    "clip": Family(
        ClipTextStream, lambda: CLIPTextModel(CLIPTextConfig(**TEXT_SIZE, eos_token_id=EOS)), clip_forward, TEXT
    ),
    "modernbert": Family(ModernBertStream, lambda: ModernBertModel(ModernBertConfig(**MODERNBERT)), masked, TEXT),
    "siglip": Family(SiglipTextStream, lambda: SiglipTextModel(SiglipTextConfig(**TEXT_SIZE)), last_hidden_state, TEXT),
    "siglip2": Family(
        SiglipTextStream, lambda: Siglip2TextModel(Siglip2TextConfig(**TEXT_SIZE)), last_hidden_state, TEXT
    ),
}


def token_ids(name: str, lengths: list[int], padded: int = 12) -> Tensor:
    """Return rows of so many tokens, then padding; CLIP's end with a token with which they are padded too."""
    ids = torch.randint(2, 19, (len(lengths), padded), generator=torch.Generator().manual_seed(0))
    real = torch.arange(padded) < torch.tensor(lengths)[:, None] - int(name == "clip")
    return torch.where(real, ids, EOS if name == "clip" else 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lengths", [[12, 12], [3, 7, 11], [1, 12]])
def test_stages_equal_the_encoders_own_forward(name, family, dtype, tolerance, training, lengths):
    stream, ids = family.make(dtype).train(training), token_ids(name, lengths)
    expected, actual = family.forward(stream.encoder, ids), stream(ids)
    assert actual.isfinite().all()
    if (mask := stream.mask(ids)) is not None:
        expected, actual = expected[mask], actual[mask]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_the_encoder(name, family, stream):
    check_gradients(stream, family.forward, token_ids(name, [3, 7, 11]))


def test_tokens_added_by_a_method_have_no_positions(name, stream):
    check_added_tokens(stream, token_ids(name, [3, 7, 11]))


def test_linears_are_those_of_the_blocks(name, stream):
    blocks = [n for n, m in stream.encoder.named_modules() if isinstance(m, nn.Linear) and "layer" in n]
    assert sorted(stream.all_linears()) == sorted(blocks)
    if name == "modernbert":
        features = {"qkv": (24, 72), "o": (24, 24), "fc1": (24, 80), "fc2": (40, 24)}
    else:
        features = {**dict.fromkeys("qkvo", (24, 24)), "fc1": (24, 40), "fc2": (40, 24)}
    assert {role: stream.features(1, role) for role in stream.linears(1)} == features


def test_the_mask_is_true_where_a_token_is_no_padding(name, stream):
    mask = stream.mask(token_ids(name, [3, 12]))
    if "siglip" in name:
        assert mask is None
    else:
        assert mask.sum(1).tolist() == [3, 12] and mask[0, :3].all()


def test_padding_has_no_influence_unless_the_encoder_attends_to_it(name, stream):
    ids, longer = token_ids(name, [3, 7], 7), token_ids(name, [3, 7], 12)
    longer[:, :7] = ids
    mask = stream.mask(ids)
    if "siglip" in name:
        assert not torch.isclose(stream(longer)[:, :7], stream(ids)).all()
    else:
        torch.testing.assert_close(stream(longer)[:, :7][mask], stream(ids)[mask])


def test_the_summary_is_the_token_that_the_encoder_summarizes_texts_in(name, stream):
    ids = token_ids(name, [3, 7])
    mask, tokens = stream.mask(ids), stream(ids)
    summary = stream.summary(tokens, "cls", mask)
    if name == "clip":
        torch.testing.assert_close(summary, stream.encoder(ids).pooler_output)
    elif "siglip" in name:
        torch.testing.assert_close(stream.encoder.head(summary), stream.encoder(ids).pooler_output)
    else:
        assert torch.equal(summary, tokens[:, 0])


def test_the_end_of_a_text_in_older_configurations_of_clip_is_the_largest_token_id():
    config = CLIPTextConfig(**TEXT_SIZE, eos_token_id=2)
    stream = ClipTextStream(CLIPTextModel(config), TEXT)
    ids = token_ids("clip", [3, 7])
    assert stream.mask(ids).sum(1).tolist() == [3, 7]
    tokens = stream(ids)
    torch.testing.assert_close(stream.summary(tokens, "cls", stream.mask(ids)), stream.encoder(ids).pooler_output)


def test_texts_longer_than_the_positions_are_refused(family):
    with pytest.raises(BenchError, match="texts of 31 tokens exceed the positions"):
        family.stream(family.encoder(), TextInput("none", length=31))


def test_dropout_of_distilbert_is_set_to_0():
    stream, ids = FAMILIES["distilbert"].make().train(), token_ids("distilbert", [3])
    assert DistilBertConfig().dropout == DistilBertConfig().attention_dropout == 0.1
    torch.testing.assert_close(stream(ids), stream(ids))
    assert stream.encoder.config.dropout == stream.encoder.config.attention_dropout == 0
