"""How often verdicts on means over tasks are false, and how often their intervals cover the truth.

As in verdicts.py all methods are equally good on every task. Families of tasks weigh alike. A family of three tasks has
samples of its own on each, or the same on all three, as the grounding tasks have some pictures in common; what a method
has for a sample is then the same on all three too. A seed changes the score of a method on each task by itself.

    python simulations/task_means.py --tables 1000

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
from bench.report.estimates import Estimate
from bench.report.families import families, mean_estimate
from bench.report.stats import ALPHA, holm

HEADER = ("seeds", "condition", "false gain", "coverage of gains", "coverage of means", "power")
SINGLE = ("ave", "avs", "refcoco")
GROUNDING = ("ave", "avs", "refcoco", "refcoco_plus", "refcocog")


@dataclass(frozen=True)
class Cell:
    """One condition of the simulation.

    Attributes:
        name: What it is called in the table.
        seeds: Number of seeds.
        tasks: The tasks.
        shared: Whether tasks of one family have the same samples.
        interaction: Standard deviation, over samples, of what a method has for a sample.
        methods: Number of methods, the first of which is the reference.
    """

    name: str
    seeds: int
    tasks: tuple[str, ...]
    shared: bool
    interaction: float
    methods: int = 10


@dataclass(frozen=True)
class Rates:
    """What was found in a cell: shares of tables, of intervals, and of gains.

    Attributes:
        false_gain: Tables in which a method is called better or worse than the reference in the mean over tasks.
        gains: Intervals of mean gains that contain the true gain.
        means: Intervals of mean scores that contain the true score.
        power: Gains of two deviations, over seeds, of the difference on one task that are found in the mean.
    """

    false_gain: float
    gains: float
    means: float
    power: float


def cells() -> Iterator[Cell]:
    """Yield all conditions."""
    conditions = (
        ("three families of one task", SINGLE, False),
        ("a family of three tasks", GROUNDING, False),
        ("a family of three tasks with the same samples", GROUNDING, True),
    )
    for seeds, (name, tasks, shared), strength in itertools.product((3, 5, 10), conditions, ("as on mini", "strong")):
        yield Cell(f"{name}, interaction {strength}", seeds, tasks, shared, INTERACTIONS[strength])


def rates(cell: Cell, tables: int) -> Rates:
    """Return what is found in so many tables of equal methods."""
    rng = np.random.default_rng([cell.seeds, len(cell.tasks), cell.shared, round(cell.interaction)])
    return Rates(*np.array([_table(cell, rng) for _ in range(tables)]).mean(0).tolist())


def _table(cell: Cell, rng: np.random.Generator) -> tuple[float, ...]:
    """Return whether a simulated table has a false gain, its shares of covered gains and means, and the power."""
    scores = _scores(cell, rng)

    def mean(of_tasks: np.ndarray, gain: float = 0.0) -> Estimate:
        by_task = [estimates.crossed_estimate(item, np.ones(SAMPLES)) for item in of_tasks]
        return mean_estimate({task: shifted(item, gain) for task, item in zip(cell.tasks, by_task, strict=True)})

    gains = [mean(scores[method] - scores[0]) for method in range(1, cell.methods)]
    p_values = [p_of(gain) for gain in gains]
    larger = mean(scores[-1] - scores[0], 2 * SEED_DEVIATION * np.sqrt(2))
    return (
        min(holm(p_values)) < ALPHA,
        covered(gains),
        covered(mean(scores_KSN) for scores_KSN in scores),
        holm([*p_values[:-1], p_of(larger)])[-1] < ALPHA,
    )


def _scores(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Return scores (M, K, S, N) of methods by task, seed and sample."""
    shape = cell.methods, len(cell.tasks), cell.seeds, SAMPLES
    seeds_MKS1 = SEED_DEVIATION * rng.standard_normal((*shape[:3], 1))
    samples_MK1N = cell.interaction * rng.standard_normal((*shape[:2], 1, SAMPLES))
    for members in families(cell.tasks).values() if cell.shared else ():
        samples_MK1N[:, members] = samples_MK1N[:, members[:1]]
    return seeds_MKS1 + samples_MK1N + REST_DEVIATION * rng.standard_normal(shape)


def line(cell: Cell, tables: int) -> list[str]:
    """Return the line of a cell in the table, from so many tables."""
    shares = rates(cell, tables)
    texts = [f"{share:.3f}" for share in (shares.false_gain, shares.gains, shares.means)]
    return [str(cell.seeds), cell.name, *texts, f"{shares.power:.2f}"]


if __name__ == "__main__":
    grid.run("task_means", __doc__, HEADER, list(cells()), line)
