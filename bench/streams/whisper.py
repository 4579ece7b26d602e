"""Whisper's encoder (Radford et al., ICML 2023) as a stream.

Dimensions in names: B batch, T tokens, D width, F frames.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from bench.errors import BenchError
from bench.streams.blocks import Layout, PreNormStream
from bench.streams.inputs import Input, WhisperInput


class WhisperStream(PreNormStream):
    """Whisper's encoder: a token for every two frames, and no class token.

    The encoder's own forward accepts 30 s of sound only. Here any shorter sound is accepted, with the first of the
    positions, so that nothing is computed for silence.
    """

    input_type = WhisperInput
    special = 0
    activation_setting = "activation_function"
    layouts = (
        Layout(
            blocks="layers",
            norms=("self_attn_layer_norm", "final_layer_norm"),
            linears={
                **{role: f"self_attn.{role}_proj" for role in ("q", "k", "v")},
                "o": "self_attn.out_proj",
                "fc1": "fc1",
                "fc2": "fc2",
            },
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from Whisper's encoder.

        Args:
            encoder: The transformers model, a `WhisperEncoder`.
            input: The form of its sounds.

        Raises:
            BenchError: The sounds are longer than the encoder has positions for, or have other mel bins.
        """
        super().__init__(encoder, input)
        assert isinstance(input, WhisperInput)
        longest = 2 * encoder.config.max_source_positions
        if input.frames > longest:
            raise BenchError(
                f"{input.frames} frames of sound exceed the window of Whisper: set {longest} frames or less"
            )
        if input.mel_bins != encoder.config.num_mel_bins:
            raise BenchError(
                f"sounds of {input.mel_bins} mel bins do not fit an encoder of {encoder.config.num_mel_bins}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """One row, and a column for every two frames of a spectrogram of the stream's own size."""
        assert isinstance(self.input, WhisperInput)
        return 1, (self.input.frames + 1) // 2

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized spectrograms (B, frames, mel_bins) of any length up to 30 s."""
        encoder = self.encoder
        x_BDF = F.gelu(encoder.conv1(inputs.transpose(1, 2)))
        x_BTD = F.gelu(encoder.conv2(x_BDF)).transpose(1, 2)
        return x_BTD + encoder.embed_positions.weight[: x_BTD.shape[1]]

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm."""
        return self.encoder.layer_norm(x_BTD)
