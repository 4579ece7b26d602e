"""wav2vec 2.0 (Baevski et al., NeurIPS 2020) and HuBERT (Hsu et al., 2021) as streams.

Dimensions in names: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench.errors import BenchError
from bench.streams.blocks import BlockStream, Layout, switch_off_dropout
from bench.streams.inputs import Input, WaveformInput


class Wav2Vec2Stream(BlockStream):
    """wav2vec 2.0 or HuBERT: a token for every 20 ms of a waveform, and no class token.

    Convolutions make the tokens, and another convolution their positions. The blocks are post-norm, or pre-norm if the
    configuration has `do_stable_layer_norm`, as in large encoders.

    It runs without dropout, dropped layers and SpecAugment, in training too: the checkpoints' configurations have
    them, and they are switched off here (a deviation from the papers), for the same reason as BERT's dropout.
    """

    input_type = WaveformInput
    special = 0
    layouts = (
        Layout(
            blocks="encoder.layers",
            norms=("layer_norm", "final_layer_norm"),
            linears={
                **{role: f"attention.{role}_proj" for role in ("q", "k", "v")},
                "o": "attention.out_proj",
                "fc1": "feed_forward.intermediate_dense",
                "fc2": "feed_forward.output_dense",
            },
        ),
    )

    def __init__(self, encoder: Any, input: Input) -> None:
        """Make a stream from a wav2vec 2.0 or HuBERT encoder.

        Args:
            encoder: The transformers model.
            input: The form of its waveforms.

        Raises:
            BenchError: The encoder has adapters of its own, or the waveforms are too short for a token.
        """
        super().__init__(encoder, input)
        config = encoder.config
        if getattr(config, "add_adapter", False) or getattr(config, "adapter_attn_dim", None) is not None:
            raise BenchError(f"streams support no {type(encoder).__name__} with add_adapter or adapter_attn_dim")
        if self.grid[1] < 1:
            raise BenchError(
                f"waveforms of {self._samples} samples are too short for {type(encoder).__name__}: set a larger "
                "window_s"
            )
        switch_off_dropout(encoder)
        config.apply_spec_augment = False
        # Otherwise gradients are computed down to the waveform, in training, even if everything is frozen.
        encoder.feature_extractor._requires_grad = False
        self.norm_place = "before" if config.do_stable_layer_norm else "after"

    @property
    def _samples(self) -> int:
        assert isinstance(self.input, WaveformInput)
        return self.input.window_samples

    @property
    def grid(self) -> tuple[int, int]:
        """One row, and a column for each token of a waveform of the stream's own length."""
        config, count = self.encoder.config, self._samples
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            count = (count - kernel) // stride + 1
        return 1, count

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the tokens (B, T, D) of normalized waveforms (B, samples) of any length."""
        encoder = self.encoder
        projected = encoder.feature_projection(encoder.feature_extractor(inputs).transpose(1, 2))
        x_BTD = projected[0] if isinstance(projected, tuple) else projected  # wav2vec 2.0 returns its input too
        x_BTD = x_BTD + encoder.encoder.pos_conv_embed(x_BTD)
        return x_BTD if self.norm_place == "before" else encoder.encoder.layer_norm(x_BTD)

    def finish(self, x_BTD: Tensor) -> Tensor:
        """Return the state after the encoder's final norm, which only pre-norm encoders have."""
        return self.encoder.encoder.layer_norm(x_BTD) if self.norm_place == "before" else x_BTD
