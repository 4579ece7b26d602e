"""Streams from pretrained encoders: with their weights, with random weights, or without any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig
from transformers.initialization import no_init_weights
from transformers.utils import logging

from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, read_json, use_default_permissions
from bench.streams.base import Stream
from bench.streams.checks import CONFIG, check_folder, check_size
from bench.streams.encoder_files import PREPROCESSOR, read_processor
from bench.streams.encoder_names import encoder_name
from bench.streams.families import Tower, family
from bench.streams.inputs import Input, InputSettings, SpectrogramInput, TextInput, TextWithoutTokenizer
from bench.streams.sources import SHAPES, find_encoder

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_NAMES = 10  # of weights in a message


def build_stream(config: Any, input: Input) -> Stream:
    """Return a stream with random weights.

    Args:
        config: A transformers configuration of a supported family.
        input: The form of the stream's input, whose kind chooses the tower of an encoder that has several.

    Raises:
        BenchError: The family is not supported, the configuration and the input do not match, or a dropout is not 0 in
            a family whose checkpoints have none (in BERT, RoBERTa and SwinV2 it is set to 0).
    """
    return _build(family(config.model_type).tower(input.kind), config, input)


def load_stream(model: str, kind: str | None = None, **settings: Unpack[InputSettings]) -> Stream:
    """Return a stream with pretrained weights, in float32 and evaluation mode.

    Args:
        model: `embedded:<name>`, a folder as `save_pretrained` writes it, or the id of a model on the Hugging Face hub
            with a copy in the cache. Weights are read from safetensors only.
        kind: The kind of input ("images", "sounds" or "text"), which chooses the tower of an encoder that has several.
        settings: Settings of the input that override the checkpoint's.

    Raises:
        UsageError: There is no such encoder on this machine; shows how to download it.
        BenchError: Its family is not supported, its files do not match, or its input has no such setting.
    """
    folder = find_encoder(model, kind=kind)
    with _loading(model), _quiet():
        tower, config, input = _describe(folder, model, kind, settings)
        with torch.device("meta"):
            outline = tower.model_class()(config, **tower.options)
        check_size(sum(parameter.numel() for parameter in outline.parameters()), folder)
        encoder, loaded = tower.model_class().from_pretrained(
            folder,
            config=config,
            key_mapping=tower.renamed_weights(outline.state_dict()),
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # transformers' own message does not name them
            **tower.options,
        )
        if mismatched := sorted(loaded["mismatched_keys"], key=str):
            name, saved, expected = mismatched[0]
            raise BenchError(
                f"the weights of the encoder {model} do not fit its {CONFIG}: {name} has shape {tuple(saved)}, not "
                f"{tuple(expected)}" + (f", and {len(mismatched) - 1} more differ" if len(mismatched) > 1 else "")
            )
        if loaded["missing_keys"]:
            lacking = sorted(loaded["missing_keys"])
            suffix = f" and {len(lacking) - _MAX_NAMES} more" if len(lacking) > _MAX_NAMES else ""
            raise BenchError(f"the weights of the encoder {model} lack {', '.join(lacking[:_MAX_NAMES])}{suffix}")
        if broken := [name for name, tensor in encoder.named_parameters() if not tensor.isfinite().all()]:
            raise BenchError(f"weights of the encoder {model} are not finite: {', '.join(broken[:_MAX_NAMES])}")
        if isinstance(input, TextInput):
            _check_vocabulary(input, config, tower.stream_class())
        # Saved adapters name their encoder by this: a name that is valid elsewhere, not the path on this machine.
        name_elsewhere = encoder_name(model)
        encoder.name_or_path, encoder.config._commit_hash = name_elsewhere.name, name_elsewhere.revision
        return tower.stream_class()(encoder, input)


def outline_stream(model: str, kind: str | None = None, **settings: Unpack[InputSettings]) -> Stream:
    """Return a stream without weights, on the meta device, which is enough to count parameters.

    Args:
        model: As for `load_stream`, or an id whose shape is in this package.
        kind: As for `load_stream`.
        settings: Settings of the input that override the checkpoint's.

    Raises:
        UsageError: As for `load_stream`.
        BenchError: As for `load_stream`.
    """
    tower, config, input = _describe(find_encoder(model, weights=False, kind=kind), model, kind, settings)
    with _loading(model), torch.device("meta"):
        return _build(tower, config, input)


def random_stream(model: str, kind: str | None = None, **settings: Unpack[InputSettings]) -> Stream:
    """Return a stream with an encoder's shape and random weights, on the CPU, to measure what it costs.

    Neither weights nor a tokenizer are read. Inputs can be drawn at random (`input.random`), but texts cannot be
    encoded.

    Args:
        model: As for `outline_stream`.
        kind: As for `load_stream`.
        settings: Settings of the input that override the checkpoint's.

    Raises:
        UsageError: As for `load_stream`.
        BenchError: As for `load_stream`.
    """
    tower, config, input = _describe(find_encoder(model, weights=False, kind=kind), model, kind, settings)
    if isinstance(input, TextInput):
        input = _without_tokenizer(input, model, config)
    with _loading(model), no_init_weights():  # drawing truncated normals takes ten times as long as the loop below
        stream = _build(tower, config, input)
    with torch.no_grad():
        for name, parameter in stream.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.02)
            else:  # biases, and the weights of norms and scales
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return stream.eval()


def save_stream(stream: Stream, folder: Path) -> None:
    """Write a stream's encoder and input into a folder that `load_stream` and transformers can read."""
    with _quiet():
        stream.encoder.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        use_default_permissions(path)
    text = json.dumps(stream.input.to_preprocessor(), indent=2)
    (folder / PREPROCESSOR).write_text(text + "\n", encoding="utf-8")
    if isinstance(stream.input, TextInput):
        stream.input.save_tokenizer(folder)


