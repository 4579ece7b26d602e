"""Does recorded runs again, and says whether they score the same: `.venv/bin/python results/mini/rerun.py`.

Takes three records beside this file at random, other ones each time; `--seed` takes the same. On the kind of machine
that recorded them, with the same packages and threads, every test score and validation curve must be as recorded, to
the last digit. Another processor sums matrix products in another order, and training amplifies that. `--tolerance 2`
then allows each primary test score to differ by two points, and their mean by what chance explains.

Exits with 1 if a run differs by more.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median, stdev

import torch

from bench.config.run_options import RunOptions
from bench.execution.process_pool import execute_run
from bench.records.environment import environment, other_machine
from bench.records.provenance import scoring
from bench.records.schema import Record
from bench.records.specification import specification
from bench.records.store import read_all

HERE = Path(__file__).parent

USUAL = (
    "On another processor scores usually differ: of 28 runs from Intel on AMD by 0.94 points in the median, with a "
    "standard deviation of 1.62 and 4.70 at most (results/mini/README.md)"
)


def differences(recorded: Record, again: Record) -> list[str]:
    """Return what a second run measured otherwise than the first, a line each."""
    if recorded.scores is None or again.scores is None:
        return [f"status: {recorded.status}, now {again.status}: {again.reason}"]
    old, new = asdict(recorded.scores), asdict(again.scores)
    found = [
        f"test {n}: {old['test'][n]}, now {new['test'][n]}" for n in old["test"] if old["test"][n] != new["test"][n]
    ]
    if old["validation"] != new["validation"]:
        found.append("the validation curve")
    return found


def gain(recorded: Record, again: Record) -> float | None:
    """By how many points the primary test score is higher than recorded; None if a run failed."""
    if recorded.scores is None or again.scores is None:
        return None
    metric = recorded.scores.metric
    return again.scores.test[metric] - recorded.scores.test[metric]


def is_chance(gains: Sequence[float]) -> bool:
    """Return whether the mean of the differences is within three standard errors of 0; of fewer than three, always."""
    return len(gains) < 3 or abs(fmean(gains)) <= 3 * stdev(gains) / len(gains) ** 0.5


def summary(gains: Sequence[float]) -> str:
    """Return the differences in a sentence."""
    if len(gains) < 2:
        return ""
    sizes = [abs(each) for each in gains]
    return (
        f"{len(gains)} differences of the primary test score: mean {fmean(gains):+.2f}, standard deviation "
        f"{stdev(gains):.2f}, median size {median(sizes):.2f}, largest {max(sizes):.2f} points"
    )


def main(results: Path, count: int, seed: int | None, tolerance: float | None = None) -> int:
    """Do `count` of the folder's runs again and prints what came of each; returns the exit code."""
    records = sorted((each for each in read_all(results) if each.status == "ok"), key=lambda each: each.id)
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    print(f"{len(chosen)} of {len(records)} records of {results}")
    wrong = not chosen
    gains = []
    for record in chosen:
        assert record.environment
        again = execute_run(specification(record, record.id), RunOptions(), record.environment.threads)
        here = again.environment or environment("cpu", torch.get_num_threads())
        found = differences(record, again)
        change = gain(record, again)
        gains += [] if change is None else [change]
        wrong |= bool(found) if tolerance is None else change is None or abs(change) > tolerance
        run = f"{record.spec.task} {record.spec.method} seed {record.spec.seed} ({record.id})"
        size = f" ({change:+.2f})" if change else ""
        print(f"{run}: {'; '.join(found) or 'the recorded scores'}{size}", flush=True)
        if found and (reasons := other_machine(record.environment, here)):
            print(f"  recorded with {'; '.join(reasons)}. {USUAL}", flush=True)
        if scoring(record.provenance) != scoring(again.provenance):
            print("  recorded by an earlier scoring rule of its task: these scores do not compare", flush=True)
    if gains:
        print(summary(gains))
    return int(wrong or (tolerance is not None and not is_chance(gains)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE, help="folder of the records (default: this one)")
    parser.add_argument("--count", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--seed", type=int, help="of the draw (default: another each time)")
    parser.add_argument("--tolerance", type=float, metavar="POINTS", help="allow so large differences (default: none)")
    args = parser.parse_args()
    sys.exit(main(args.results, args.count, args.seed, args.tolerance))
