"""Families of encoders: the stream and the transformers model of a checkpoint, by its `model_type`.

A family is an entry point of the group `bench.encoders`, named by the `model_type` in `config.json`. Heavy packages
are not imported: the classes of a family are named here and imported when an encoder is built.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name
from typing import Any, Literal, TypeAlias

from bench import registry
from bench.errors import BenchError, UsageError
from bench.system.garbage import uncollected

InputKind: TypeAlias = Literal["images", "sounds", "text"]
"""The kind of input of a stream. A task says which kind each of its streams reads: `Task.modalities`."""


@dataclass(frozen=True)
class Tower:
    """One encoder of a checkpoint. Most checkpoints have a single one; CLIP's have two.

    Attributes:
        kind: Its kind of input: "images", "sounds" or "text".
        stream: Its stream, a subclass of `bench.streams.base.Stream`, as `module:Class`.
        model: The transformers model that the stream wraps, as `module:Class`.
        options: Arguments of the model's constructor, besides the configuration.
        config: Name of the tower's configuration within the checkpoint's, such as "vision_config"; "" if the
            checkpoint's own configuration is the tower's.
        prefixes: Prefixes that the names of the tower's weights may have in a checkpoint but not in the model, such as
            "model.encoder.".
        vocabulary: Files of a text encoder's tokenizer if there is no `tokenizer.json`.
    """

    kind: InputKind
    stream: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    prefixes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()

    def stream_class(self) -> Any:
        """Import and return the class of the stream."""
        with uncollected():
            return resolve_name(self.stream)

    def model_class(self) -> Any:
        """Import and return the class of the transformers model."""
        with uncollected():
            return resolve_name(self.model)

    def narrowed(self, config: Any) -> Any:
        """Return the tower's part of a checkpoint's transformers configuration."""
        return getattr(config, self.config) if self.config else config

    def renamed_weights(self, names: Collection[str]) -> dict[str, str]:
        """Return the patterns of the checkpoint's names to replace, for `from_pretrained(key_mapping=...)`.

        Args:
            names: Names of the model's weights. A prefix that they have themselves is left alone: some versions of
                transformers nest the weights of a tower, others do not.
        """
        return {
            f"^{re.escape(prefix)}": ""
            for prefix in self.prefixes
            if not any(name.startswith(prefix) for name in names)
        }


@dataclass(frozen=True)
class EncoderFamily:
    """The encoders that share a `model_type`.

    Attributes:
        summary: Name, authors and year, for `bench list encoders`.
        towers: The encoders of each checkpoint, at most one for each kind of input.
    """

    summary: str
    towers: tuple[Tower, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of input of its towers."""
        return tuple(tower.kind for tower in self.towers)

    def tower(self, kind: str | None = None) -> Tower:
        """Return the tower for a kind of input, or the only tower whatever the kind.

        Args:
            kind: The kind of input, which may be None if there is one tower.

        Raises:
            UsageError: There are several towers, and none or no single one for that kind.
        """
        if len(self.towers) == 1:
            return self.towers[0]
        for tower in self.towers:
            if tower.kind == kind:
                return tower
        if kind:
            raise UsageError(f"the encoder reads {' or '.join(self.kinds)}, not {kind}")
        raise UsageError(
            f"the encoder has towers for {' and '.join(self.kinds)}: name one with kind= or in the task's modalities"
        )


def family(model_type: str) -> EncoderFamily:
    """Return a family by the `model_type` of its checkpoints.

    Raises:
        UsageError: The family is unknown.
        BenchError: Its entry point cannot be imported, or is no `EncoderFamily`.
    """
    if model_type not in registry.names("encoders"):
        supported = ", ".join(registry.names("encoders"))
        raise UsageError(f"encoders of the family {model_type} are not supported; supported: {supported}")
    loaded = registry.load("encoders", model_type)
    if not isinstance(loaded, EncoderFamily):
        raise BenchError(f"the entry point {model_type} of bench.encoders must be an EncoderFamily, not {loaded!r}")
    return loaded


def describe(model_type: str) -> str:
    """Return what the encoders of a family are and which kinds of input they read, in a line.

    Raises:
        BenchError: As for `family`.
    """
    described = family(model_type)
    return f"{', '.join(described.kinds)}: {described.summary}"


def _family(summary: str, kind: InputKind, stream: str, model: str, **rest: Any) -> EncoderFamily:
    """Return a family with one tower, of classes of `bench.streams` and of transformers."""
    return EncoderFamily(summary, (Tower(kind, f"bench.streams.{stream}", f"transformers:{model}", **rest),))


_UNPOOLED = {"options": {"add_pooling_layer": False}}

