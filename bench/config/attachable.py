"""Whether methods can be attached to the streams of runs, found before any run on streams without weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import fields

import torch
from torch import nn

from bench.config.instantiate import method_of, sources_of
from bench.config.spec import Spec
from bench.errors import BenchError, UsageError
from bench.streams.load import outline_stream
from bench.streams.lockstep import AddedTokensError, MultiStream


def outlined(spec: Spec) -> MultiStream:
    """Return the streams of a run without weights, on the meta device.

    Raises:
        UsageError: No run can use one of the encoders.
    """
    try:
        return MultiStream({name: outline_stream(**source) for name, source in sources_of(spec).items()})
    except BenchError as error:
        raise UsageError(str(error)) from error


def misfit(spec: Spec, outline: MultiStream) -> str:
    """Return why the method of a run cannot be attached to its streams; "" if nothing is known against it.

    Args:
        spec: The run.
        outline: Its streams without weights, which are left as they are.
    """
    method = method_of(spec)
    try:
        method.check_model(outline)
        if not all(stream.accepts_added_tokens for stream in outline.streams.values()):
            _check_tokens(spec, outline)
    except AddedTokensError as error:
        advice = f"name another encoder (--set {error.stream}.model=DIR)"
        room = [name for name, stream in outline.streams.items() if stream.accepts_added_tokens]
        if room and "streams" in {field.name for field in fields(method)}:
            advice = f"leave that stream out (--set {spec.method}.streams={','.join(room)}), or {advice}"
        return f"{spec.method} on {spec.task}: {error}: {advice}"
    except BenchError as error:
        return f"{spec.method} on {spec.task}: {error}"
    return ""


def _check_tokens(spec: Spec, outline: MultiStream) -> None:
    """Attach the method of a run to copies of its streams, to see whether it adds tokens to one that accepts none.

    Raises:
        AddedTokensError: It does.
    """
    for model in blanks(outline):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                method_of(spec).attach(model)
            return
        except AddedTokensError:
            raise
        except Exception:  # of any kind: without the weights nothing can be said, and a run tells
            continue


def blanks(outline: MultiStream) -> Iterator[MultiStream]:
    """Yield models to attach to: one without weights, which is fast, then one with, which a few methods need."""
    yield copy.deepcopy(outline)
    model = copy.deepcopy(outline).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.02)
    yield model
