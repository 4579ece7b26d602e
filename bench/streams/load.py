"""Streams from pretrained encoders, with their weights, with random ones, or without any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    ASTConfig,
    ASTModel,
    AutoConfig,
    BertConfig,
    BertModel,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    RobertaConfig,
    RobertaModel,
    Swinv2Config,
    Swinv2Model,
    ViTConfig,
    ViTModel,
)
from transformers.initialization import no_init_weights
from transformers.utils import logging

from bench.errors import BenchError, UsageError, wording
from bench.files import MEBIBYTE, read_json, use_default_permissions
from bench.streams.base import Stream
from bench.streams.checks import CONFIG, check_folder, check_size
from bench.streams.dinov3 import Dinov3Stream
from bench.streams.encoder_files import PREPROCESSOR
from bench.streams.encoder_names import encoder_name
from bench.streams.inputs import AudioInput, Input, OutlinedText, Reading, TextInput
from bench.streams.postnorm import BertStream, RobertaStream
from bench.streams.prenorm import ASTStream, Dinov2Stream, ViTStream
from bench.streams.sources import SHAPES, find_encoder
from bench.streams.staged import Swinv2Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

FAMILIES: dict[str, tuple[type[Stream], Any, dict[str, Any]]] = {
    ViTConfig.model_type: (ViTStream, ViTModel, {"add_pooling_layer": False}),
    Dinov2Config.model_type: (Dinov2Stream, Dinov2Model, {}),
    DINOv3ViTConfig.model_type: (Dinov3Stream, DINOv3ViTModel, {}),
    Swinv2Config.model_type: (Swinv2Stream, Swinv2Model, {"add_pooling_layer": False}),
    ASTConfig.model_type: (ASTStream, ASTModel, {}),
    BertConfig.model_type: (BertStream, BertModel, {"add_pooling_layer": False}),
    RobertaConfig.model_type: (RobertaStream, RobertaModel, {"add_pooling_layer": False}),
}
"""By `config.model_type`: the stream, the model of transformers, and what its constructor is given.

