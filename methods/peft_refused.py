"""Settings of PEFT that would not do here what their name says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

_DATA = "it starts from {} on training data, which PEFT needs in a separate call; without them, it is plain LoRA"
_REASONS: dict[tuple[str, str], dict[Any, str]] = {
    ("adamss", "use_asa"): {True: "PEFT masks subspaces in its own training loop"},
    ("adamss", "init_weights"): {None: "it is for PEFT's tests: the initial model would differ from the frozen one"},
    ("c3a", "init_weights"): {None: "PEFT has no such initialization"},
    ("hira", "init_weights"): {None: "it is for PEFT's tests: the initial model would differ from the frozen one"},
    ("loha", "use_effective_conv2d"): {True: "it is for convolutions, and only linears are adapted"},
    ("lokr", "use_effective_conv2d"): {True: "it is for convolutions, and only linears are adapted"},
    ("lora", "ensure_weight_tying"): {True: "it is for embeddings of tokens, and only linears are adapted"},
    ("lora", "init_lora_weights"): {
        "corda": _DATA.format("covariances of activations"),
        "eva": _DATA.format("activations"),
        "lora_ga": _DATA.format("gradients"),
        "loftq": "it is for quantized weights",
    },
    ("lora", "use_qalora"): {True: "it is for quantized weights; without them, it is plain LoRA"},
    ("pvera", "sample_at_inference"): {True: "a model's scores would differ each time"},
    ("vblora", "save_only_topk_weights"): {True: "the saved adapter would differ from the trained one"},
}
_INITS = ("init_weights", "init_lora_weights", "init_ia3_weights")
_LORA_INITS = ("gaussian", "mica", "olora", "orthogonal", "pissa")


def hint_of(kind: str, name: str, hint: Any) -> Any:
    """Return the type of a PEFT setting, more precise than PEFT's annotation if that is too loose.

    Args:
        kind: PEFT's type.
        name: Name of the setting.
        hint: PEFT's annotation.
    """
    if name == "bias":
        return Literal["none", "all", f"{kind}_only"]
    if (kind, name) == ("lora", "init_lora_weights"):
        return bool | str  # `check` checks the texts, which are unlimited: pissa_niter_1, ...
    if (kind, name) == ("tinylora", "init_weights"):
        return bool | Literal["uniform"]
    return hint


def check(kind: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check that settings of a PEFT type will do here what their names say.

    Args:
        kind: PEFT's type.
        values: Values of its settings, by name.
        defaults: PEFT's defaults.

    Raises:
        ValueError: A setting will not; names it and the reason.
    """
    for name, value in values.items():
        reason = _REASONS.get((kind, name), {}).get(value)
        if name in _INITS and value is False and defaults[name] is not False:
            reason = "it is for PEFT's tests: the initial model would differ from the frozen one"
        if (kind, name) == ("pvera", "generator_seed") and value is not None:
            reason = "the run's seed determines the draws; another generator's state would not be in checkpoints"
        if reason:
            raise ValueError(f"{name}={_written(value)} is not supported: {reason}")
        if (kind, name) == ("lora", "init_lora_weights") and not _is_lora_init(value):
            known = ", ".join(_LORA_INITS)
            raise ValueError(f"{name} must be true or one of {known} or pissa_niter_<number>, not {_written(value)}")


def _is_lora_init(value: bool | str) -> bool:
    return value is True or value in _LORA_INITS or bool(re.fullmatch("pissa_niter_[0-9]{1,3}", str(value)))


def _written(value: Any) -> str:
    """Return a value as it is written on a command line."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
