"""Print the tables of finding.md and README.md: `.venv/bin/python results/mini/finding.py`, from the checkout's root.

Each table compares two methods on their common seeds, from the records in this folder. `--write` replaces the tables in
the two pages. Comparisons without records are omitted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from audit import Measured, primary
from reproduce import FIVE, FOLDER, JOINT_TASK, TASKS, TEN

from bench.files import write_text
from bench.records.schema import Record
from bench.report.formatting import NONE, p_value
from bench.report.stats import ALPHA, holm, paired_test, smallest_gain
from bench.text.markdown import table as markdown

ALL = "all tasks"


@dataclass(frozen=True)
class Question:
    """A comparison of two methods or variations, by their labels in experiment.toml."""

    title: str
    a: str
    b: str


QUESTIONS = (
    Question("CoLA over LoRA, both of CoLA's size", "cola", "lora-cola-size"),
    Question("CoLA over LoRA, each of its own size", "cola", "lora"),
    Question("LoRA of CoLA's size over LoRA", "lora-cola-size", "lora"),
    Question("CoLA over DoRA, both of CoLA's size", "cola", "dora-cola-size"),
    Question("CoLA on DoRA over DoRA, both of CoLA's size", "cola-dora-cola-size", "dora-cola-size"),
    Question("CoLA on DoRA over CoLA, both of CoLA's size", "cola-dora-cola-size", "cola"),
    Question("CoLA on AdaLoRA over AdaLoRA, each of its own size", "cola-adalora", "adalora"),
    Question("CoLA on AdaLoRA over CoLA, each of its own size", "cola-adalora", "cola"),
)

HEADER = ("", "seeds", "first", "second", "difference", "95% interval", "%", "p", "significant", "parameters")


@dataclass(frozen=True)
class Compared:
    """The scores of two methods on the same seeds, by seed."""

    name: str
    a: dict[int, float]
    b: dict[int, float]
    parameters: str

    @property
    def differences(self) -> list[float]:
        """The differences of the two scores, seed by seed."""
        return [self.a[seed] - self.b[seed] for seed in self.a]


Runs = Mapping[tuple[str, str], Mapping[int, Record]]
"""Records by task and method, then by seed."""


def usual_runs(measured: Measured) -> Runs:
    """Return the records with the usual epochs and both modalities on each task, of all seeds and sizes."""
    return measured.runs("main", "budget", "more-seeds")


def answers(question: Question, runs: Runs) -> list[Compared]:
    """Return one comparison per task, and one of the mean over all tasks on the seeds that every task has."""
    comparisons = []
    for task in TASKS:
        if compared := compare(task, runs[task, question.a], runs[task, question.b]):
            comparisons.append(compared)
    complete = len(comparisons) == len(TASKS)
    seeds = set.intersection(*(set(compared.a) for compared in comparisons)) if complete else set()
    if seeds:
        means = (
            {seed: fmean(scores[seed] for scores in side) for seed in sorted(seeds)}
            for side in ([compared.a for compared in comparisons], [compared.b for compared in comparisons])
        )
        comparisons.append(Compared(ALL, *means, NONE))
    return comparisons


def ablations(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """Yield tables of CoLA's ablations and of its paths in one direction, for each task that has them."""
    runs, usual = measured.runs("ablations"), measured.runs("main")
    for task in dict.fromkeys(task for task, _ in runs):
        whole, lora = usual[task, "cola"], usual[task, "lora"]
        changed = {label: records for (name, label), records in runs.items() if name == task}
        one_way = [name for name in changed if name.startswith("paths=")]
        for title, names, b in (
            (f"Ablations of CoLA on {task}, over CoLA as it is", changed, whole),
            (f"CoLA with a path one way on {task}, over LoRA", one_way, lora),
        ):
            candidates = [compare(name, changed[name], b) for name in names]
            if comparisons := [compared for compared in candidates if compared]:
                yield title, comparisons