`bench.streams.encoder_files.READS` says of each what it reads.
"""

_NAMED = 10  # weights that a message names


def build_stream(config: Any, input: Input) -> Stream:
    """Return a stream with random weights.

    Args:
        config: of transformers, of one of the known families.
        input: what the stream reads.

    Raises:
        BenchError: the family is not known, or config and input do not go together, or a dropout is not 0 in a family
            whose checkpoints have none (BERT's, RoBERTa's and SwinV2's is set to 0).
    """
    stream, model, options = _family(config)
    return stream(model(config, **options), input)


def load_stream(model: str, **reading: Unpack[Reading]) -> Stream:
    """Return a stream with pretrained weights, in float32 and evaluation mode.

    Args:
        model: `embedded:<name>`, a folder as `save_pretrained` writes it, or an id on the Hugging Face hub, of which
            the cache must hold a copy. Weights are read from safetensors only.
        reading: how the stream is to read, where that is not as the checkpoint says.

    Raises:
        UsageError: there is no such encoder here; says how to fetch it.
        BenchError: it is of a family that is not known, or its files do not go together, or its inputs do not have what
            is to be changed of them.
    """
    folder = find_encoder(model)
    with _loading(model), _quiet():
        config, input = _describe(folder, model, reading)
        family, encoder_class, options = _family(config)
        with torch.device("meta"):
            outline = encoder_class(config, **options)
        check_size(sum(parameter.numel() for parameter in outline.parameters()), folder)
        encoder, loaded = encoder_class.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # transformers' own message says nothing of which
            **options,
        )
        if mismatched := sorted(loaded["mismatched_keys"], key=str):
            name, saved, expected = mismatched[0]
            raise BenchError(
                f"the weights of the encoder {model} do not fit its {CONFIG}: {name} has shape {tuple(saved)}, not "
                f"{tuple(expected)}" + (f", and {len(mismatched) - 1} more differ" if len(mismatched) > 1 else "")
            )
        if loaded["missing_keys"]:
            lacking = sorted(loaded["missing_keys"])
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            raise BenchError(f"the weights of the encoder {model} lack {', '.join(lacking[:_NAMED])}{more}")
        if broken := [name for name, tensor in encoder.named_parameters() if not tensor.isfinite().all()]:
            raise BenchError(f"weights of the encoder {model} are not finite: {', '.join(broken[:_NAMED])}")
        if isinstance(input, TextInput):
            _check_vocabulary(input, config)
        # Adapters that are saved on it say so: not where it lies here, but what others know it by.
        known_as = encoder_name(model)
        encoder.name_or_path, encoder.config._commit_hash = known_as.name, known_as.revision
        return family(encoder, input)


def outline_stream(model: str, **reading: Unpack[Reading]) -> Stream:
    """Return a stream without weights, on the meta device: all that counting parameters needs.

    Args:
        model: as for `load_stream`, as are the rest and the errors; or an id of which this package knows the shape.
        reading: how the stream is to read.
    """
    config, input = _describe(find_encoder(model, weights=False), model, reading)
    with torch.device("meta"):
        return build_stream(config, input)


def random_stream(model: str, **reading: Unpack[Reading]) -> Stream:
    """Return a stream of an encoder's shape with random weights, on the CPU: all that measuring what it costs needs.

    No weights and no tokenizer are read: what it reads can be made up (`input.random`), but no text can be encoded.

    Args:
        model: as for `outline_stream`, as are the rest and the errors.
        reading: how the stream is to read.
    """
    config, input = _describe(find_encoder(model, weights=False), model, reading)
    if isinstance(input, TextInput):
        input = _outlined(input, model, config)
    with no_init_weights():  # truncated normals take ten times as long as what follows
        stream = build_stream(config, input)
    with torch.no_grad():
        for name, parameter in stream.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.02)
            else:  # biases, and the weights of norms and scales
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return stream.eval()


def save_stream(stream: Stream, folder: Path) -> None:
    """Write a stream's encoder and input as a folder that `load_stream` and transformers read."""
    with _quiet():
        stream.encoder.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        use_default_permissions(path)
    text = json.dumps(stream.input.to_preprocessor(), indent=2)
    (folder / PREPROCESSOR).write_text(text + "\n", encoding="utf-8")
    if isinstance(stream.input, TextInput):
        stream.input.save_tokenizer(folder)


def _describe(folder: Path, model: str, reading: Reading) -> tuple[Any, Input]:
    """Return the configuration of an encoder, and what its stream reads."""
    with _loading(model):
        check_folder(folder)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        input = _read_input(folder, _family(config)[0].reads, reading)
        if isinstance(input, TextInput) and folder.is_relative_to(SHAPES):
            input = _outlined(input, model, config)
        return config, input


@contextmanager
def _loading(model: str) -> Iterator[None]:
    """Tells of whatever goes wrong with an encoder as a BenchError that names it."""
    try:
        yield
    except UsageError:
        raise
    except BenchError as error:
        raise error if model in str(error) else BenchError(f"the encoder {model}: {error}") from error
    except Exception as error:  # broken files can make transformers fail in any way
        raise BenchError(f"cannot load the encoder {model}: {wording(error)}") from error


def _outlined(input: TextInput, model: str, config: Any) -> OutlinedText:
    """Return an input that knows the token ids from the encoder, and no tokenizer."""
    return OutlinedText(model, input.length, input.lower_case, config.vocab_size, config.pad_token_id)


def _read_input(folder: Path, reads: type[Input], reading: Reading) -> Input:
    given: dict[str, Any] = {name: value for name, value in reading.items() if value is not None}
    if others := [name for name in given if name not in reads.options]:
        takes = ", ".join(reads.options)
        raise BenchError(f"{folder} reads {reads.what}, of which {others[0]} cannot be set, but {takes}")
    extent = given.pop(reads.options[0], None)
    path = folder / PREPROCESSOR
    if issubclass(reads, TextInput):
        values = _read_json(path) if path.is_file() else {}  # checkpoints of text encoders seldom have this file
        return TextInput.from_preprocessor(values, str(folder), extent)
    try:
        input = reads.from_preprocessor(_read_json(path), extent)
    except KeyError as error:
        raise BenchError(f"{PREPROCESSOR} of the encoder {folder} has no {error}") from error
    input = replace(input, **given)
    if isinstance(input, AudioInput) and extent is None:
        return replace(input, frames=min(input.frames, input.heard))
    return input


def _read_json(path: Path) -> Any:
    return read_json(path, MEBIBYTE)


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
