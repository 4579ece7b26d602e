"""Conditions of a usable instrument, each with its figures and whether it holds, from the records of a folder.

Differences are judged as the leaderboard judges them (docs/explain/verdicts.md), each for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from bench.records.schema import Record
from bench.report.estimates import Estimate
from bench.report.finding.measured import Measured, Runs
from bench.report.standings import mean_difference, mean_score
from bench.report.stats import ALPHA

MAX_SCORE = 95.0  # of the best method, in percent
MIN_TAU = 0.7  # Kendall's tau-b of two sets of seeds, over adapters: that all are above `head` would prove nothing

Line = tuple[bool | None, str]
"""Whether a condition holds (None: not measured), and its description with figures."""


def order(
    measured: Measured, tasks: Sequence[str], seeds: Sequence[int], oracle: str, left_out: Sequence[str] = ()
) -> Iterator[Line]:
    """Constant answer < head < LoRA by clear intervals; oracles score below LoRA; the best method leaves room.

    Where data has no floor of a constant answer, the lowest floor stands for it.

    Args:
        measured: The records, with a stage `main`.
        tasks: The tasks.
        seeds: The seeds that `head` and LoRA need.
        oracle: What is said of the floors, as in "one-modality oracle".
        left_out: Floors that LoRA need not be above.
    """
    scores, runs = measured.scores("main"), measured.runs("main")
    for task in tasks:
        head, lora = runs[task, "head"], runs[task, "lora"]
        if not {*seeds} <= head.keys() & lora.keys():
            yield None, f"{task}: head and LoRA, {in_words(len(seeds))} seeds each"
            continue
        floors = next(iter(lora.values())).scores.floors  # type: ignore[union-attr]
        constant = "constant answer" if "constant answer" in floors else min(floors, key=lambda name: floors[name])
        of_head, of_lora = mean_score(head.values()), mean_score(lora.values())
        low, _ = bounds(of_head)
        yield (
            low > floors[constant],
            f"{task}: {constant} {floors[constant]:.1f} < head {of_head.mean:.1f} (from {low:.1f})",
        )
        more = difference_over(lora, head, seeds)
        low, high = bounds(more)
        yield sign(more) > 0, f"{task}: head < LoRA {of_lora.mean:.1f} by {low:.1f} to {high:.1f}"
        low, _ = bounds(of_lora)
        best = max((name for name in floors if name not in left_out), key=lambda name: floors[name])
        yield low > floors[best], f"{task}: {oracle} '{best}' {floors[best]:.1f} < LoRA from {low:.1f}"
        means = {m: fmean(by_seed.values()) for (name, m), by_seed in scores.items() if name == task and by_seed}
        top = max(means, key=lambda name: means[name])
        yield means[top] < MAX_SCORE, f"{task}: the best, {top}, {means[top]:.1f} < {MAX_SCORE:.0f}"


def modalities(measured: Measured, fewest: int, stages: Sequence[str] = ("controls",)) -> Iterator[Line]:
    """A model with fewer modalities is clearly worse.

    Args:
        measured: The records, with a stage `main`.
        fewest: Number of seeds that are needed; all are compared that both have.
        stages: The stages of LoRA with fewer modalities.
    """
    whole = measured.runs("main")
    for (task, control), fewer in measured.runs(*stages).items():
        every = whole[task, "lora"]
        shared = sorted(every.keys() & fewer.keys())
        if len(shared) < fewest:
            yield None, f"{task}: LoRA with {control}, {in_words(fewest)} seeds"
            continue
        more = difference_over(every, fewer, shared)
        low, high = bounds(more)
        worse = f"{mean_score(fewer.values()).mean:.1f}, worse by {low:.1f} to {high:.1f}"
        yield sign(more) > 0, f"{task}: LoRA with {control} {worse}"


def stable(runs: Runs, tasks: Sequence[str], adapters: Sequence[str], seeds: Sequence[int]) -> Iterator[Line]:
    """Two disjoint sets of seeds order the adapters alike, with ties where no difference is clear.

    Args:
        runs: The records.
        tasks: The tasks.
        adapters: Labels of the adapters.
        seeds: The seeds of both sets: first those of the one, then as many of the other.
    """
    half = len(seeds) // 2
    ordered = f"order of {', '.join(adapters)} in two sets of {in_words(half)} seeds"
    if any(not {*seeds} <= runs[task, method].keys() for task in tasks for method in adapters):
        yield None, f"{ordered}: {in_words(len(seeds))} seeds each"
        return
    signs: list[tuple[int, int]] = []
    for task in tasks:
        for method_a, method_b in combinations(adapters, 2):
            a, b = runs[task, method_a], runs[task, method_b]
            signs.append((sign(difference_over(a, b, seeds[:half])), sign(difference_over(a, b, seeds[half:]))))
    tau = kendall(signs)
    yield tau >= MIN_TAU, f"{ordered}: Kendall's tau-b {tau:.2f} (at least {MIN_TAU})"


def difference_over(a: Mapping[int, Record], b: Mapping[int, Record], seeds: Sequence[int]) -> Estimate:
    """Return the estimate of the difference of two methods over some seeds, which both have."""
    estimate = mean_difference([a[seed] for seed in seeds], [b[seed] for seed in seeds])
    assert estimate, "both have scores"
    return estimate


def bounds(estimate: Estimate) -> tuple[float, float]:
    """Return the interval of an estimate; from minus to plus infinity without one."""
    return estimate.interval() or (float("-inf"), float("inf"))


def sign(estimate: Estimate) -> int:
    """Return 1 or -1 for a difference that is clear, by the sign of it; 0 for others."""
    p = estimate.p_value()
    return 0 if p is None or p >= ALPHA else sign_of(estimate.mean)


def sign_of(number: float) -> int:
    """Return 1, -1, or 0 for 0."""
    return (number > 0) - (number < 0)


def kendall(signs: Sequence[tuple[int, int]]) -> float:
    """Return Kendall's tau-b of two orders, from the sign of each pair in both of them; a tie is 0."""
    agreement = sum(a * b for a, b in signs)
    untied = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    return agreement / (untied[0] * untied[1]) ** 0.5 if all(untied) else 0.0


def title(condition: Callable[..., object]) -> str:
    """Return the first line of a docstring."""
    return (condition.__doc__ or "").splitlines()[0]


def in_words(number: int) -> str:
    """Return a small number in words."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)


def audited(parts: Iterable[tuple[str, Iterable[Line]]]) -> tuple[str, bool]:
    """Return all conditions as text, and whether all hold; what is not measured does not.

    Args:
        parts: Groups of conditions, each with its title.
    """
    text, all_hold = [], True
    for title, conditions in parts:
        text.append(title)
        for holds, description in conditions:
            all_hold &= holds is True
            text.append(
                f"  {'not measured' if holds is None else 'holds' if holds else 'DOES NOT HOLD':13} {description}"
            )
    return "\n".join(text), all_hold
