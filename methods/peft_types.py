"""All other methods of PEFT, by their PEFT names."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from bench.errors import BenchError, UsageError, did_you_mean
from bench.methods import peft_refused
from bench.methods.base import Method
from bench.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftConfig

    from bench.streams.base import Stream
    from bench.streams.lockstep import MultiStream

# Settings of PEFT that this package decides (which layers are adapted), or that are for models other than encoders.
_NOT_SETTINGS = frozenset(
    (
        *("target_modules", "exclude_modules", "feedforward_modules", "modules_to_save", "layers_to_transform"),
        *("layers_pattern", "fan_in_fan_out", "megatron_core", "loftq_config", "progressbar", "inference_mode"),
        *("peft_version", "auto_mapping", "base_model_name_or_path", "peft_type", "task_type", "revision"),
    )
)
# Types that need their own training loop or `forward`, which streams do not call, or that cannot unmerge.
_UNSUPPORTED = {
    "adalora": "use the method adalora",
    "adaption_prompt": "it changes the attention of language models",
    "osf": "PEFT cannot restore the weights that it changes",
    "poly": "it needs the task with every batch",
    "shadow": "it needs its own forward",
    "trainable_tokens": "it trains token embeddings",
}
# The setting that determines the number of trained parameters, if it is not `r`.
_SIZE_SETTINGS = {
    "boft": "boft_block_size",
    "c3a": "block_size",
    "fourierft": "n_frequency",
    "oft": "oft_block_size",
    "unilora": "theta_d_length",
    "vblora": "num_vectors",
    "waveft": "n_frequency",
}
_ALPHAS = ("lora_alpha", "alpha", "psoft_alpha")  # scales that PEFT divides by r


@dataclass
class OtherPeft(PeftMethod):
    """Any other PEFT method that adapts encoders, by its PEFT name: peft:vera, peft:ia3, peft:oft, ...

    Its settings are PEFT's, with PEFT's defaults; `bench list peft` names the types. It adapts every linear of every
    block, except IA3, which rescales k, v and the input of fc2 as in its paper, and LN tuning, which trains the norms.
    PEFT documents what each computes and trains: https://huggingface.co/docs/peft. Settings that would not do here what
    their names say are refused, see `peft_refused`.
    """

    type_name: ClassVar[str]
    config_class: ClassVar[type[PeftConfig]]

    @classmethod
    def named(cls, name: str) -> type[Method]:
        """Return the method for a PEFT type; its settings are the fields of PEFT's configuration.

        Raises:
            UsageError: PEFT has no such type, or it does not apply to encoders.
        """
        known = config_classes()
        if reason := _UNSUPPORTED.get(name):
            raise UsageError(f"peft:{name} is not supported: {reason}")
        if name not in known:
            raise UsageError(f"PEFT has no type {name} that adapts encoders: {did_you_mean(name, known)}")
        config = known[name]
        fields = [
            (key, hint, dataclasses.field(default=value)) for key, (hint, value) in _settings(name, config).items()
        ]
        namespace = {"__doc__": f"{config.__name__} of PEFT.", "type_name": name, "config_class": config}
        return dataclasses.make_dataclass(f"peft:{name}", fields, bases=(cls,), namespace=namespace)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _settings(self.type_name, self.config_class)
        values = {key: getattr(self, key) for key in known}
        peft_refused.check(self.type_name, values, {key: default for key, (_, default) in known.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are shown when the method is used
            try:
                self._config({"target_modules": [], "feedforward_modules": []})
            except Exception as error:  # PEFT's checks raise various types
                raise ValueError(str(error)) from error

    @property
    def size_settings(self) -> tuple[str, ...]:
        """PEFT's rank, or the setting of the type that plays its role."""
        setting = _SIZE_SETTINGS.get(self.type_name, "r")
        return (setting,) if isinstance(getattr(self, setting, None), int) else ()

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return a rank, with the integer alpha that keeps alpha / r most nearly."""
        changed = super().with_size(setting, value)
        for name in _ALPHAS:
            if setting == "r" and (alpha := getattr(self, name, None)):
                changed[name] = max(1, round(alpha * value / self.r))  # type: ignore[attr-defined]
        return changed

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every stream.

        Raises:
            BenchError: PEFT refuses: a setting does not match the widths of these streams, or a package is missing.
        """
        try:
            super().attach(model)
        except Exception as error:  # PEFT has no error class: what it does not check fails anywhere
            raise BenchError(f"PEFT's {self.type_name} cannot adapt these streams: {error}") from error

    def config(self, stream: Stream) -> PeftConfig:
        """Return PEFT's configuration, for the modules that this type adapts."""
        return self._config(self._targets(stream))

    def _config(self, targets: Mapping[str, list[str]]) -> PeftConfig:
        fields = {field.name for field in dataclasses.fields(self.config_class)}
        values = {key: getattr(self, key) for key in _settings(self.type_name, self.config_class)}
        values |= {key: value for key, value in {"progressbar": False, **targets}.items() if key in fields}
        return self.config_class(**values)

    def _targets(self, stream: Stream) -> dict[str, list[str]]:
        from torch import nn

        if self.type_name == "ln_tuning":
            norms = [name for name, module in stream.encoder.named_modules() if isinstance(module, nn.LayerNorm)]
            return {"target_modules": norms}
        if self.type_name == "ia3":
            blocks = [stream.linears(block) for block in range(stream.depth)]
            inner = [paths["fc2"] for paths in blocks]
            scaled = [paths[role] for paths in blocks for role in ("k", "v", "qkv") if role in paths]
            return {
                "target_modules": scaled + inner,
                "feedforward_modules": inner,
            }
        return {"target_modules": stream.all_linears()}


def config_classes() -> dict[str, type[PeftConfig]]:
    """Return PEFT's configuration class of each type that adapts selected modules, by the type's name."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    return {
        name: config
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if (name := kind.value.lower()) not in _UNSUPPORTED
        and kind in PEFT_TYPE_TO_TUNER_MAPPING
        and "target_modules" in {field.name for field in dataclasses.fields(config)}
    }


def _settings(kind: str, config: type[PeftConfig]) -> dict[str, tuple[Any, Any]]:
    """Return the type and the default of each field of a configuration that is a setting: a plain value."""
    types = get_type_hints(config)
    return {
        field.name: (peft_refused.hint_of(kind, field.name, types[field.name]), field.default)
        for field in dataclasses.fields(config)
        if field.name not in _NOT_SETTINGS and field.default is not dataclasses.MISSING and _plain(types[field.name])
    }


def _plain(hint: Any) -> bool:
    """Return whether a type consists of numbers, text, booleans or None."""
    if get_origin(hint) in (Union, UnionType):
        return all(_plain(arg) for arg in get_args(hint))
    return hint in (int, float, bool, str, NoneType) or get_origin(hint) is Literal
