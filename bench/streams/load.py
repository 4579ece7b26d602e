"""Streams from where pretrained encoders lie: a folder of transformers' form, the hub, or this package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    ASTConfig,
    ASTModel,
    AutoConfig,
    BertConfig,
    BertModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)
from transformers.utils import cached_file, logging

from bench.errors import BenchError
from bench.streams.base import Stream
from bench.streams.inputs import AudioInput, ImageInput, Input, TextInput
from bench.streams.postnorm import BertStream
from bench.streams.prenorm import ASTStream, Dinov2Stream, ViTStream

FAMILIES: dict[str, tuple[type[Stream], Any, dict[str, Any]]] = {
    ViTConfig.model_type: (ViTStream, ViTModel, {"add_pooling_layer": False}),
    Dinov2Config.model_type: (Dinov2Stream, Dinov2Model, {}),
    ASTConfig.model_type: (ASTStream, ASTModel, {}),
    BertConfig.model_type: (BertStream, BertModel, {"add_pooling_layer": False}),
}
"""By `config.model_type`: the stream, the model of transformers, and what its constructor is given."""

WEIGHTS = Path(__file__).parents[1] / "weights"
_PREPROCESSOR = "preprocessor_config.json"


def build_stream(config: Any, input: Input) -> Stream:
    """Return a stream with random weights.

    Args:
        config: of transformers, of one of the known families.
        input: what the stream reads.

    Raises:
        BenchError: the family is not known, or config and input do not go together, or a dropout is not 0 (a BERT's may
            be: it is set to 0).
    """
    stream, model, options = _family(config)
    return stream(model(config, **options), input)


def load_stream(model: str, *, size: int | None = None, frames: int | None = None, length: int | None = None) -> Stream:
    """Return a stream with pretrained weights, in float32 and evaluation mode.

    Args:
        model: `embedded:<name>`, a folder as `save_pretrained` writes it, or an id on the Hugging Face hub. Weights are
            read from safetensors only.
        size: side of the images in pixels, where it is not the checkpoint's.
        frames: length of the spectrograms, where it is not the checkpoint's.
        length: tokens of a text, where they are not the checkpoint's; without any word of it there, 40.

    Raises:
        BenchError: there is no such encoder, or it is of a family that is not known, or its files do not go together.
    """
    source = _source(model)
    try:
        config = AutoConfig.from_pretrained(source)
        family, encoder_class, options = _family(config)
        input = _read_input(source, family, size, frames, length)
        with _quiet():
            encoder, loaded = encoder_class.from_pretrained(
                source,
                config=config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError) as error:
        raise BenchError(f"cannot load the encoder {model}: {error}") from error
    if loaded["missing_keys"]:
        raise BenchError(f"the weights of the encoder {model} lack {', '.join(sorted(loaded['missing_keys']))}")
    if isinstance(input, TextInput):
        _check_vocabulary(input, config)
    encoder.name_or_path = model  # what was asked for, not where it was found: adapters saved on it name it
    return family(encoder, input)


def outline_stream(model: str) -> Stream:
    """Return a stream without weights, on the meta device: all that counting parameters needs.

    Args:
        model: as for `load_stream`.

    Raises:
        BenchError: there is no such encoder, or it is of a family that is not known, or its files do not go together.
    """
    source = _source(model)
    try:
        config = AutoConfig.from_pretrained(source)
        input = _read_input(source, _family(config)[0], None, None, None)
    except (OSError, ValueError) as error:
        raise BenchError(f"cannot load the encoder {model}: {error}") from error
    with torch.device("meta"):
        return build_stream(config, input)


def save_stream(stream: Stream, folder: Path) -> None:
    """Write a stream's encoder and input as a folder that `load_stream` and transformers read."""
    with _quiet():
        stream.encoder.save_pretrained(folder)
    text = json.dumps(stream.input.to_preprocessor(), indent=2)
    (folder / _PREPROCESSOR).write_text(text + "\n", encoding="utf-8")
    if isinstance(stream.input, TextInput):
        stream.input.save_tokenizer(folder)


def _read_input(source: str, family: type[Stream], size: int | None, frames: int | None, length: int | None) -> Input:
    try:
        values = json.loads(Path(str(cached_file(source, _PREPROCESSOR))).read_text(encoding="utf-8"))
    except OSError:
        if not issubclass(family, BertStream):
            raise
        values = {}  # checkpoints of text encoders seldom have this file
    try:
        if issubclass(family, BertStream):
            return TextInput.from_preprocessor(values, source, length)
        if issubclass(family, ASTStream):
            return AudioInput.from_preprocessor(values, frames)
        return ImageInput.from_preprocessor(values, size)
    except KeyError as error:
        raise BenchError(f"{_PREPROCESSOR} of the encoder {source} has no {error}") from error


def _check_vocabulary(input: TextInput, config: Any) -> None:
    """Refuse a tokenizer that makes other token ids than the encoder has embeddings for."""
    ids, padding = input.vocabulary()
    if ids > config.vocab_size or padding != config.pad_token_id:
        raise BenchError(
            f"the tokenizer {input.tokenizer} has {ids} token ids, {padding} for padding, but its encoder has "
            f"{config.vocab_size}, {config.pad_token_id} for padding"
        )


def _family(config: Any) -> tuple[type[Stream], Any, dict[str, Any]]:
    try:
        return FAMILIES[config.model_type]
    except KeyError:
        known = ", ".join(FAMILIES)
        raise BenchError(f"no stream is known for encoders of the family {config.model_type}; known: {known}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a progress bar for what takes a moment, and from listing weights not needed."""
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _source(model: str) -> str:
    """Return what transformers is to load: a folder or a hub id."""
    scheme, _, name = model.partition(":")
    if scheme == "embedded":
        known = sorted(path.parent.name for path in WEIGHTS.glob("*/config.json"))
        if name not in known:
            raise BenchError(f"no embedded encoder {name}; known: {', '.join(known) or 'none'}")
        return str(WEIGHTS / name)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if model.startswith((".", "~")) or folder.is_absolute():
        raise BenchError(f"no folder {model} to load an encoder from")
    return model
