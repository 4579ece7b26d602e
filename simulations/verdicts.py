"""How often the leaderboard's verdicts are false, how often its intervals cover the truth, and what gains it finds.

Tables are simulated in which all methods are equally good, and judged by the leaderboard's own code. The score of a
method for a seed and a sample is the sum of what it has for this seed, for this group of samples, and for both.

    python simulations/verdicts.py --tables 1000

prints its table of docs/explain/verdicts.md, and `--write` writes it there. The tests run a small part of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import grid
import numpy as np
from grid import INTERACTIONS, REST_DEVIATION, SAMPLES, SEED_DEVIATION, covers, p_of, shifted

from bench.report import estimates
from bench.report.estimates import Estimate, Pair
from bench.report.stats import ALPHA, holm

HEADER = ("seeds", "condition", "false gain", "false place", "coverage", "power")


@dataclass(frozen=True)
class Cell:
    """One condition of the simulation.

    Attributes:
        name: What it is called in the table.
        seeds: Number of seeds.
        groups: Number of groups of samples; 0 without scores of samples.
        interaction: Standard deviation, over groups, of what a method has for a group of samples.
        factor: How many times as much the second method differs between seeds.
        methods: Number of methods, the first of which is the reference.
    """

    name: str
    seeds: int
    groups: int = SAMPLES
    interaction: float = 0.0
    factor: float = 1.0
    methods: int = 10


@dataclass(frozen=True)
class Rates:
    """What was found in a cell: shares of tables, of intervals, and of gains.

    Attributes:
        false_gain: Tables in which a method is called better or worse than the reference.
        false_place: Tables in which a method is told from the best.
        coverage: Intervals of gains that contain the true gain.
        power: Gains of two deviations of the difference over seeds that are found, in a table with one such method.
    """

    false_gain: float
    false_place: float
    coverage: float
    power: float


def cells() -> Iterator[Cell]:
    """Yield all conditions."""
    for seeds in (3, 5, 10):
        yield Cell("no scores of samples", seeds, groups=0)
        for (name, interaction), groups in itertools.product(INTERACTIONS.items(), (SAMPLES, SAMPLES // 5)):
            grouped = "" if groups == SAMPLES else f", in {groups} groups"
            yield Cell(f"interaction {name}{grouped}", seeds, groups, interaction)
        yield Cell("one method varies 3 times as much", seeds, interaction=3.0, factor=3.0)


def rates(cell: Cell, tables: int) -> Rates:
    """Return what is found in so many tables of equal methods."""
    rng = np.random.default_rng([cell.seeds, cell.groups, round(cell.interaction), round(cell.factor)])
    results = np.array([_table(cell, rng) for _ in range(tables)])
    return Rates(*results.mean(0).tolist())


def _table(cell: Cell, rng: np.random.Generator) -> tuple[float, ...]:
    """Return whether a simulated table has a false gain, a false place, its share of covered gains, and the power."""
    scores = _scores(cell, rng)

    def mean_difference(a: int, b: int) -> Estimate:
        if cell.groups:
            return estimates.crossed_estimate(scores[a] - scores[b], np.full(cell.groups, SAMPLES // cell.groups))
        return Estimate(tuple((scores[a] - scores[b])[:, 0].tolist()))

    gains = [mean_difference(method, 0) for method in range(1, cell.methods)]
    p_values = [p_of(gain) for gain in gains]
    pairs = []
    for a, b in itertools.combinations(range(cell.methods), 2):
        estimate = mean_difference(a, b)
        pairs.append(Pair(p_of(estimate), a, b) if estimate.mean > 0 else Pair(p_of(estimate), b, a))
    larger = shifted(gains[-1], 2 * SEED_DEVIATION * np.sqrt(2))
    return (
        min(holm(p_values)) < ALPHA,
        len(estimates.best(cell.methods, pairs)) < cell.methods,
        float(np.mean([covers(gain) for gain in gains])),
        holm([*p_values[:-1], p_of(larger)])[-1] < ALPHA,
    )


def _scores(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Return the sums of scores (M, S, G) of groups of samples, or the scores (M, S, 1) without samples."""
    deviation_M11 = np.full((cell.methods, 1, 1), SEED_DEVIATION)
    deviation_M11[1] *= cell.factor
    seeds_MS1 = deviation_M11 * rng.standard_normal((cell.methods, cell.seeds, 1))
    if not cell.groups:
        return seeds_MS1
    size = SAMPLES // cell.groups
    groups_M1G = cell.interaction * rng.standard_normal((cell.methods, 1, cell.groups))
    rest_MSG = REST_DEVIATION / np.sqrt(size) * rng.standard_normal((cell.methods, cell.seeds, cell.groups))
    return size * (seeds_MS1 + groups_M1G + rest_MSG)


def line(cell: Cell, tables: int) -> list[str]:
    """Return the line of a cell in the table, from so many tables."""
    shares = rates(cell, tables)
    texts = [f"{share:.3f}" for share in (shares.false_gain, shares.false_place, shares.coverage)]
    return [str(cell.seeds), cell.name, *texts, f"{shares.power:.2f}"]


if __name__ == "__main__":
    grid.run("verdicts", __doc__, HEADER, list(cells()), line)