def longer(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """Yield tables on whether CoLA merely learns faster: its gain with twice the epochs, and what they add."""
    between = []
    twice, usual = measured.runs("longer"), measured.runs("main")
    for task in dict.fromkeys(task for task, _ in twice):
        between.append(compare(task, twice[task, "cola"], twice[task, "lora"]))
    gained = [compare(f"{task}, {method}", twice[task, method], usual[task, method]) for task, method in twice]
    for title, candidates in (
        ("CoLA over LoRA, each of its own size, with twice the epochs", between),
        ("Twice the epochs over the usual", gained),
    ):
        if comparisons := [compared for compared in candidates if compared]:
            yield title, comparisons


def joint(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """Yield the comparisons for one model that learns all grounding tasks."""
    comparisons = []
    runs = measured.runs("together", "together-budget", "together-more-seeds")
    for question in QUESTIONS:
        if compared := compare(question.title, runs[JOINT_TASK, question.a], runs[JOINT_TASK, question.b]):
            comparisons.append(compared)
    if comparisons:
        yield "All grounding tasks in one model", comparisons


def compare(name: str, a: Mapping[int, Record], b: Mapping[int, Record]) -> Compared | None:
    """Return the comparison of two methods on their common seeds; None if there are none."""
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    sides = (a, b)
    trained = (f"{records[seeds[0]].parameters.adapter:,}" for records in sides)  # type: ignore[union-attr]
    scores = ({seed: primary(records[seed]) for seed in seeds} for records in sides)
    return Compared(name, *scores, " to ".join(trained))


def interval(low: float, high: float, digits: int) -> str:
    """Return an interval as text, with signs: "-0.4 to +4.0"."""
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def table(comparisons: Sequence[Compared]) -> str:
    """Return the comparisons as Markdown; p is from the paired t-test, after Holm's correction over the table."""
    tests = [paired_test(compared.differences) for compared in comparisons]
    corrected = iter(holm([test[2] for test in tests if test]))
    lines = []
    for compared, test in zip(comparisons, tests, strict=True):
        a, b = fmean(compared.a.values()), fmean(compared.b.values())
        gain = fmean(compared.differences)
        line = [compared.name, str(len(compared.a)), f"{a:.2f}", f"{b:.2f}", f"{gain:+.2f}"]
        if test:
            p = next(corrected)
            significant = "yes" if p < ALPHA else "no"
            line += [interval(test[0], test[1], 2), f"{100 * gain / b:+.1f}", p_value(p), significant]
        else:
            line += [NONE] * 4
        lines.append([*line, compared.parameters])
    return markdown(HEADER, lines)


def tables(measured: Measured) -> str:
    """Return all tables that have records, each under its title."""
    parts = []
    runs = usual_runs(measured)
    for question in QUESTIONS:
        if comparisons := answers(question, runs):
            parts += [f"### {question.title}", table(comparisons)]
    for part in (longer, joint, ablations):
        for title, comparisons in part(measured):
            parts += [f"### {title}", table(comparisons)]
    return "\n\n".join(parts) + "\n"


RESOLVED = (
    Question("CoLA over LoRA", "cola", "lora"),
    Question("DoRA over LoRA", "dora", "lora"),
)


def resolution(measured: Measured) -> str:
    """Return a table of the true gains that the paired t-test detects with probability 0.8."""
    lines = []
    for question in RESOLVED:
        comparisons = answers(question, usual_runs(measured))
        for compared in comparisons:
            if len(compared.differences) > 1:
                deviation = stdev(compared.differences)
                gains = (
                    smallest_gain(deviation, len(seeds), alpha=ALPHA / tests)
                    for tests in (1, len(comparisons))
                    for seeds in (FIVE, TEN)
                )
                cells = (str(len(compared.differences)), f"{deviation:.2f}", *(f"{gain:.1f}" for gain in gains))
                lines.append([f"{question.title}, {compared.name}", *cells])
    header = [
        f"{kind}, {len(seeds)} seeds" for kind in ("single comparison", "one of a table") for seeds in (FIVE, TEN)
    ]
    return markdown(["", "seeds", "deviation", *header], lines) + "\n"


PAGES: dict[Path, tuple[str, Callable[[Measured], str]]] = {
    FOLDER / "finding.md": ("## Tables\n", tables),
    FOLDER / "README.md": ("## Smallest gains\n", resolution),
}
"""The heading in each page under which tables are written, to the page's end, and the function that makes them."""


def main() -> None:
    """Print the tables, or write them to the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write them to " + " and ".join(p.name for p in PAGES))
    write, measured = parser.parse_args().write, Measured()
    for page, (heading, make) in PAGES.items():
        if write:
            text, separator, _ = page.read_text(encoding="utf-8").partition(heading)
            if not separator:
                parser.error(f"{page} has no line {heading.strip()!r} under which to write them")
            write_text(page, f"{text}{heading}\n{make(measured)}")
        else:
            print(f"{heading}\n{make(measured)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the reader, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
