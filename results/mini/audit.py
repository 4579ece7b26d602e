"""Check that mini is a usable instrument: `.venv/bin/python results/mini/audit.py`.

Print each condition with its figures, from the records in this folder, and whether it holds. A condition without
records is reported as not measured. Exit with 1 unless all conditions hold. Differences are judged as the leaderboard
judges them (docs/explain/verdicts.md), each for itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations
from statistics import fmean

from study import AUDIO_VISUAL, EXPERIMENT, FIVE, FIVE_SEED_METHODS, GROUNDING, TASKS, TEN, TEN_SEED_METHODS

from bench.errors import BenchError
from bench.records.schema import Record
from bench.report.finding.audit import Line, audited, difference_over, modalities, order, sign, stable, title
from bench.report.finding.measured import Measured

MAX_SECONDS = dict.fromkeys(AUDIO_VISUAL, 75.0) | dict.fromkeys(GROUNDING, 120.0)  # seconds of a run
CORES = 2
MAX_LATE_GAIN = 1.0  # points that the last tenth of the epochs may add
MAX_LONGER_GAIN = 2.0  # points that twice the epochs may add: about what the suite can resolve
ADAPTERS = tuple(method for method in TEN_SEED_METHODS if method != "head")


def settled(measured: Measured) -> Iterator[Line]:
    """Validation scores have stopped rising at the end of a run; more epochs add little and do not change the order."""
    runs = measured.runs("main")
    for task in TASKS:
        for method in TEN_SEED_METHODS + FIVE_SEED_METHODS:
            records = runs[task, method]
            if len(records) < len(FIVE):
                yield None, f"{task}: {method} in the last tenth of its epochs, five seeds"
                continue
            gain = fmean(_last_tenth(record) for record in records.values())
            yield (
                gain < MAX_LATE_GAIN,
                f"{task}: {method} gains {gain:+.1f} in the last tenth of its epochs (below {MAX_LATE_GAIN:.1f})",
            )
    longer = measured.runs("longer")
    for task in dict.fromkeys(task for task, _ in longer):
        methods = [method for name, method in longer if name == task]
        if any(len(stage[task, method]) < len(FIVE) for stage in (longer, runs) for method in methods):
            yield None, f"{task}: {', '.join(methods)} with twice the epochs, five seeds"
            continue
        gains = {m: difference_over(longer[task, m], runs[task, m], FIVE).mean for m in methods}
        reversed_pairs = [
            f"{a} and {b}"
            for a, b in combinations(methods, 2)
            if sign(difference_over(runs[task, a], runs[task, b], FIVE))
            * sign(difference_over(longer[task, a], longer[task, b], FIVE))
            < 0
        ]
        text = ", ".join(f"{method} {gain:+.1f}" for method, gain in gains.items())
        yield (
            max(gains.values()) < MAX_LONGER_GAIN,
            f"{task}: twice the epochs add {text} (below {MAX_LONGER_GAIN:.1f})",
        )
        yield (
            not reversed_pairs,
            f"{task}: twice the epochs reverse the order of {', '.join(reversed_pairs) or 'none'}",
        )


def _last_tenth(record: Record) -> float:
    """Return by how many points the best validation score rose in the last tenth of the epochs, at least one."""
    assert record.scores
    curve = [epoch.scores[record.scores.metric] for epoch in record.scores.validation]
    return max(curve) - max(curve[: max(1, len(curve) - max(1, round(len(curve) / 10)))])


def times(measured: Measured) -> Iterator[Line]:
    """Runs are short, counted for two cores, whether a run had both or two runs had one each."""
    for task in TASKS:
        seconds = [
            record.times.total * record.environment.threads / CORES
            for (name, _), records in measured.runs("main").items()
            for record in records.values()
            if name == task and record.times and record.environment
        ]
        if not seconds:
            yield None, f"{task}: seconds of a run"
            continue
        text = f"{task}: a run takes {fmean(seconds):.0f} s on {CORES} cores, the longest {max(seconds):.0f}"
        yield max(seconds) <= MAX_SECONDS[task], f"{text} (at most {MAX_SECONDS[task]:.0f})"


def conditions(measured: Measured) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yield all conditions in groups, each with its title."""
    yield title(order), order(measured, TASKS, FIVE, "one-modality oracle")
    yield "A model with a single modality is clearly worse.", modalities(measured, len(FIVE))
    yield title(settled), settled(measured)
    ordered = "Two disjoint sets of five seeds order the adapters alike, with ties where no difference is clear."
    yield ordered, stable(measured.runs("main", "more-seeds"), TASKS, ADAPTERS, TEN)
    yield title(times), times(measured)


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
