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
from bench.methods.targets import Ranks, Targeted, check_ranks, rank_patterns, reference_rank, with_largest

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
# Types that need their own training loop or `forward`, which streams do not call, that cannot unmerge, or whose scores
# would depend on the size of the batches.
_UNSUPPORTED = {
    "adalora": "use the method adalora",
    "adaption_prompt": "it changes the attention of language models",
    "lily": "its router averages over the samples of a batch, so a sample's score would depend on the others",
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
_STARTS_CHANGED = frozenset(("c3a", "fourierft", "unilora", "vblora"))  # PEFT draws at random what they add
_ALPHAS = ("lora_alpha", "alpha", "psoft_alpha")  # scales that PEFT divides by r


@dataclass
class OtherPeft(Targeted):
    """Any other PEFT method that adapts encoders, by its PEFT name: peft:vera, peft:ia3, peft:oft, ...

    Its settings are PEFT's, with PEFT's defaults; `bench list peft` names the types. It adapts every linear of every
    block, except IA3, which rescales k, v and the input of fc2 as in its paper, and LN tuning, which trains the norms.
    `Targeted` describes the choice of streams, linears and blocks. Where PEFT has a `rank_pattern`, r may be a table of
    ranks (`bench.methods.targets.Ranks`); the type's scale is then the same for all linears.
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
        namespace = {
            "__doc__": f"{config.__name__} of PEFT.",
            "type_name": name,
            "config_class": config,
            "starts_as_frozen": name not in _STARTS_CHANGED,
        }
        return dataclasses.make_dataclass(f"peft:{name}", fields, bases=(cls,), namespace=namespace)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _settings(self.type_name, self.config_class)
        values = {**{key: getattr(self, key) for key in known}, **self._reference()}
        if isinstance(self.rank_table, dict):
            check_ranks(self.rank_table, "r")
        if self.type_name == "ln_tuning" and (self.linears, self.blocks) != ("all", "all"):
            raise ValueError("linears and blocks cannot be set: ln_tuning trains the norms")
        peft_refused.check(self.type_name, values, {key: default for key, (_, default) in known.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are shown when the method is used
            try:
                self._config({"target_modules": [], "feedforward_modules": []}, {})
            except Exception as error:  # PEFT's checks raise various types
                raise ValueError(str(error)) from error

    @property
    def size_settings(self) -> tuple[str, ...]:
        """PEFT's rank, or the setting of the type that plays its role."""
        setting = _SIZE_SETTINGS.get(self.type_name, "r")
        return (setting,) if isinstance(getattr(self, setting, None), int | dict) else ()

    @property
    def rank_table(self) -> Ranks:
        """The table of ranks, if r is one."""
        r = getattr(self, "r", 1)
        return r if isinstance(r, dict) else 1

    def with_size(self, setting: str, value: int) -> dict[str, Any]:
        """Return a rank, with the integer alpha that keeps alpha / r most nearly.

        A table keeps its proportions: `value` is its largest rank.
        """
        if setting != "r":
            return super().with_size(setting, value)
        ranks: Ranks = self.r  # type: ignore[attr-defined]
        resized = with_largest(ranks, value)
        changed: dict[str, Any] = {"r": resized}
        for name in _ALPHAS:
            if alpha := getattr(self, name, None):
                changed[name] = max(1, round(alpha * reference_rank(resized) / reference_rank(ranks)))
        return changed

    def attach(self, model: MultiStream) -> None:
        """Put PEFT's layers into the encoder of every adapted stream.

        Raises:
            BenchError: Settings name what the streams do not have, or PEFT refuses: a setting does not match the widths
                of these streams, or a package is missing.
        """
        try:
            super().attach(model)
        except BenchError:
            raise
        except Exception as error:  # PEFT has no error class: what it does not check fails anywhere
            raise BenchError(f"PEFT's {self.type_name} cannot adapt these streams: {error}") from error

    def config(self, stream: Stream) -> PeftConfig:
        """Return PEFT's configuration, for the modules that this type adapts."""
        from torch import nn

        targets = self.targets(stream)
        if self.type_name == "ln_tuning":
            norms = [name for name, module in stream.encoder.named_modules() if isinstance(module, nn.LayerNorm)]
            return self._config({"target_modules": norms}, targets)
        inner = [path for block in range(stream.depth) if (path := stream.linears(block).get("fc2")) in targets]
        return self._config({"target_modules": list(targets), "feedforward_modules": inner}, targets)

    def _config(self, modules: Mapping[str, list[str]], targets: Mapping[str, int]) -> PeftConfig:
        fields = {field.name for field in dataclasses.fields(self.config_class)}
        values = {key: getattr(self, key) for key in _settings(self.type_name, self.config_class)}
        values |= self._reference()
        added = {"progressbar": False, **modules, **self._patterns(targets)}
        return self.config_class(**values, **{key: value for key, value in added.items() if key in fields})

    def _reference(self) -> dict[str, int]:
        """Return PEFT's r in place of a table of ranks."""
        return {"r": reference_rank(self.rank_table)} if isinstance(self.rank_table, dict) else {}

    def _patterns(self, targets: Mapping[str, int]) -> dict[str, Any]:
        if not isinstance(self.rank_table, dict):
            return {}
        alpha = next((value for name in _ALPHAS if (value := getattr(self, name, None))), 1)
        power = 0.5 if getattr(self, "use_rslora", False) else 1.0
        return rank_patterns(targets, reference_rank(self.rank_table), alpha, power)

    def _targets(self, name: str, stream: Stream) -> dict[str, int]:
        targets = super()._targets(name, stream)
        if self.type_name != "ia3":
            return targets
        roles = ("k", "v", "qkv", "fc2")
        paths = {stream.linears(block).get(role) for block in range(stream.depth) for role in roles}
        return {path: rank for path, rank in targets.items() if path in paths}


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
        field.name: (
            Ranks
            if field.name == "r" and _has_ranks(config)
            else peft_refused.hint_of(kind, field.name, types[field.name]),
            field.default,
        )
        for field in dataclasses.fields(config)
        if field.name not in _NOT_SETTINGS and field.default is not dataclasses.MISSING and _plain(types[field.name])
    }


def _has_ranks(config: type[PeftConfig]) -> bool:
    """Return whether PEFT's configuration of a type has a rank for each linear."""
    return {"r", "rank_pattern"} <= {field.name for field in dataclasses.fields(config)}


def _plain(hint: Any) -> bool:
    """Return whether a type consists of numbers, text, booleans or None."""
    if get_origin(hint) in (Union, UnionType):
        return all(_plain(arg) for arg in get_args(hint))
    return hint in (int, float, bool, str, NoneType) or get_origin(hint) is Literal
