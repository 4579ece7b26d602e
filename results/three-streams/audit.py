"""Check that these tasks are a usable instrument: `.venv/bin/python results/three-streams/audit.py`.

Print each condition with its figures, from the records in this folder, and whether it holds. A condition without
records is reported as not measured. Exit with 1 unless all conditions hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from comparisons import FEWER
from study import EXPERIMENT, TASKS

from bench.config.suite import read_toml
from bench.errors import BenchError
from bench.report.estimates import FEWEST_SEEDS
from bench.report.finding.audit import Line, audited, modalities, order, title
from bench.report.finding.measured import Measured


def conditions(measured: Measured) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yield all conditions in groups, each with its title."""
    seeds = read_toml(EXPERIMENT)["seeds"]
    yield title(order), order(measured, TASKS, seeds, "oracle without a modality")
    yield title(modalities), modalities(measured, FEWEST_SEEDS, FEWER)


def main() -> int:
    """Print every condition and return the exit code."""
    try:
        text, all_hold = audited(conditions(Measured.of_experiment(EXPERIMENT)))
    except BenchError as error:
        sys.exit(str(error))
    print(text)
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
