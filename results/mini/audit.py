"""Check that mini is a usable instrument: `.venv/bin/python results/mini/audit.py`.

Print each condition with its figures, from the records in this folder, and whether it holds. A condition without
records is reported as not measured. Exit with 1 unless all conditions hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from reproduce import (
    AUDIO_VISUAL,
    FIVE,
    FIVE_SEED_METHODS,
    FOLDER,
    GROUNDING,
    TASKS,
    TEN,
    TEN_SEED_METHODS,
    planned,
)

from bench.records.schema import Record
from bench.records.store import read_all
from bench.report.stats import mean_interval, paired_test

MAX_SCORE = 95.0  # of the best method, in percent
MAX_SECONDS = dict.fromkeys(AUDIO_VISUAL, 75.0) | dict.fromkeys(GROUNDING, 120.0)  # seconds of a run
CORES = 2
MAX_LATE_GAIN = 1.0  # points that the last tenth of the epochs may add
MAX_LONGER_GAIN = 2.0  # points that twice the epochs may add: about what the suite can resolve
MIN_TAU = 0.8  # Kendall's tau of two sets of seeds

Line = tuple[bool | None, str]
"""Whether a condition holds (None: not measured), and its description with figures."""


class Measured:
    """The records of this folder, looked up by the stages of experiment.toml."""

    def __init__(self) -> None:
        self.records = {record.id: record for record in read_all(FOLDER) if record.status == "ok"}
        check_data([*self.records.values()])

    def runs(self, *stages: str) -> dict[tuple[str, str], dict[int, Record]]:
        """Return the existing records of stages, by (task, label) and then by seed; empty for runs without any."""
        records: dict[tuple[str, str], dict[int, Record]] = {}
        for label, spec in (run for stage in stages for run in planned()[stage]):
            by_seed = records.setdefault((spec.task, label), {})
            if spec.id in self.records:
                by_seed[spec.seed] = self.records[spec.id]
        return records

    def scores(self, *stages: str) -> dict[tuple[str, str], dict[int, float]]:
        """Return the primary test scores of stages, by (task, label) and then by seed."""
        return {
            key: {seed: primary(record) for seed, record in records.items()}
            for key, records in self.runs(*stages).items()
        }


def check_data(records: Sequence[Record]) -> None:
    """Exit if runs of a task used different data or skipped samples: their scores cannot be compared."""
    for task in dict.fromkeys(record.spec.task for record in records):
        data = [record.data for record in records if record.spec.task == task and record.data]
        if len({item.fingerprint for item in data}) > 1 or any(item.skipped for item in data):
            sys.exit(f"the records of {task} have different data, or samples were skipped: they cannot be compared")


def primary(record: Record) -> float:
    """Return a record's primary test score."""
    assert record.scores
    return record.scores.test[record.scores.metric]


def order(measured: Measured) -> Iterator[Line]:
    """Constant answer < head < LoRA by clear intervals; oracles score below LoRA; the best method leaves room."""
    scores, runs = measured.scores("main"), measured.runs("main")
    for task in TASKS:
        head, lora = scores[task, "head"], scores[task, "lora"]
        if len(head) < len(FIVE) or len(lora) < len(FIVE):
            yield None, f"{task}: head and LoRA, five seeds each"
            continue
        floors = next(iter(runs[task, "lora"].values())).scores.floors  # type: ignore[union-attr]
        lowest = min(floors.values())
        low, _ = mean_interval([*head.values()]) or (float("-inf"), 0.0)
        yield low > lowest, f"{task}: constant answer {lowest:.1f} < head {fmean(head.values()):.1f} (from {low:.1f})"
        low, high, _ = paired_test([lora[seed] - head[seed] for seed in FIVE]) or (0.0, 0.0, 1.0)
        yield low > 0, f"{task}: head < LoRA {fmean(lora.values()):.1f} by {low:.1f} to {high:.1f}"
        low, _ = mean_interval([*lora.values()]) or (0.0, 0.0)
        best = max(floors, key=lambda name: floors[name])
        yield low > floors[best], f"{task}: one-modality oracle '{best}' {floors[best]:.1f} < LoRA from {low:.1f}"
        means = {m: fmean(by_seed.values()) for (name, m), by_seed in scores.items() if name == task and by_seed}
        top = max(means, key=lambda name: means[name])
        yield means[top] < MAX_SCORE, f"{task}: the best, {top}, {means[top]:.1f} < {MAX_SCORE:.0f}"


