"""Whether mini is the instrument that it is meant to be: `.venv/bin/python results/mini/audit.py`.

Prints each condition with its figure, from the records beside this file, and whether it holds. What has no records yet
is told and does not hold. Exits with 1 unless all hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from reproduce import AUDIO_VISUAL, FIVE, GROUNDING, HERE, MOST, REST, STAGES, TASKS, TEN, Command, specs

from bench.records.schema import Record
from bench.records.store import read_all
from bench.report.stats import mean_interval, paired_test

ROOM = 95.0  # the best method stays below, in percent
LONGEST = dict.fromkeys(AUDIO_VISUAL, 75.0) | dict.fromkeys(GROUNDING, 120.0)  # seconds of a run
CORES = 2
SETTLED = 1.0  # points that the last tenth of the epochs may add at most
CONVERGED = 2.0  # points that twice the epochs may add at most: about what the suite resolves
AGREEMENT = 0.8  # Kendall's tau of two sets of seeds, at least

Line = tuple[bool | None, str]
"""Whether a condition holds (None: not measured), and what it is with its figure."""


class Measured:
    """The records of this folder, found by the runs that they are of."""

    def __init__(self) -> None:
        self.records = {record.id: record for record in read_all(HERE) if record.status == "ok"}
        check_data([*self.records.values()])

    def runs(self, command: Command) -> dict[tuple[str, str], dict[int, Record]]:
        """By task and method, then by seed, the records of a command that are there."""
        found: dict[tuple[str, str], dict[int, Record]] = {}
        for spec in specs(command):
            if spec.id in self.records:
                found.setdefault((spec.task, spec.method), {})[spec.seed] = self.records[spec.id]
        return found

    def scores(self, command: Command) -> dict[tuple[str, str], dict[int, float]]:
        """Return the same, with the primary test score in place of the record."""
        return {key: {seed: primary(record) for seed, record in its.items()} for key, its in self.runs(command).items()}


def check_data(records: Sequence[Record]) -> None:
    """End the program where runs of a task saw different data, or none of some samples: they do not compare."""
    for task in dict.fromkeys(record.spec.task for record in records):
        data = [record.data for record in records if record.spec.task == task and record.data]
        if len({each.fingerprint for each in data}) > 1 or any(each.skipped for each in data):
            sys.exit(f"the records of {task} are of different data, or samples were left out: they do not compare")


def primary(record: Record) -> float:
    """Return the primary test score."""
    assert record.scores
    return record.scores.test[record.scores.metric]


def order(measured: Measured) -> Iterator[Line]:
    """Constant answer < head < LoRA by clear intervals, and the best method leaves room; oracles lie below LoRA."""
    scores = measured.scores(((*MOST, *(m for c in STAGES["main"] for m in c[0])), TASKS, FIVE, ()))
    runs = measured.runs((("lora",), TASKS, FIVE, ()))
    for task in TASKS:
        head, lora = scores.get((task, "head"), {}), scores.get((task, "lora"), {})
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
        means = {method: fmean(its.values()) for (of, method), its in scores.items() if of == task}
        top = max(means, key=lambda name: means[name])
        yield means[top] < ROOM, f"{task}: the best, {top}, {means[top]:.1f} < {ROOM:.0f}"


def modalities(measured: Measured) -> Iterator[Line]:
    """Yield a model that sees one modality only is clearly worse."""
    whole = measured.scores((("lora",), TASKS, FIVE, ()))
    for command in STAGES["controls"]:
        control = measured.scores(command)
        for task in command[1]:
            both, one = whole.get((task, "lora"), {}), control.get((task, "lora"), {})
            seeds = sorted(both.keys() & one.keys())
            tested = paired_test([both[seed] - one[seed] for seed in seeds])
            if tested is None or len(seeds) < len(FIVE):
                yield None, f"{task}: LoRA with {command[3][1]} only, five seeds"
                continue
            worse = f"{fmean(one.values()):.1f}, worse by {tested[0]:.1f} to {tested[1]:.1f}"
            yield tested[0] > 0, f"{task}: LoRA with {command[3][1]} only {worse}"


def settled(measured: Measured) -> Iterator[Line]:
    """Validation scores have stopped rising at the end of a run, more epochs add little, and turn no order round."""
    runs = measured.runs((MOST + REST, TASKS, FIVE, ()))
    for task in TASKS:
        for method in MOST + REST:
            its = runs.get((task, method), {})
            if len(its) < len(FIVE):
                yield None, f"{task}: {method} in the last tenth of its epochs, five seeds"
                continue
            gain = fmean(_last_tenth(record) for record in its.values())
            yield (
                gain < SETTLED,
                f"{task}: {method} gains {gain:+.1f} in the last tenth of its epochs (below {SETTLED:.1f})",
            )
    for command in STAGES["longer"]:
        longer, usual = measured.scores(command), measured.scores((command[0], command[1], FIVE, ()))
        for task in command[1]:
            if any(
                len(found.get((task, method), {})) < len(FIVE) for found in (longer, usual) for method in command[0]
            ):
                yield None, f"{task}: {', '.join(command[0])} with twice the epochs, five seeds"
                continue
            gains = {m: fmean(longer[task, m][s] - usual[task, m][s] for s in FIVE) for m in command[0]}
            turned = [
                f"{one} and {other}"
                for one, other in combinations(command[0], 2)
                if _sign(usual[task, one], usual[task, other], FIVE)
                * _sign(longer[task, one], longer[task, other], FIVE)
                < 0
            ]
            told = ", ".join(f"{method} {gain:+.1f}" for method, gain in gains.items())
            yield max(gains.values()) < CONVERGED, f"{task}: twice the epochs add {told} (below {CONVERGED:.1f})"
            yield not turned, f"{task}: twice the epochs turn the order of {', '.join(turned) or 'none'}"


def _last_tenth(record: Record) -> float:
    """Points that the best validation score so far rose in the last tenth of the epochs, at least one."""
    assert record.scores
    curve = [epoch.scores[record.scores.metric] for epoch in record.scores.validation]
    return max(curve) - max(curve[: max(1, len(curve) - max(1, round(len(curve) / 10)))])


def stable(measured: Measured) -> Iterator[Line]:
    """Yield two disjoint sets of five seeds put the methods in the same order, with ties where intervals overlap."""
    scores = measured.scores((MOST, TASKS, TEN, ()))
    if any(len(scores.get((task, method), {})) < len(TEN) for task in TASKS for method in MOST):
        yield None, f"order of {', '.join(MOST)} in two sets of five seeds: ten seeds each"
        return
    signs: list[tuple[int, int]] = []
    for task in TASKS:
        for one, other in combinations(MOST, 2):
            a, b = scores[task, one], scores[task, other]
            signs.append((_sign(a, b, TEN[:5]), _sign(a, b, TEN[5:])))
    tau = kendall(signs)
    yield tau >= AGREEMENT, f"order of {', '.join(MOST)} in two sets of five seeds: Kendall's tau-b {tau:.2f}"


def _sign(a: Mapping[int, float], b: Mapping[int, float], seeds: Sequence[int]) -> int:
    """Return which of two methods is better, 0 where the interval of their paired difference holds 0."""
    low, high, _ = paired_test([a[seed] - b[seed] for seed in seeds]) or (0.0, 0.0, 1.0)
    return (low > 0) - (high < 0)


def kendall(signs: Sequence[tuple[int, int]]) -> float:
    """Kendall's tau-b of two orders, from the sign of each pair in the one and in the other; ties are 0."""
    same = sum(one * other for one, other in signs)
    told = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    return same / (told[0] * told[1]) ** 0.5 if all(told) else 0.0


def times(measured: Measured) -> Iterator[Line]:
    """Run are short: counted for two cores, whether a run had both or two runs one each."""
    for task in TASKS:
        seconds = [
            record.times.total * record.environment.threads / CORES
            for command in STAGES["main"]
            for (of, _), its in measured.runs(command).items()
            for record in its.values()
            if of == task and record.times and record.environment
        ]
        if not seconds:
            yield None, f"{task}: seconds of a run"
            continue
        told = f"{task}: a run takes {fmean(seconds):.0f} s of {CORES} cores, the longest {max(seconds):.0f}"
        yield max(seconds) <= LONGEST[task], f"{told} (at most {LONGEST[task]:.0f})"


def main() -> int:
    """Print every condition; returns the exit code."""
    measured, all_hold = Measured(), True
    for part in (order, modalities, settled, stable, times):
        print(part.__doc__.splitlines()[0])  # type: ignore[union-attr]
        for holds, text in part(measured):
            all_hold &= holds is True
            print(f"  {'not measured' if holds is None else 'holds' if holds else 'DOES NOT HOLD':13} {text}")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