def _build(tower: Tower, config: Any, input: Input) -> Stream:
    return tower.stream_class()(tower.model_class()(config, **tower.options), input)


def _describe(folder: Path, model: str, kind: str | None, settings: InputSettings) -> tuple[Tower, Any, Input]:
    """Return the tower of an encoder, its configuration, and the input of its stream."""
    with _loading(model):
        check_folder(folder)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        tower = family(config.model_type).tower(kind)
        config = tower.narrowed(config)
        input = _read_input(folder, tower.stream_class().input_type, settings)
        if isinstance(input, TextInput) and folder.is_relative_to(SHAPES):
            input = _without_tokenizer(input, model, config)
        return tower, config, input


@contextmanager
def _loading(model: str) -> Iterator[None]:
    """Turn any error while an encoder is loaded into a BenchError that names the encoder."""
    try:
        yield
    except BenchError as error:
        raise error if model in str(error) else type(error)(f"the encoder {model}: {error}") from error
    except Exception as error:  # broken files can make transformers fail in any way
        raise BenchError(f"cannot load the encoder {model}: {wording(error)}") from error


def _without_tokenizer(input: TextInput, model: str, config: Any) -> TextWithoutTokenizer:
    """Return a text input with the token ids of the encoder, and no tokenizer."""
    return TextWithoutTokenizer(model, input.length, input.lower_case, config.vocab_size, config.pad_token_id)


def _read_input(folder: Path, input_type: type[Input], settings: InputSettings) -> Input:
    overrides: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    if unsupported := [name for name in overrides if name not in input_type.options]:
        options = ", ".join(input_type.options)
        raise BenchError(
            f"{folder} reads {input_type.kind}, which have no setting {unsupported[0]}; settings: {options}"
        )
    extent = overrides.pop(input_type.options[0], None)
    path = folder / PREPROCESSOR
    if issubclass(input_type, TextInput):
        values = _read_json(path) if path.is_file() else {}  # which checkpoints of text encoders rarely have
        return TextInput.from_preprocessor(values, str(folder), extent)
    try:
        input = input_type.from_preprocessor(read_processor(folder, input_type.kind), extent)
    except KeyError as error:
        raise BenchError(f"{PREPROCESSOR} of the encoder {folder} has no {error}") from error
    input = replace(input, **overrides)
    if isinstance(input, SpectrogramInput) and extent is None:
        return replace(input, frames=min(input.frames, input.sound_frames))
    return input


def _read_json(path: Path) -> Any:
    return read_json(path, MEBIBYTE)


def _check_vocabulary(input: TextInput, config: Any, stream: type[Stream]) -> None:
    """Raise BenchError if a tokenizer has different token ids than the embeddings of the encoder."""
    ids, padding = input.vocabulary()
    masked = config.pad_token_id if getattr(stream, "masks_padding_id", True) else padding
    if ids > config.vocab_size or padding != masked:
        raise BenchError(
            f"the tokenizer {input.tokenizer} does not match its encoder: it has {ids} token ids and the padding id "
            f"{padding}, the encoder has {config.vocab_size} and {masked}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress progress bars of transformers, which last a moment, and its lists of unused weights."""
    had_progress_bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_progress_bar:
            logging.enable_progress_bar()
