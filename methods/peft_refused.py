"""Settings of PEFT's that would be another thing here than their name says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

_DATA = "it starts from {} on training data, which PEFT takes in a call of its own; without it, it would be plain LoRA"
_REASONS: dict[tuple[str, str], dict[Any, str]] = {
    ("adamss", "use_asa"): {True: "PEFT masks subspaces from a training loop of its own"},
    ("adamss", "init_weights"): {None: "PEFT has it for its tests: the model would not begin as the frozen one"},
    ("c3a", "init_weights"): {None: "PEFT knows no such initialisation"},
    ("hira", "init_weights"): {None: "PEFT has it for its tests: the model would not begin as the frozen one"},
    ("loha", "use_effective_conv2d"): {True: "it is for convolutions, and only linears are adapted"},
    ("lokr", "use_effective_conv2d"): {True: "it is for convolutions, and only linears are adapted"},
    ("lora", "ensure_weight_tying"): {True: "it is for embeddings of tokens, and only linears are adapted"},
    ("lora", "init_lora_weights"): {
        "corda": _DATA.format("covariances of activations"),
        "eva": _DATA.format("activations"),
        "lora_ga": _DATA.format("gradients"),
        "loftq": "it is for quantised weights",
    },
    ("lora", "use_qalora"): {True: "it is for quantised weights; without them it would be plain LoRA"},
    ("pvera", "sample_at_inference"): {True: "a model's scores would be other ones each time"},
    ("vblora", "save_only_topk_weights"): {True: "what is saved would not be quite what was trained"},
}
_INITS = ("init_weights", "init_lora_weights", "init_ia3_weights")
_LORA_INITS = ("gaussian", "mica", "olora", "orthogonal", "pissa")


def hint_of(kind: str, name: str, hint: Any) -> Any:
    """Return the type of a setting of PEFT's: of texts that PEFT annotates too loosely, or as a placeholder, its own.

    Args:
        kind: PEFT's type.
        name: of the setting.
        hint: PEFT's annotation.
    """
    if name == "bias":
        return Literal["none", "all", f"{kind}_only"]
    if (kind, name) == ("lora", "init_lora_weights"):
        return bool | str  # `check` knows the texts, of which there is no end: pissa_niter_1, pissa_niter_2, ...
    if (kind, name) == ("tinylora", "init_weights"):
        return bool | Literal["uniform"]
    return hint


def check(kind: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check that settings of one of PEFT's types are what they are called.

    Raises:
        ValueError: one is not; names it, and says why.
    """
    for name, value in values.items():
        reason = _REASONS.get((kind, name), {}).get(value)
        if name in _INITS and value is False and defaults[name] is not False:
            reason = "PEFT has it for its tests: the model would not begin as the frozen one"
        if (kind, name) == ("pvera", "generator_seed") and value is not None:
            reason = "the run's seed is what fixes the draws; a generator of its own would not be in a checkpoint"
        if reason:
            raise ValueError(f"{name}={_written(value)} is not supported: {reason}")
        if (kind, name) == ("lora", "init_lora_weights") and not _is_lora_init(value):
            known = ", ".join(_LORA_INITS)
            raise ValueError(f"{name} must be true or one of {known} or pissa_niter_<number>, not {_written(value)}")


def _is_lora_init(value: bool | str) -> bool:
    return value is True or value in _LORA_INITS or bool(re.fullmatch("pissa_niter_[0-9]{1,3}", str(value)))


def _written(value: Any) -> str:
    """Return a value as a command line has it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
