"""Reproduce results/mini: `.venv/bin/python results/mini/reproduce.py`, from the checkout's root.

Search the learning rates of all methods, then do the runs of experiment.toml. Finished trials and runs are skipped, so
the same command resumes after an interruption. `tune` does the searches only. Other arguments are those of `bench run`
and do the runs only: `--dry-run` shows them, and `--stage main` does one stage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.cli import main

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the file of their settings
EXPERIMENT = FOLDER / "experiment.toml"

AUDIO_VISUAL = ("ave", "avs")
GROUNDING = ("refcoco", "refcoco_plus", "refcocog")
TASKS = (*AUDIO_VISUAL, *GROUNDING)
JOINT_TASK = "+".join(GROUNDING)
TEN_SEED_METHODS = ("head", "lora", "dora", "cola")
FIVE_SEED_METHODS = ("full", "cola-dora", "adalora", "cola-adalora")
FIVE, TEN = tuple(range(5)), tuple(range(10))

TUNING_SEED = 100  # not one of the seeds that are compared
TRIALS = 5
OUTPUT_ARGUMENTS = ("--results", str(FOLDER), "--jobs", "2")
SHORTENED = ("--set", f"{JOINT_TASK}.epochs=7")  # as in the experiment

SEARCHES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    f"tuned{joint}{size}.toml": (methods, tasks, (*budget, *shortened))
    for joint, tasks, shortened in (("", TASKS, ()), ("-together", (JOINT_TASK,), SHORTENED))
    for size, methods, budget in (
        ("", (*TEN_SEED_METHODS, *FIVE_SEED_METHODS), ()),
        ("-cola-size", ("lora", "dora", "cola-dora"), ("--budget", "cola")),
    )
}
"""Methods, tasks and further arguments of `bench tune`, by the file that it writes."""

MALLOC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Make glibc keep freed memory instead of returning it at each step: LoRA on AVS took 0.83 times as long."""


def tune(file: str) -> int:
    """Do the search whose results are in a file, and return the exit code."""
    methods, tasks, arguments = SEARCHES[file]
    plan = ["--methods", *methods, "--tasks", *tasks, "--seeds", str(TUNING_SEED), "--trials", str(TRIALS)]
    return main(["tune", *plan, *arguments, "--out", str(FOLDER / file), *OUTPUT_ARGUMENTS])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if {"-h", "--help"} & {*arguments}:
        sys.exit(print(__doc__))
    os.environ.update(
        {name: value for name, value in MALLOC_SETTINGS.items() if name not in os.environ}
    )  # for the jobs
    for file in SEARCHES if arguments in ([], ["tune"]) else ():
        if code := tune(file):
            sys.exit(code)
    if arguments != ["tune"]:
        sys.exit(main(["run", str(EXPERIMENT), *OUTPUT_ARGUMENTS, *arguments]))
