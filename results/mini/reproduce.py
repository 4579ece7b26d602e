"""Reproduce results/mini: `.venv/bin/python results/mini/reproduce.py`, from the checkout's root.

Do every run behind the tables, stage by stage, the most valuable first. Finished runs are skipped, so the same command
resumes after an interruption, and partial results are valid. `--list` shows the commands; stage names and `--tasks`
restrict them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli import main
from bench.config.plan import RunRequest
from bench.config.spec import Spec
from bench.config.tuned_settings import read_tuned
from bench.execution.planning import plan_runs

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the file of their settings

TEN_SEED_METHODS = ("head", "lora", "dora", "cola")
FIVE_SEED_METHODS = ("full", "cola-dora", "adalora", "cola-adalora")
AUDIO_VISUAL = ("ave", "avs")
GROUNDING = ("refcoco", "refcoco_plus", "refcocog")
TASKS = (*AUDIO_VISUAL, *GROUNDING)
JOINT_TASK = "+".join(GROUNDING)
SIZED = ("lora", "dora", "cola-dora")  # also at CoLA's size
MATCHED = ("--budget", "cola")
FIVE, TEN = tuple(range(5)), tuple(range(10))
# The joint task has three times the samples, so half the epochs are still one and a half times the steps.
SHORTENED = ("--set", f"{JOINT_TASK}.epochs=7")
TUNING_SEEDS = (100,)  # not one of the seeds that are compared
TRIALS = 5
OUTPUT_ARGUMENTS = ("--results", str(FOLDER), "--jobs", "2")

MALLOC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Make glibc keep freed memory instead of returning it at each step: LoRA on AVS took 0.83 times as long."""

Command = tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], tuple[str, ...]]
"""Methods, tasks, seeds, and further arguments of `bench run`."""

SEARCHES: tuple[Command, ...] = tuple(
    (methods, tasks, TUNING_SEEDS, (*arguments, *shortened))
    for tasks, shortened in ((TASKS, ()), ((JOINT_TASK,), SHORTENED))
    for methods, arguments in (((*TEN_SEED_METHODS, *FIVE_SEED_METHODS), ()), (SIZED, MATCHED))
)
"""Searches for learning rates, with the same number of trials per method: at its own size, and at CoLA's."""

STAGES: dict[str, tuple[Command, ...]] = {
    "main": ((TEN_SEED_METHODS, TASKS, FIVE, ()), (FIVE_SEED_METHODS, TASKS, FIVE, ())),
    "longer": (
        (("head", "lora", "cola"), ("ave",), FIVE, ("--set", "ave.epochs=12")),
        (("head", "lora", "cola"), ("avs",), FIVE, ("--set", "avs.epochs=20")),
        (("head", "lora", "cola"), ("refcoco",), FIVE, ("--set", "refcoco.epochs=28")),
    ),
    "budget": ((SIZED, TASKS, FIVE, MATCHED),),
    "more-seeds": ((TEN_SEED_METHODS, TASKS, TEN, ()),),
    "controls": tuple(
        (("lora",), tasks, FIVE, ("--streams", stream))
        for tasks, streams in ((AUDIO_VISUAL, ("vision", "audio")), (GROUNDING, ("vision", "text")))
        for stream in streams
    ),
    "ablations": tuple(
        (("cola",), tasks, FIVE, ("--set", *(f"cola.{change}" for change in changes)))
        for tasks, *changes in (
            (("avs",), "paths=vision>audio"),
            (("avs",), "paths=audio>vision"),
            (("refcoco",), "paths=vision>text"),
            (("refcoco",), "paths=text>vision"),
            (("avs", "refcoco"), "shared=true"),
            (("avs", "refcoco"), "r=2"),
            (("avs", "refcoco"), "r=8"),
            (("avs", "refcoco"), "blocks=first"),
            (("avs", "refcoco"), "blocks=last"),
            (("avs", "refcoco"), "linears=attention"),
            (("avs", "refcoco"), "linears=feed_forward"),
            (("avs", "refcoco"), "r=2", "alpha=1"),  # keeps the usual factor alpha / r
            (("avs", "refcoco"), "r=8", "alpha=4"),
        )
    ),
    "together": tuple(
        (methods, (JOINT_TASK,), seeds, (*arguments, *SHORTENED))
        for methods, seeds, arguments in (
            (TEN_SEED_METHODS, FIVE, ()),
            (FIVE_SEED_METHODS, FIVE, ()),
            (SIZED, FIVE, MATCHED),
            (TEN_SEED_METHODS, TEN, ()),
        )
    ),
}


