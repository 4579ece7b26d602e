"""How often verdicts over worlds are false, and how often intervals over worlds cover the truth.

As in verdicts.py all methods are equally good over all worlds, and each world has samples of its own, which favour one
method or another as on `mini`. In a world, a method is better or worse by chance by as much as the condition says. A
seed changes its score, in each world by another amount or in all worlds by the same.

    python simulations/over_worlds.py --tables 1000

prints its table of docs/explain/verdicts.md, and `--write` writes it there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import grid
import numpy as np
from grid import INTERACTIONS, REST_DEVIATION, SAMPLES, SEED_DEVIATION, covered, p_of, shifted

from bench.report import estimates
from bench.report.stats import ALPHA, holm

HEADER = ("worlds", "seeds", "condition", "false gain", "coverage", "power", "coverage of these worlds' interval")
FACTORS = {"alike": 0.0, "as different as seeds": 1.0, "3 times as different": 3.0}
"""Standard deviations between worlds of a method, in those between its seeds."""


@dataclass(frozen=True)
class Cell:
    """One condition of the simulation.

    Attributes:
        name: What it is called in the table.
        worlds: Number of worlds.
        seeds: Number of seeds.
        factor: How many times as much a method differs between worlds as between seeds.
        shared: Whether a seed has the same effect in all worlds.
        methods: Number of methods, the first of which is the reference.
    """

    name: str
    worlds: int
    seeds: int
    factor: float
    shared: bool
    methods: int = 10


@dataclass(frozen=True)
class Rates:
    """What was found in a cell: shares of tables, of intervals, and of gains.

    Attributes:
        false_gain: Tables in which a method is called better or worse than the reference.
        coverage: Intervals of gains that contain the true gain.
        power: Gains of two deviations of the difference over seeds that are found, in a table with one such method.
        fixed_coverage: Intervals, over seeds and samples of these worlds only, that contain the gain over all worlds.
    """

    false_gain: float
    coverage: float
    power: float
    fixed_coverage: float


def cells() -> Iterator[Cell]:
    """Yield all conditions."""
    for worlds, seeds, (name, factor), shared in itertools.product((3, 5), (3, 5), FACTORS.items(), (False, True)):
        yield Cell(f"worlds {name}{', seeds alike in all' * shared}", worlds, seeds, factor, shared)


def rates(cell: Cell, tables: int) -> Rates:
    """Return what is found in so many tables of equal methods."""
    rng = np.random.default_rng([cell.worlds, cell.seeds, round(cell.factor), cell.shared])
    return Rates(*np.array([_table(cell, rng) for _ in range(tables)]).mean(0).tolist())


def _table(cell: Cell, rng: np.random.Generator) -> tuple[float, ...]:
    """Return whether a simulated table has a false gain, its shares of covered gains, and the power."""
    scores = _scores(cell, rng)
    by_world = [
        [estimates.crossed_estimate(of_world, np.ones(SAMPLES)) for of_world in scores[method] - scores[0]]
        for method in range(1, cell.methods)
    ]
    gains = [estimates.over_worlds(item) for item in by_world]
    p_values = [p_of(gain) for gain in gains]
    larger = estimates.over_worlds([shifted(item, 2 * SEED_DEVIATION * np.sqrt(2)) for item in by_world[-1]])
    return (
        min(holm(p_values)) < ALPHA,
        covered(gains),
        holm([*p_values[:-1], p_of(larger)])[-1] < ALPHA,
        covered(gain.fixed for gain in gains),
    )


def _scores(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Return scores (M, W, S, N) of methods by world, seed and sample of the world."""
    shape = cell.methods, cell.worlds, cell.seeds, SAMPLES
    worlds_MW11 = cell.factor * SEED_DEVIATION * rng.standard_normal((*shape[:2], 1, 1))
    seeds_MWS1 = SEED_DEVIATION * rng.standard_normal((cell.methods, 1 if cell.shared else cell.worlds, cell.seeds, 1))
    samples_MW1N = INTERACTIONS["as on mini"] * rng.standard_normal((*shape[:2], 1, SAMPLES))
    return worlds_MW11 + seeds_MWS1 + samples_MW1N + REST_DEVIATION * rng.standard_normal(shape)


def line(cell: Cell, tables: int) -> list[str]:
    """Return the line of a cell in the table, from so many tables."""
    shares = rates(cell, tables)
    texts = [
        f"{shares.false_gain:.3f}",
        f"{shares.coverage:.3f}",
        f"{shares.power:.2f}",
        f"{shares.fixed_coverage:.3f}",
    ]
    return [str(cell.worlds), str(cell.seeds), cell.name, *texts]


if __name__ == "__main__":
    grid.run("over_worlds", __doc__, HEADER, list(cells()), line)
