"""Rerun recorded runs and check that they score the same: `.venv/bin/python results/mini/rerun.py`.

Three random records of this folder are chosen, different ones each time unless `--seed` is given. On the same kind of
machine, with the same packages and threads, every test score and validation curve must be as recorded, to the last
digit. Another processor sums matrix products in a different order, and training amplifies the difference. There,
`--tolerance 2` allows each primary test score to differ by two points, and their mean by what chance explains.

Exit with 1 if a run differs by more.
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
from bench.records.environment import environment, environment_differences
from bench.records.provenance import scoring
from bench.records.schema import Record
from bench.records.specification import specification
from bench.records.store import read_all

FOLDER = Path(__file__).parent

USUAL = (
    "On another processor scores usually differ: for 28 runs from Intel, rerun on AMD, by 0.94 points in the median, "
    "with a standard deviation of 1.62 and by at most 4.70 (results/mini/README.md)"
)


def differences(recorded: Record, repeated: Record) -> list[str]:
    """Return lines that describe how a second run's scores differ from the first's."""
    if recorded.scores is None or repeated.scores is None:
        return [f"status: {recorded.status}, now {repeated.status}: {repeated.reason}"]
    old, new = asdict(recorded.scores), asdict(repeated.scores)
    lines = [
        f"test {n}: {old['test'][n]}, now {new['test'][n]}" for n in old["test"] if old["test"][n] != new["test"][n]
    ]
    if old["validation"] != new["validation"]:
        lines.append("the validation curve")
    return lines


def gain(recorded: Record, repeated: Record) -> float | None:
    """Return by how many points the primary test score is higher than recorded; None if a run failed."""
    if recorded.scores is None or repeated.scores is None:
        return None
    metric = recorded.scores.metric
    return repeated.scores.test[metric] - recorded.scores.test[metric]


def is_chance(gains: Sequence[float]) -> bool:
    """Return whether the mean difference is within three standard errors of 0; True for fewer than three."""
    return len(gains) < 3 or abs(fmean(gains)) <= 3 * stdev(gains) / len(gains) ** 0.5


def summary(gains: Sequence[float]) -> str:
    """Return a sentence that summarizes the differences."""
    if len(gains) < 2:
        return ""
    sizes = [abs(gain) for gain in gains]
    return (
        f"{len(gains)} differences of the primary test score: mean {fmean(gains):+.2f}, standard deviation "
        f"{stdev(gains):.2f}, median size {median(sizes):.2f}, largest {max(sizes):.2f} points"
    )


def main(results: Path, count: int, seed: int | None, tolerance: float | None = None) -> int:
    """Rerun `count` of the folder's runs, print the outcome of each, and return the exit code."""
    records = sorted((record for record in read_all(results) if record.status == "ok"), key=lambda record: record.id)
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    print(f"{len(chosen)} of {len(records)} records of {results}")
    failed = not chosen
    gains = []
    for record in chosen:
        assert record.environment
        repeated = execute_run(specification(record, record.id), RunOptions(), record.environment.threads)
        local_environment = repeated.environment or environment("cpu", torch.get_num_threads())
        lines = differences(record, repeated)
        change = gain(record, repeated)
        gains += [] if change is None else [change]
        failed |= bool(lines) if tolerance is None else change is None or abs(change) > tolerance
        run = f"{record.spec.task} {record.spec.method} seed {record.spec.seed} ({record.id})"
        size = f" ({change:+.2f})" if change else ""
        print(f"{run}: {'; '.join(lines) or 'the recorded scores'}{size}", flush=True)
        if lines and (reasons := environment_differences(record.environment, local_environment)):
            print(f"  recorded with {'; '.join(reasons)}. {USUAL}", flush=True)
        if scoring(record.provenance) != scoring(repeated.provenance):
            print("  recorded with an earlier scoring rule of its task: these scores cannot be compared", flush=True)
    if gains:
        print(summary(gains))
    return int(failed or (tolerance is not None and not is_chance(gains)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the records (default: this one)")
    parser.add_argument("--count", type=int, default=3, help="number of runs (default: 3)")
    parser.add_argument("--seed", type=int, help="seed of the random choice (default: a new one each time)")
    parser.add_argument("--tolerance", type=float, metavar="POINTS", help="largest difference allowed (default: none)")
    args = parser.parse_args()
    sys.exit(main(args.results, args.count, args.seed, args.tolerance))
