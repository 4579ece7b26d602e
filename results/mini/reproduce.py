"""Makes results/mini: `.venv/bin/python results/mini/reproduce.py`, from the checkout's root.

Every run behind the tables, stage by stage in order of value. Finished runs are skipped, so the same command goes on
where it was stopped, and what is there so far is valid. `--list` shows the commands; a stage's name does that one only,
`--tasks` those tasks only.
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

HERE = Path(os.path.relpath(Path(__file__).parent))  # records name the file that their settings came from

MOST = ("head", "lora", "dora", "cola")  # ten seeds
REST = ("full", "cola-dora", "adalora", "cola-adalora")  # five
AUDIO_VISUAL = ("ave", "avs")
GROUNDING = ("refcoco", "refcoco_plus", "refcocog")
TASKS = (*AUDIO_VISUAL, *GROUNDING)
TOGETHER = "+".join(GROUNDING)
SIZED = ("lora", "dora", "cola-dora")  # also at CoLA's size
MATCHED = ("--budget", "cola")
FIVE, TEN = tuple(range(5)), tuple(range(10))
# Three times the samples: half the epochs are one and a half times the steps, for which there is time.
SHORTENED = ("--set", f"{TOGETHER}.epochs=7")
TUNING_SEEDS = (100,)  # none that is compared afterwards
TRIALS = 5
KEPT = ("--results", str(HERE), "--jobs", "2")

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Tells glibc to keep what tensors leave rather than give it back at each step: LoRA on AVS took 0.83 of the time."""

Command = tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], tuple[str, ...]]
"""Methods, tasks, seeds, and more arguments of `bench run`."""

SEARCHES: tuple[Command, ...] = tuple(
    (methods, tasks, TUNING_SEEDS, (*more, *shortened))
    for tasks, shortened in ((TASKS, ()), ((TOGETHER,), SHORTENED))
    for methods, more in (((*MOST, *REST), ()), (SIZED, MATCHED))
)
"""Of learning rates, each method's with as many trials: at its own size, and at CoLA's."""

STAGES: dict[str, tuple[Command, ...]] = {
    "main": ((MOST, TASKS, FIVE, ()), (REST, TASKS, FIVE, ())),
    "longer": (
        (("head", "lora", "cola"), ("ave",), FIVE, ("--set", "ave.epochs=12")),
        (("head", "lora", "cola"), ("avs",), FIVE, ("--set", "avs.epochs=20")),
        (("head", "lora", "cola"), ("refcoco",), FIVE, ("--set", "refcoco.epochs=28")),
    ),
    "budget": ((SIZED, TASKS, FIVE, MATCHED),),
    "more-seeds": ((MOST, TASKS, TEN, ()),),
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
            (("avs", "refcoco"), "r=2", "alpha=1"),  # the factor alpha / r is then as it is usually
            (("avs", "refcoco"), "r=8", "alpha=4"),
        )
    ),
    "together": tuple(
        (methods, (TOGETHER,), seeds, (*more, *SHORTENED))
        for methods, seeds, more in ((MOST, FIVE, ()), (REST, FIVE, ()), (SIZED, FIVE, MATCHED), (MOST, TEN, ()))
    ),
}


def tune_arguments(command: Command) -> list[str]:
    """`bench tune` for one search."""
    _, tasks, _, more = command
    return ["tune", *_named(command), "--trials", str(TRIALS), "--out", str(settings_of(tasks, more)), *KEPT]


def settings_of(tasks: Sequence[str], more: Sequence[str]) -> Path:
    """Return the file of the learning rates that runs of these tasks, with these arguments of `bench run`, have."""
    together = "-together" if TOGETHER in tasks else ""
    size = "-cola-size" if "--budget" in more else ""
    return HERE / f"tuned{together}{size}.toml"


def run_arguments(command: Command) -> list[str]:
    """`bench run` for one command of a stage."""
    _, tasks, _, more = command
    return ["run", *_named(command), "--settings", str(settings_of(tasks, more)), *KEPT]


def _named(command: Command) -> list[str]:
    methods, tasks, seeds, more = command
    return ["--methods", ",".join(methods), "--tasks", ",".join(tasks), "--seeds", ",".join(map(str, seeds)), *more]


def specs(command: Command) -> list[Spec]:
    """Return the runs of a command, by which their records are found."""
    methods, tasks, seeds, more = command
    changes = [change for name, *changes in _options(more) if name == "--set" for change in changes]
    changes += [f'data.streams=["{values[0]}"]' for name, *values in _options(more) if name == "--streams"]
    budget = next((values[0] for name, *values in _options(more) if name == "--budget"), None)
    file = settings_of(tasks, more)
    tuned = read_tuned(file) if file.is_file() else None
    plan, _ = plan_runs(RunRequest("mini", methods, tasks, seeds, changes, budget, tuned))
    return plan


def _options(more: tuple[str, ...]) -> list[list[str]]:
    found: list[list[str]] = []
    for word in more:
        if word.startswith("--"):
            found.append([])
        found[-1].append(word)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"tune, {', '.join(STAGES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="show the commands and how many runs they are")
    parser.add_argument("--tasks", default=",".join((*TASKS, TOGETHER)), help="only these (default: all)")
    asked = parser.parse_args()
    of = asked.tasks.split(",")
    os.environ.update({name: value for name, value in KEEP_MEMORY.items() if name not in os.environ})  # of the jobs
    if unknown := set(asked.stages) - {"tune", *STAGES}:
        parser.error(f"no stage {', '.join(sorted(unknown))}: there are tune, {', '.join(STAGES)}")
    if unknown := set(of) - {*TASKS, TOGETHER}:
        parser.error(f"no task {', '.join(sorted(unknown))}: there are {', '.join((*TASKS, TOGETHER))}")
    for stage in asked.stages or ["tune", *STAGES]:
        tuning = stage == "tune"
        for methods, tasks, seeds, more in SEARCHES if tuning else STAGES[stage]:
            command = (methods, tuple(task for task in tasks if task in of), seeds, more)
            if not command[1]:
                continue
            words = tune_arguments(command) if tuning else run_arguments(command)
            if asked.list:
                print(f"{stage}:{'' if tuning else f' {len(specs(command))}'} bench {' '.join(words)}")
            elif code := main(words):
                sys.exit(code)