VIT = _family("ViT (Dosovitskiy et al., 2021)", "images", "prenorm:ViTStream", "ViTModel", **_UNPOOLED)
DINOV2 = _family("DINOv2 (Oquab et al., 2024)", "images", "prenorm:Dinov2Stream", "Dinov2Model")
DINOV3 = _family("DINOv3's ViT (Siméoni et al., 2025)", "images", "dinov3:Dinov3Stream", "DINOv3ViTModel")
SWINV2 = _family("Swin Transformer V2 (Liu et al., 2022)", "images", "staged:Swinv2Stream", "Swinv2Model", **_UNPOOLED)
AST = _family("Audio Spectrogram Transformer (Gong et al., 2021)", "sounds", "prenorm:ASTStream", "ASTModel")
BERT = _family(
    "BERT (Devlin et al., 2019)",
    "text",
    "postnorm:BertStream",
    "BertModel",
    vocabulary=("vocab.txt",),
    **_UNPOOLED,
)
ROBERTA = _family(
    "RoBERTa (Liu et al., 2019)",
    "text",
    "postnorm:RobertaStream",
    "RobertaModel",
    vocabulary=("vocab.json", "merges.txt"),
    **_UNPOOLED,
)
DISTILBERT = _family(
    "DistilBERT (Sanh et al., 2019)",
    "text",
    "postnorm:DistilBertStream",
    "DistilBertModel",
    vocabulary=("vocab.txt",),
)
MODERNBERT = _family("ModernBERT (Warner et al., 2024)", "text", "modernbert:ModernBertStream", "ModernBertModel")
DEIT = _family(
    "DeiT with distillation (Touvron et al., 2021)", "images", "prenorm:DeiTStream", "DeiTModel", **_UNPOOLED
)
DINOV2_REGISTERS = _family(
    "DINOv2 with registers (Darcet et al., 2024)", "images", "prenorm:Dinov2RegistersStream", "Dinov2WithRegistersModel"
)
BEIT = _family("BEiT (Bao et al., 2022)", "images", "beit:BeitStream", "BeitModel")
VIT_MAE = _family("Masked autoencoder (He et al., 2022)", "images", "vit_mae:ViTMAEStream", "ViTMAEModel")
WHISPER = EncoderFamily(
    "Whisper's encoder (Radford et al., 2023)",
    (
        Tower(
            "sounds",
            "bench.streams.whisper:WhisperStream",
            "transformers.models.whisper.modeling_whisper:WhisperEncoder",
            prefixes=("model.encoder.", "encoder."),
        ),
    ),
)
WAV2VEC2 = _family("wav2vec 2.0 (Baevski et al., 2020)", "sounds", "wav2vec2:Wav2Vec2Stream", "Wav2Vec2Model")
HUBERT = _family("HuBERT (Hsu et al., 2021)", "sounds", "wav2vec2:Wav2Vec2Stream", "HubertModel")


def _towers(summary: str, vision: str, text: str, models: str, vocabulary: tuple[str, ...]) -> list[EncoderFamily]:
    """Return the families of a checkpoint with a tower for images and one for text, and of each tower by itself."""
    kinds: tuple[tuple[InputKind, str, str], ...] = (("images", vision, "Vision"), ("text", text, "Text"))
    images, words = (
        Tower(
            kind,
            f"bench.streams.{stream}",
            f"transformers:{models}{name}Model",
            config=f"{name.lower()}_config",
            prefixes=(f"{name.lower()}_model.",),
            vocabulary=vocabulary if kind == "text" else (),
        )
        for kind, stream, name in kinds
    )
    single = (
        EncoderFamily(f"{summary}, {name} tower only", (replace(tower, config=""),))
        for name, tower in (("vision", images), ("text", words))
    )
    return [EncoderFamily(summary, (images, words)), *single]


CLIP, CLIP_VISION, CLIP_TEXT = _towers(
    "CLIP (Radford et al., 2021)",
    "clip:ClipVisionStream",
    "clip:ClipTextStream",
    "CLIP",
    ("vocab.json", "merges.txt"),
)
SIGLIP, SIGLIP_VISION, SIGLIP_TEXT = _towers(
    "SigLIP (Zhai et al., 2023)", "siglip:SiglipVisionStream", "siglip:SiglipTextStream", "Siglip", ("spiece.model",)
)
SIGLIP2, SIGLIP2_VISION, SIGLIP2_TEXT = _towers(
    "SigLIP 2 for any size (Tschannen et al., 2025)",
    "siglip:Siglip2VisionStream",
    "siglip:SiglipTextStream",
    "Siglip2",
    (),
)
