"""Post-norm transformer encoders of transformers as streams: BERT, RoBERTa, DistilBERT."""

from __future__ import annotations

from typing import Any

from bench.streams.blocks import BERT_LINEARS, Layout, PostNormStream, switch_off_dropout
from bench.streams.inputs import Input
from bench.streams.text import TextStream


class BertStream(TextStream, PostNormStream):
    """BERT (Devlin et al., NAACL 2019) without its pooler, class token first.

    It runs without dropout, in training too: the checkpoints' configurations have 0.1, which is set to 0 here (a
    deviation from the paper). The function that a method trains is therefore the deterministic function that is scored.
    """

    layouts = (
        Layout(
            blocks="encoder.layer",
            norms=("attention.output.LayerNorm", "output.LayerNorm"),
            linears=BERT_LINEARS,
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        super().__init__(encoder, input)
        switch_off_dropout(encoder)


class RobertaStream(BertStream):
    """RoBERTa (Liu et al., 2019): BERT's blocks, likewise without dropout.

    Its position embeddings start after the id of the padding token, so fewer are left for a text.
    """

    @property
    def positions(self) -> int:
        """The maximum number of tokens of a text."""
        return self.encoder.config.max_position_embeddings - self.encoder.config.pad_token_id - 1


class DistilBertStream(BertStream):
    """DistilBERT (Sanh et al., 2019), class token first; without dropout, like BERT."""

    activation_setting = "activation"
    layouts = (
        Layout(
            blocks="transformer.layer",
            norms=("sa_layer_norm", "output_layer_norm"),
            linears={
                **{role: f"attention.{role}_lin" for role in ("q", "k", "v")},
                "o": "attention.out_lin",
                "fc1": "ffn.lin1",
                "fc2": "ffn.lin2",
            },
        ),
    )
