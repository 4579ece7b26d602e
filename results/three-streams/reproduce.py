"""Reproduce results/three-streams: `.venv/bin/python results/three-streams/reproduce.py`, from the checkout's root.

Search the learning rates, then do the runs of experiment.toml. Finished trials and runs are skipped, so the same
command resumes after an interruption. `tune` does the searches only. Other arguments are those of `bench run` and do
the runs only: `--dry-run` shows them, and `--stage main` does one stage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli import main

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the file of their settings
EXPERIMENT = FOLDER / "experiment.toml"

TASKS = ("refavs", "avqa")
METHODS = ("head", "lora", "dora", "cola")
TUNING_SEED = 100  # not one of the seeds that are compared
TRIALS = 3
OUTPUT_ARGUMENTS = ("--results", str(FOLDER), "--jobs", "2")

SEARCHES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tuned.toml": (METHODS, ()),
    "tuned-cola-size.toml": (("lora",), ("--budget", "cola")),
}
"""Methods and further arguments of `bench tune`, by the file that it writes."""


def tune(file: str) -> int:
    """Do the search whose results are in a file, and return the exit code."""
    methods, arguments = SEARCHES[file]
    plan = ["--methods", *methods, "--tasks", *TASKS, "--seeds", str(TUNING_SEED), "--trials", str(TRIALS)]
    return main(["tune", *plan, *arguments, "--out", str(FOLDER / file), *OUTPUT_ARGUMENTS])


def reproduce(arguments: Sequence[str]) -> int:
    """Do the searches and the runs that the arguments ask for, and return the exit code."""
    for file in SEARCHES if [*arguments] in ([], ["tune"]) else ():
        if code := tune(file):
            return code
    return 0 if [*arguments] == ["tune"] else main(["run", str(EXPERIMENT), *OUTPUT_ARGUMENTS, *arguments])


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        sys.exit(print(__doc__))
    sys.exit(reproduce(sys.argv[1:]))
