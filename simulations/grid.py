"""What the simulations have in common: a table with a line for each cell, printed or written into a page."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.files import write_text
from bench.report.estimates import Estimate, WorldsEstimate
from bench.text.markdown import between_marks

PAGE = Path(__file__).parents[1] / "docs" / "explain" / "verdicts.md"
SEED_DEVIATION = 0.85  # of a method; so two methods' differences have 1.2, as on `mini`
REST_DEVIATION = 7.0  # of single samples
SAMPLES = 300
INTERACTIONS = {"none": 0.0, "as on mini": 3.0, "strong": 30.0}
"""Standard deviations, over groups of samples, of what a method has for a group."""

INTERVALS = 3
"""Number of intervals whose coverage is counted in each table, where tables are many: they take the most time."""

T = TypeVar("T")


def table(header: Sequence[str], line: Callable[[T], Sequence[str]], cells: Sequence[T], jobs: int) -> str:
    """Return a Markdown table with the lines of all cells, computed by so many processes."""
    with ProcessPoolExecutor(jobs) as pool:
        lines = [header, ["---"] * len(header), *pool.map(line, cells)]
    return "\n".join(f"| {' | '.join(cells_of_line)} |" for cells_of_line in lines)


def write(text: str, name: str, page: Path = PAGE) -> None:
    """Write the table of a simulation between its marks on a page."""
    write_text(page, between_marks(page, f"simulations/{name}.py", text))


def written(name: str, page: Path = PAGE) -> list[list[str]]:
    """Return the lines of the table of a simulation on a page, without its header."""
    text = page.read_text(encoding="utf-8").partition(f"<!-- written by simulations/{name}.py -->")[2]
    lines = [line for line in text.partition("<!-- end -->")[0].splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def run(
    name: str,
    about: str,
    header: Sequence[str],
    cells: Sequence[T],
    line: Callable[[T, int], Sequence[str]],
    page: Path = PAGE,
) -> None:
    """Print the table of all cells, or write it to the page, as the command line says.

    Args:
        name: Name of the simulation's file, without its suffix.
        about: What it simulates.
        header: The columns of its table.
        cells: The conditions.
        line: Returns the line of a condition, from so many simulated tables.
        page: The page.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=1000, help="simulated tables of each cell; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="processes; default: %(default)s")
    parser.add_argument("--write", action="store_true", help=f"write the table to {page.name}")
    args = parser.parse_args()
    text = table(header, partial(line, tables=args.tables), cells, args.jobs)
    if args.write:
        write(text, name, page)
    else:
        print(text)


def p_of(estimate: Estimate | WorldsEstimate) -> float:
    """Return the p-value of an estimate from enough seeds."""
    p = estimate.p_value()
    assert p is not None
    return p


def covered(measured: Iterable[Estimate | WorldsEstimate]) -> float:
    """Return the share of the first `INTERVALS` estimates whose interval contains 0."""
    shares = [covers(estimate) for estimate in itertools.islice(measured, INTERVALS)]
    return sum(shares) / len(shares)


def covers(estimate: Estimate | WorldsEstimate) -> bool:
    """Return whether the interval of an estimate contains 0."""
    low, high = estimate.interval() or (0.0, 0.0)
    return low <= 0 <= high


def shifted(estimate: Estimate, gain: float) -> Estimate:
    """Return the estimate of a difference that is larger by a gain."""
    by_seed = tuple(score + gain for score in estimate.by_seed)
    return Estimate(by_seed, estimate.sample_variance, estimate.sample_freedom, estimate.with_samples)
