"""The specification of a run: everything that its results depend on except code and machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bench.config.recipe import PER_METHOD, Recipe

if TYPE_CHECKING:
    pass


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
    """The source of the data; for generated data also its version and seed."""
    deviations: list[str] = field(default_factory=list)
    """Deviations of the suite from the published protocol that it follows: text only, not part of the run's id."""

    @property
    def id(self) -> str:
        """12 hexadecimal digits, a hash of the specification: equal only for equal specifications."""
        measured = {name: value for name, value in asdict(self).items() if name != "deviations"}
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
