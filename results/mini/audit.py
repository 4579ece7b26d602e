"""Check that mini is a usable instrument: `.venv/bin/python results/mini/audit.py`.

Print each condition with its figures, from the records in this folder, and whether it holds. A condition without
records is reported as not measured. Exit with 1 unless all conditions hold. Differences are judged as the leaderboard
judges them (docs/explain/verdicts.md), each for itself.
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

from bench.records.schema import DataInfo, Record
from bench.records.store import read_all
from bench.report.estimates import Estimate
from bench.report.standings import mean_difference, mean_score
from bench.report.stats import ALPHA

MAX_SCORE = 95.0  # of the best method, in percent
MAX_SECONDS = dict.fromkeys(AUDIO_VISUAL, 75.0) | dict.fromkeys(GROUNDING, 120.0)  # seconds of a run
CORES = 2
MAX_LATE_GAIN = 1.0  # points that the last tenth of the epochs may add
MAX_LONGER_GAIN = 2.0  # points that twice the epochs may add: about what the suite can resolve
ADAPTERS = tuple(method for method in TEN_SEED_METHODS if method != "head")
MIN_TAU = 0.7  # Kendall's tau-b of two sets of seeds, over adapters: that all are above `head` would prove nothing

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
    """Exit if runs of a task in one world used different data or skipped samples: their scores cannot be compared."""
    by_world: dict[tuple[str, int], list[DataInfo]] = {}
    for record in records:
        if record.data:
            by_world.setdefault((record.spec.task, record.spec.data["seed"]), []).append(record.data)
    for (task, _), data in by_world.items():
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
        head, lora = runs[task, "head"], runs[task, "lora"]
        if len(head) < len(FIVE) or len(lora) < len(FIVE):
            yield None, f"{task}: head and LoRA, five seeds each"
            continue
        floors = next(iter(lora.values())).scores.floors  # type: ignore[union-attr]
        lowest, of_head, of_lora = min(floors.values()), mean_score(head.values()), mean_score(lora.values())
        low, _ = _interval(of_head)
        yield low > lowest, f"{task}: constant answer {lowest:.1f} < head {of_head.mean:.1f} (from {low:.1f})"
        more = _mean_difference(lora, head, FIVE)
        low, high = _interval(more)
        yield _sign(more) > 0, f"{task}: head < LoRA {of_lora.mean:.1f} by {low:.1f} to {high:.1f}"
        low, _ = _interval(of_lora)
        best = max(floors, key=lambda name: floors[name])
        yield low > floors[best], f"{task}: one-modality oracle '{best}' {floors[best]:.1f} < LoRA from {low:.1f}"
        means = {m: fmean(by_seed.values()) for (name, m), by_seed in scores.items() if name == task and by_seed}
        top = max(means, key=lambda name: means[name])
        yield means[top] < MAX_SCORE, f"{task}: the best, {top}, {means[top]:.1f} < {MAX_SCORE:.0f}"


def modalities(measured: Measured) -> Iterator[Line]:
    """A model with a single modality is clearly worse."""
    whole = measured.runs("main")
    for (task, control), single in measured.runs("controls").items():
        both = whole[task, "lora"]
        seeds = sorted(both.keys() & single.keys())
        if len(seeds) < len(FIVE):
            yield None, f"{task}: LoRA with {control}, five seeds"
            continue
        more = _mean_difference(both, single, seeds)
        low, high = _interval(more)
        worse = f"{mean_score(single.values()).mean:.1f}, worse by {low:.1f} to {high:.1f}"
        yield _sign(more) > 0, f"{task}: LoRA with {control} {worse}"


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
        gains = {m: _mean_difference(longer[task, m], runs[task, m], FIVE).mean for m in methods}
        reversed_pairs = [
            f"{a} and {b}"
            for a, b in combinations(methods, 2)
            if _sign(_mean_difference(runs[task, a], runs[task, b], FIVE))
            * _sign(_mean_difference(longer[task, a], longer[task, b], FIVE))
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


def stable(measured: Measured) -> Iterator[Line]:
    """Two disjoint sets of five seeds order the adapters alike, with ties where no difference is clear."""
    runs = measured.runs("main", "more-seeds")
    if any(len(runs[task, method]) < len(TEN) for task in TASKS for method in ADAPTERS):
        yield None, f"order of {', '.join(ADAPTERS)} in two sets of five seeds: ten seeds each"
        return
    signs: list[tuple[int, int]] = []
    for task in TASKS:
        for method_a, method_b in combinations(ADAPTERS, 2):
            a, b = runs[task, method_a], runs[task, method_b]
            signs.append((_sign(_mean_difference(a, b, TEN[:5])), _sign(_mean_difference(a, b, TEN[5:]))))
    tau = kendall(signs)
    yield (
        tau >= MIN_TAU,
        f"order of {', '.join(ADAPTERS)} in two sets of five seeds: Kendall's tau-b {tau:.2f} (at least {MIN_TAU})",
    )


def _mean_difference(a: Mapping[int, Record], b: Mapping[int, Record], seeds: Sequence[int]) -> Estimate:
    estimate = mean_difference([a[seed] for seed in seeds], [b[seed] for seed in seeds])
    assert estimate, "both have scores"
    return estimate


def _interval(estimate: Estimate) -> tuple[float, float]:
    return estimate.interval() or (float("-inf"), float("inf"))


def _sign(estimate: Estimate) -> int:
    """Return 1 or -1 for a difference that is clear, by the sign of it; 0 for others."""
    p = estimate.p_value()
    return 0 if p is None or p >= ALPHA else 1 if estimate.mean > 0 else -1


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
