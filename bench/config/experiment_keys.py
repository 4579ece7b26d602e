"""The keys of an experiment file, level by level, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.config.suite import DEFAULT_SUITE

DEFAULT_SEEDS = (0,)
DEFAULT_TRIALS = 10


@dataclass(frozen=True)
class Choices:
    """The keys that a file, its stages and its variations have in common."""

    tasks: tuple[str, ...] = ()
    """Names of tasks. Those of a stage replace those of the file; a variation runs on its own tasks only."""
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    """Seeds. Those of a stage replace those of the file; a variation runs with its own seeds only."""
    worlds: tuple[int, ...] = ()
    """Worlds of generated or composed data, as for `--worlds`: values of `data.seed`; none for the suite's. Those of a
    stage replace those of the file; a variation runs in its own worlds only."""
    set: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Changed settings, as for `--set`: `set.cola.r = 8`, `set.ave.epochs = 12`. All levels are merged."""
    settings: str | None = None
    """Tuned settings, as for `--settings`: a .toml file, or a name such as `mini`; none for the suite's own."""
    budget: str | int | None = None
    """Trainable adapter parameters of each method, as for `--budget`: `2%`, `400k`, or a method; none to leave the
    sizes unchanged."""
    streams: tuple[str, ...] = ()
    """For control runs, as for `--streams`: the streams that get their inputs; an empty list for all."""


@dataclass(frozen=True)
class VariationTable(Choices):
    """`[variations.LABEL]`, or `[stages.variations.LABEL]` for a variation of one stage only."""

    method: str = field(kw_only=True)
    """Name of the method."""


@dataclass(frozen=True)
class StageTable(Choices):
    """`[[stages]]`: a part of the runs. Stages are done one after another, so the most valuable comes first."""

    name: str = field(kw_only=True)
    """Name of the stage, for `--stage`."""
    methods: tuple[str, ...] = ()
    """Names of methods, and labels of the file's variations. Without methods and variations of its own, a stage does
    those of the file."""
    variations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variations of this stage, by label."""


@dataclass(frozen=True)
class SearchTable:
    """`[[searches]]`: a search for settings that stages use. `bench tune FILE.toml` does it."""

    settings: str = field(kw_only=True)
    """The .toml file that is written, beside this one; stages name it in `settings`."""
    methods: tuple[str, ...] = ()
    """Names of methods, not of variations."""
    tasks: tuple[str, ...] = ()
    """Names of tasks; without any, those of the file."""
    seeds: tuple[int, ...] = ()
    """Seeds of each trial. They should not be those of the runs that are compared."""
    trials: int = DEFAULT_TRIALS
    """Trials of each method on each task, as for `--trials`."""
    epochs: int | None = None
    """Epochs of each trial, as for `--epochs`; none for the suite's."""
    budget: str | int | None = None
    """As for stages; without one, that of the file."""
    set: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Changed settings, merged with those of the file."""

    def __post_init__(self) -> None:
        if not self.settings.endswith(".toml"):
            raise ValueError(f"settings must name a .toml file, not {self.settings}")
        for name in ("trials", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class ExperimentTable(Choices):
    """The top of the file."""

    suite: str = DEFAULT_SUITE
    """Name of a suite, or a .toml file."""
    methods: tuple[str, ...] = ()
    """Names of methods, done by each stage that names none."""
    variations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variations by label, done by each stage that names no methods; other stages name them in `methods`."""
    stages: tuple[dict[str, Any], ...] = ()
    """The stages; without any, the file is a single one."""
    searches: tuple[dict[str, Any], ...] = ()
    """The searches for the files that `settings` names."""