def modalities(measured: Measured) -> Iterator[Line]:
    """A model with a single modality is clearly worse."""
    whole = measured.scores("main")
    for (task, control), single in measured.scores("controls").items():
        both = whole[task, "lora"]
        seeds = sorted(both.keys() & single.keys())
        tested = paired_test([both[seed] - single[seed] for seed in seeds])
        if tested is None or len(seeds) < len(FIVE):
            yield None, f"{task}: LoRA with {control}, five seeds"
            continue
        worse = f"{fmean(single.values()):.1f}, worse by {tested[0]:.1f} to {tested[1]:.1f}"
        yield tested[0] > 0, f"{task}: LoRA with {control} {worse}"


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
    longer, usual = measured.scores("longer"), measured.scores("main")
    for task in dict.fromkeys(task for task, _ in longer):
        methods = [method for name, method in longer if name == task]
        if any(len(scores[task, method]) < len(FIVE) for scores in (longer, usual) for method in methods):
            yield None, f"{task}: {', '.join(methods)} with twice the epochs, five seeds"
            continue
        gains = {m: fmean(longer[task, m][s] - usual[task, m][s] for s in FIVE) for m in methods}
        reversed_pairs = [
            f"{a} and {b}"
            for a, b in combinations(methods, 2)
            if _sign(usual[task, a], usual[task, b], FIVE) * _sign(longer[task, a], longer[task, b], FIVE) < 0
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


def stable(measured: Measured) -> Iterator[Line]:
    """Two disjoint sets of five seeds order the methods alike, with ties where intervals include 0."""
    scores = measured.scores("main", "more-seeds")
    if any(len(scores[task, method]) < len(TEN) for task in TASKS for method in TEN_SEED_METHODS):
        yield None, f"order of {', '.join(TEN_SEED_METHODS)} in two sets of five seeds: ten seeds each"
        return
    signs: list[tuple[int, int]] = []
    for task in TASKS:
        for method_a, method_b in combinations(TEN_SEED_METHODS, 2):
            a, b = scores[task, method_a], scores[task, method_b]
            signs.append((_sign(a, b, TEN[:5]), _sign(a, b, TEN[5:])))
    tau = kendall(signs)
    yield (
        tau >= MIN_TAU,
        f"order of {', '.join(TEN_SEED_METHODS)} in two sets of five seeds: Kendall's tau-b {tau:.2f}",
    )


def _sign(a: Mapping[int, float], b: Mapping[int, float], seeds: Sequence[int]) -> int:
    """Return 1 if method a is better, -1 if b is, 0 if the interval of their paired difference includes 0."""
    low, high, _ = paired_test([a[seed] - b[seed] for seed in seeds]) or (0.0, 0.0, 1.0)
    return (low > 0) - (high < 0)


def kendall(signs: Sequence[tuple[int, int]]) -> float:
    """Return Kendall's tau-b of two orders, from the sign of each pair in both of them; a tie is 0."""
    agreement = sum(a * b for a, b in signs)
    untied = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    return agreement / (untied[0] * untied[1]) ** 0.5 if all(untied) else 0.0


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


def main() -> int:
    """Print every condition and return the exit code."""
    measured, all_hold = Measured(), True
    for part in (order, modalities, settled, stable, times):
        print(part.__doc__.splitlines()[0])  # type: ignore[union-attr]
        for holds, text in part(measured):
            all_hold &= holds is True
            print(f"  {'not measured' if holds is None else 'holds' if holds else 'DOES NOT HOLD':13} {text}")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