def tune_arguments(command: Command) -> list[str]:
    """Return the arguments of `bench tune` for one search."""
    _, tasks, _, arguments = command
    return [
        "tune",
        *_named(command),
        "--trials",
        str(TRIALS),
        "--out",
        str(settings_of(tasks, arguments)),
        *OUTPUT_ARGUMENTS,
    ]


def settings_of(tasks: Sequence[str], arguments: Sequence[str]) -> Path:
    """Return the file with the learning rates for these tasks and these arguments of `bench run`."""
    suffix = "-together" if JOINT_TASK in tasks else ""
    size = "-cola-size" if "--budget" in arguments else ""
    return FOLDER / f"tuned{suffix}{size}.toml"


def run_arguments(command: Command) -> list[str]:
    """Return the arguments of `bench run` for one command of a stage."""
    _, tasks, _, arguments = command
    return ["run", *_named(command), "--settings", str(settings_of(tasks, arguments)), *OUTPUT_ARGUMENTS]


def _named(command: Command) -> list[str]:
    methods, tasks, seeds, arguments = command
    return [
        "--methods",
        ",".join(methods),
        "--tasks",
        ",".join(tasks),
        "--seeds",
        ",".join(map(str, seeds)),
        *arguments,
    ]


def specs(command: Command) -> list[Spec]:
    """Return the specifications of a command's runs, whose ids identify the records."""
    methods, tasks, seeds, arguments = command
    changes = [change for name, *changes in _options(arguments) if name == "--set" for change in changes]
    changes += [f'data.streams=["{values[0]}"]' for name, *values in _options(arguments) if name == "--streams"]
    budget = next((values[0] for name, *values in _options(arguments) if name == "--budget"), None)
    file = settings_of(tasks, arguments)
    tuned = read_tuned(file) if file.is_file() else None
    plan, _ = plan_runs(RunRequest("mini", methods, tasks, seeds, changes, budget, tuned))
    return plan


def _options(arguments: tuple[str, ...]) -> list[list[str]]:
    options: list[list[str]] = []
    for word in arguments:
        if word.startswith("--"):
            options.append([])
        options[-1].append(word)
    return options


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"tune, {', '.join(STAGES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="show the commands and their numbers of runs")
    parser.add_argument("--tasks", default=",".join((*TASKS, JOINT_TASK)), help="only these tasks (default: all)")
    args = parser.parse_args()
    chosen = args.tasks.split(",")
    os.environ.update(
        {name: value for name, value in MALLOC_SETTINGS.items() if name not in os.environ}
    )  # for the jobs
    if unknown := set(args.stages) - {"tune", *STAGES}:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}: choose from tune, {', '.join(STAGES)}")
    if unknown := set(chosen) - {*TASKS, JOINT_TASK}:
        parser.error(f"unknown task {', '.join(sorted(unknown))}: choose from {', '.join((*TASKS, JOINT_TASK))}")
    for stage in args.stages or ["tune", *STAGES]:
        tuning = stage == "tune"
        for methods, tasks, seeds, arguments in SEARCHES if tuning else STAGES[stage]:
            command = (methods, tuple(task for task in tasks if task in chosen), seeds, arguments)
            if not command[1]:
                continue
            words = tune_arguments(command) if tuning else run_arguments(command)
            if args.list:
                print(f"{stage}:{'' if tuning else f' {len(specs(command))}'} bench {' '.join(words)}")
            elif code := main(words):
                sys.exit(code)
