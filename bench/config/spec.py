"""The specification of one run: all that its record depends on but the code and the machine."""

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
    """The specification of one run, in plain values: all that its record depends on but the code and the machine."""

    suite: str
    task: str
    method: str
    seed: int
    settings: dict[str, Any]
    """All settings of the method."""
    task_settings: dict[str, Any]
    """All settings of the task."""
    recipe: dict[str, Any]
    """All fields of the recipe."""
    streams: dict[str, dict[str, Any]]
    """The streams that the task joins, by name, and where each one's encoder comes from."""
    data: dict[str, Any]
    """The data's source; the version and the seed of generated data."""
    deviations: list[str] = field(default_factory=list)
    """In what the suite departs from a published protocol that it follows: words, which tell no run from another."""

    @property
    def id(self) -> str:
        """12 hex digits that are the same for equal specifications only."""
        measured = {name: value for name, value in asdict(self).items() if name != "deviations"}
        canonical = json.dumps(measured, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """The run in a few words, as in "ave lora seed 0"."""
        return f"{self.task} {self.method} seed {self.seed}"

    @property
    def method_settings(self) -> dict[str, Any]:
        """What may differ between methods: the settings, and of the recipe what a method may have for itself."""
        recipe = Recipe(**self.recipe)
        return {**{name: getattr(recipe, name) for name in PER_METHOD}, **self.settings}
