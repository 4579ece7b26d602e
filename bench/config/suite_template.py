"""The text of a suite for a user's own data, with a comment on each setting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.config.suite import load_suite, suite_names

EMBEDDED: Mapping[str, str] = {
    "vision": "embedded:vision-v2",
    "audio": "embedded:audio-v1",
    "text": "embedded:text-v2",
}
"""The encoder of each stream that is part of the package."""

_RECIPE_COMMENTS = {
    "epochs": "the epoch with the best validation score counts",
    "batch_size": "samples per step",
    "eval_batch_size": "does not affect scores",
    "lr_adapter": "peak learning rate of the methods' parameters; `bench tune` searches it for each method",
    "lr_head": "peak learning rate of the task's head",
    "beta2": "of AdamW; short runs need less than the common 0.999",
    "warmup": "share of the steps over which learning rates rise",
    "clip": "largest norm of the gradient",
    "precision": "bf16 on GPUs that have it, else float32",
    "head_factor": "`head` alone trains so many times longer, on features that are computed once",
    "views": "number of augmented views that `head` learns from",
    "low_precision_frozen": "frozen weights in the mixed precision's type: half the memory",
}
_EVAL_BATCH = 32


@dataclass(frozen=True)
class SuiteTemplate:
    """What a suite for a user's own data is written from.

    Attributes:
        name: Name of the suite.
        task: Name of the task.
        encoders: The encoder of each stream, in the form of `StreamSource.model`.
        windows: Windows of sound per sample.
    """

    name: str
    task: str
    encoders: Mapping[str, str]
    windows: int = 1

    @property
    def is_small(self) -> bool:
        """Whether all encoders are those of the package, which need other settings than large ones."""
        return all(model.startswith("embedded:") for model in self.encoders.values())

    @property
    def methods(self) -> list[str]:
        """Methods to begin with."""
        joined = len(self.encoders) > 1 and self.task == "own-classification"
        return ["head", "lora", *(["cola"] if joined else ["dora"])]

    def text(self, path: str) -> str:
        """Return the suite as TOML.

        Args:
            path: Path of the data.
        """
        base = load_suite("mini" if self.is_small else "full")
        streams = "\n\n".join(f"[streams.{name}]\nmodel = {_value(model)}" for name, model in self.encoders.items())
        recipe = base.train.to_config() | {"eval_batch_size": _EVAL_BATCH}
        joined = "cola" in self.methods
        methods = {name: table for name, table in base.methods.items() if joined or not name.startswith("cola")}
        tables = "\n\n".join(_table(f"methods.{_key(name)}", table) for name, table in methods.items())
        tasks = [_table(f"tasks.{self.task}", {"streams": list(self.encoders)})]
        if settings := self._settings():
            tasks.append(_table(f"tasks.{self.task}.settings", settings, _SETTING_COMMENTS))
        if joined:
            tasks.append(f"{_COLA_COMMENT}\n" + _table(f'tasks.{self.task}.methods."cola*"', self._cola()))
        return _SUITE.format(
            name=_value(self.name),
            path=_value(path),
            streams=streams,
            recipe=_table("train", recipe, _RECIPE_COMMENTS),
            base=base.name,
            methods=tables,
            tasks="\n\n".join(tasks),
        )

    def _settings(self) -> dict[str, Any]:
        """Return the task's settings that differ from their defaults."""
        settings: dict[str, Any] = {}
        if "text" in self.encoders:
            settings["reads"] = "mean"
        if "audio" in self.encoders:
            settings["windows"] = self.windows
        if self.task == "own-retrieval":
            settings["dimensions"] = 64 if self.is_small else 256
        return settings

    def _cola(self) -> dict[str, Any]:
        return {"summary": "mean"} if "text" in self.encoders else {"inter_scale": 0.1}


def suite_name(stem: str) -> str:
    """Return a name for a suite from that of a file or folder, which differs from those of the built-in suites."""
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-") or "own"
    return f"{name}-data" if name in suite_names() else name


_SETTING_COMMENTS = {
    "reads": "the head reads the mean of each stream's tokens; cls for the class token",
    "windows": "windows of one second per recording, spread evenly; more take longer",
    "dimensions": "of the space in which both streams are compared",
}
_COLA_COMMENT = "# What partners read of each other, and how strongly: as for the built-in tasks with such streams."
_SUITE = """\
# A suite for your own data, written by `bench init-suite`. Every setting can be changed here, or for one command:
# --set train.epochs=3 lora.r=8. What each one means: docs/reference/settings.md, and docs/how-to/own-data.md.
name = {name}
about = "own data"

# A CSV, or a folder of images, relative to this file. A run is done again if a file of it has changed.
[data]
source = "own"
path = {path}

# One encoder per stream: one that is part of the package (embedded:...), a folder, or the id of a model in the cache of
# Hugging Face.
{streams}

# One recipe for all methods, as in the suite {base}.
{recipe}

# Settings of methods, as in the suite {base}.
{methods}

{tasks}
"""


def _table(name: str, values: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return a TOML table, with a comment behind each value that has one."""
    lines = [f"[{name}]"]
    for key, value in values.items():
        comment = (comments or {}).get(key)
        lines.append(f"{key} = {_value(value)}" + (f"  # {comment}" if comment else ""))
    return "\n".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else _value(name)


def _value(value: Any) -> str:
    """Return a number, a truth value, a text or a list of these as TOML, which writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
