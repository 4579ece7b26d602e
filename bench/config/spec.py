"""The specification of a run: everything that its results depend on except code and machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bench.config.recipe import PER_METHOD, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Spec:
    """The specification of one run, in JSON types: everything that its results depend on except code and machine."""

    suite: str
    task: str
    method: str
    seed: int
    settings: dict[str, Any]
    """All settings of the method."""
    task_settings: dict[str, Any]
    """All settings of the task."""
    recipe: dict[str, Any]
    """The fields of the recipe, without those added later that have their default."""
    streams: dict[str, dict[str, Any]]
    """The task's streams by name: the fields of `StreamSource` that are set."""
    data: dict[str, Any]
    """The source of the data; for generated and composed data also its version and seed, for a user's own data also its
    path, which is not part of the run's id: if the files are the same, their place does not matter."""
    deviations: list[str] = field(default_factory=list)
    """Deviations of the suite from the published protocol that it follows: text only, not part of the run's id."""

    @property
    def id(self) -> str:
        """12 hexadecimal digits, a hash of the specification: equal only for equal specifications."""
        measured = {name: value for name, value in asdict(self).items() if name != "deviations"}
        measured["data"] = without_path(self.data)
        canonical = json.dumps(measured, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """The run in a few words, as in "ave lora seed 0"."""
        return f"{self.task} {self.method} seed {self.seed}"

    @property
    def method_settings(self) -> dict[str, Any]:
        """All settings that may differ between methods: its own, and the fields of the recipe in `PER_METHOD`."""
        recipe = Recipe(**self.recipe)
        return {**{name: getattr(recipe, name) for name in PER_METHOD}, **self.settings}


def data_key(data: Mapping[str, Any]) -> str:
    """Return a text that two specifications share if their `data` has the same samples, as far as it says.

    The streams that a control run is fed are left out, and the path, since another place may have the same files.
    """
    return json.dumps({name: value for name, value in without_path(data).items() if name != "streams"}, sort_keys=True)


def without_path(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a specification without its path, which does not affect results."""
    return {name: value for name, value in data.items() if name != "path"}
