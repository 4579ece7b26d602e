"""Check that natural is a usable instrument: `.venv/bin/python results/natural/audit.py`.

Print each condition with its figures, from the records in this folder, and whether it holds. A condition without
records is reported as not measured. Exit with 1 unless all conditions hold.

The answer that knows the category of the thing that is meant is no condition: it takes the picture and the text, as a
method does. It is told with the figures in finding.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from study import EXPERIMENT, SEEDS, TASKS

from bench.datasets.scenes.floors import GUESSES_ALIKE
from bench.errors import BenchError
from bench.report.estimates import FEWEST_SEEDS
from bench.report.finding.audit import Line, audited, modalities, order, title
from bench.report.finding.measured import Measured


def conditions(measured: Measured) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yield all conditions in groups, each with its title."""
    yield title(order), order(measured, TASKS, SEEDS, "one-modality oracle", [GUESSES_ALIKE])
    yield "A model with a single modality is clearly worse.", modalities(measured, FEWEST_SEEDS)


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
