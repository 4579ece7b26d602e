"""Does recorded runs again, and says whether they score the same: `.venv/bin/python results/mini/rerun.py`.

Takes three records beside this file at random, other ones each time; `--seed` takes the same. Every test score and
validation curve must be as recorded, to the last digit, on the same kind of machine and with the same software; a run
gets as many threads as it had. Exits with 1 unless all are.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import asdict
from pathlib import Path

from bench.again import specification
from bench.pool import execute_run
from bench.records import read_all
from bench.schema import Record
from bench.sweep import RunOptions

HERE = Path(__file__).parent


def differences(recorded: Record, again: Record) -> list[str]:
    """What a second run measured otherwise than the first, a line each."""
    if recorded.scores is None or again.scores is None:
        return [f"status: {recorded.status}, now {again.status}: {again.reason}"]
    old, new = asdict(recorded.scores), asdict(again.scores)
    found = [
        f"test {n}: {old['test'][n]}, now {new['test'][n]}" for n in old["test"] if old["test"][n] != new["test"][n]
    ]
    if old["validation"] != new["validation"]:
        found.append("the validation curve")
    return found


def main(results: Path, count: int, seed: int | None) -> int:
    """Does `count` of the folder's runs again and prints what came of each; returns the exit code."""
    records = sorted((each for each in read_all(results) if each.status == "ok"), key=lambda each: each.id)
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    print(f"{len(chosen)} of {len(records)} records of {results}")
    wrong = not chosen
    for record in chosen:
        assert record.environment
        again = execute_run(specification(record, record.id), RunOptions(), record.environment.threads)
        found = differences(record, again)
        wrong |= bool(found)
        run = f"{record.spec['task']} {record.spec['method']} seed {record.spec['seed']} ({record.id})"
        print(f"{run}: {'; '.join(found) or 'the recorded scores'}", flush=True)
    return int(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE, help="folder of the records (default: this one)")
    parser.add_argument("--count", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--seed", type=int, help="of the draw (default: another each time)")
    asked = parser.parse_args()
    sys.exit(main(asked.results, asked.count, asked.seed))
