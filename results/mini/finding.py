"""The tables of finding.md and README.md: `.venv/bin/python results/mini/finding.py`, from the checkout's root.

Each compares two methods on the seeds that both have, from the records beside this file. `--write` puts them in place
of those that the pages have; what has no records yet is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from audit import Measured, primary
from reproduce import FIVE, HERE, MATCHED, SHORTENED, STAGES, TASKS, TEN, TOGETHER

from bench.files import write_text
from bench.records.schema import Record
from bench.report.formatting import NONE, p_value
from bench.report.stats import ALPHA, holm, paired_test, smallest_gain
from bench.text.markdown import table as markdown

ALL = "all tasks"

Side = tuple[str, tuple[str, ...]]
"""A method, and the arguments of `bench run` that change it."""


@dataclass(frozen=True)
class Question:
    """Whether one method scores above another."""

    title: str
    one: Side
    other: Side


QUESTIONS = (
    Question("CoLA over LoRA, both of CoLA's size", ("cola", ()), ("lora", MATCHED)),
    Question("CoLA over LoRA, each of its own size", ("cola", ()), ("lora", ())),
    Question("LoRA of CoLA's size over LoRA", ("lora", MATCHED), ("lora", ())),
    Question("CoLA over DoRA, both of CoLA's size", ("cola", ()), ("dora", MATCHED)),
    Question("CoLA on DoRA over DoRA, both of CoLA's size", ("cola-dora", MATCHED), ("dora", MATCHED)),
    Question("CoLA on DoRA over CoLA, both of CoLA's size", ("cola-dora", MATCHED), ("cola", ())),
    Question("CoLA on AdaLoRA over AdaLoRA, each of its own size", ("cola-adalora", ()), ("adalora", ())),
    Question("CoLA on AdaLoRA over CoLA, each of its own size", ("cola-adalora", ()), ("cola", ())),
)

HEADER = ("", "seeds", "one", "other", "difference", "95% interval", "%", "p", "stands", "parameters")


@dataclass(frozen=True)
class Compared:
    """Scores of two methods on the same seeds, by seed."""

    name: str
    one: dict[int, float]
    other: dict[int, float]
    parameters: str

    @property
    def differences(self) -> list[float]:
        """Of the two, seed by seed."""
        return [self.one[seed] - self.other[seed] for seed in self.one]


Runs = Mapping[tuple[str, str], Mapping[int, Record]]
"""Records by task and method, then by seed."""


def runs(measured: Measured, side: Side) -> Runs:
    """Return the records of one side of a question, of all tasks."""
    method, more = side
    return measured.runs(((method,), TASKS, TEN, more))


def answers(question: Question, one: Runs, other: Runs) -> list[Compared]:
    """Return one comparison a task, and one of all tasks: the mean over tasks, on the seeds that every task has."""
    found = []
    for task in TASKS:
        its = (one.get((task, question.one[0]), {}), other.get((task, question.other[0]), {}))
        if compared := compare(task, *its):
            found.append(compared)
    seeds = set.intersection(*(set(each.one) for each in found)) if len(found) == len(TASKS) else set()
    if seeds:
        means = (
            {seed: fmean(its[seed] for its in sides) for seed in sorted(seeds)}
            for sides in ([each.one for each in found], [each.other for each in found])
        )
        found.append(Compared(ALL, *means, NONE))
    return found


def ablations(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """What CoLA loses or gains by each change, on each task that has been run with them, and what one path adds."""
    for task in dict.fromkeys(task for _, tasks, *_ in STAGES["ablations"] for task in tasks):
        whole, lora = (measured.runs(((m,), (task,), FIVE, ())).get((task, m), {}) for m in ("cola", "lora"))
        changed = {
            ", ".join(change.removeprefix("cola.") for change in more[1:]): measured.runs(
                (methods, (task,), seeds, more)
            )
            for methods, tasks, seeds, more in STAGES["ablations"]
            if task in tasks
        }
        one_way = [name for name in changed if name.startswith("paths=")]
        for title, names, other in (
            (f"Ablations of CoLA on {task}, over CoLA as it is", changed, whole),
            (f"CoLA with a path one way on {task}, over LoRA", one_way, lora),
        ):
            found = [compare(name, changed[name].get((task, "cola"), {}), other) for name in names]
            if there := [each for each in found if each]:
                yield title, there


def longer(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """Whether CoLA's gain is one of speed: CoLA over LoRA with twice the epochs, and what each gains from these."""
    between, gained = [], []
    for methods, tasks, seeds, more in STAGES["longer"]:
        for task in tasks:
            twice, usual = (measured.runs((methods, (task,), seeds, changes)) for changes in (more, ()))
            sides = (twice.get((task, "cola"), {}), twice.get((task, "lora"), {}))
            between.append(compare(task, *sides))
            gained += [compare(f"{task}, {m}", twice.get((task, m), {}), usual.get((task, m), {})) for m in methods]
    for title, found in (
        ("CoLA over LoRA, each of its own size, with twice the epochs", between),
        ("Twice the epochs over the usual", gained),
    ):
        if there := [each for each in found if each]:
            yield title, there


def together(measured: Measured) -> Iterator[tuple[str, list[Compared]]]:
    """Yield the same questions of one model that learns all grounding tasks."""
    found = []
    for question in QUESTIONS:
        sides = (
            measured.runs(((method,), (TOGETHER,), TEN, (*more, *SHORTENED))).get((TOGETHER, method), {})
            for method, more in (question.one, question.other)
        )
        if compared := compare(question.title, *sides):
            found.append(compared)
    if found:
        yield "All grounding tasks in one model", found


def compare(name: str, one: Mapping[int, Record], other: Mapping[int, Record]) -> Compared | None:
    """Return two methods by seed, on those that both have; None without any."""
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    trained = (f"{its[seeds[0]].parameters.adapter:,}" for its in (one, other))  # type: ignore[union-attr]
    return Compared(name, *({seed: primary(its[seed]) for seed in seeds} for its in (one, other)), " to ".join(trained))


def table(found: Sequence[Compared]) -> str:
    """Return the comparisons as Markdown; p is of the paired t-test, after Holm's correction over the table."""
    tests = [paired_test(each.differences) for each in found]
    corrected = iter(holm([test[2] for test in tests if test]))
    lines = []
    for each, test in zip(found, tests, strict=True):
        one, other, gain = (fmean(of) for of in (each.one.values(), each.other.values(), each.differences))
        line = [each.name, str(len(each.one)), f"{one:.2f}", f"{other:.2f}", f"{gain:+.2f}"]
        if test:
            p = next(corrected)
            stands = "no" if p >= ALPHA else "better" if gain > 0 else "worse"
            line += [f"{test[0]:+.2f} to {test[1]:+.2f}", f"{100 * gain / other:+.1f}", p_value(p), stands]
        else:
            line += [NONE] * 4
        lines.append([*line, each.parameters])
    return markdown(HEADER, lines)


def tables(measured: Measured) -> str:
    """Return all tables that there are records for, each under its title."""
    parts = []
    sides = {side: runs(measured, side) for each in QUESTIONS for side in (each.one, each.other)}
    for question in QUESTIONS:
        if found := answers(question, sides[question.one], sides[question.other]):
            parts += [f"### {question.title}", table(found)]
    for part in (longer, together, ablations):
        for title, found in part(measured):
            parts += [f"### {title}", table(found)]
    return "\n\n".join(parts) + "\n"


RESOLVED = (
    Question("CoLA over LoRA", ("cola", ()), ("lora", ())),
    Question("DoRA over LoRA", ("dora", ()), ("lora", ())),
)


def resolution(measured: Measured) -> str:
    """The true gains that the paired t-test finds with probability 0.8, as Markdown, from the deviations recorded."""
    lines = []
    for question in RESOLVED:
        found = answers(question, runs(measured, question.one), runs(measured, question.other))
        for each in found:
            if len(each.differences) > 1:
                deviation = stdev(each.differences)
                gains = (
                    smallest_gain(deviation, len(seeds), alpha=ALPHA / tests)
                    for tests in (1, len(found))
                    for seeds in (FIVE, TEN)
                )
                told = (str(len(each.differences)), f"{deviation:.2f}", *(f"{gain:.1f}" for gain in gains))
                lines.append([f"{question.title}, {each.name}", *told])
    header = [f"{which}, {len(seeds)} seeds" for which in ("asked alone", "one of a table") for seeds in (FIVE, TEN)]
    return markdown(["", "seeds", "deviation", *header], lines) + "\n"


PAGES: dict[Path, tuple[str, Callable[[Measured], str]]] = {
    HERE / "finding.md": ("## Tables\n", tables),
    HERE / "README.md": ("## Smallest gains\n", resolution),
}
"""What is written into a page, and the heading that it stands under, to the page's end."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into " + " and ".join(p.name for p in PAGES))
    write, measured = parser.parse_args().write, Measured()
    for page, (heading, make) in PAGES.items():
        if write:
            before, found, _ = page.read_text(encoding="utf-8").partition(heading)
            if not found:
                parser.error(f"{page} has no line {heading.strip()!r} to put them under")
            write_text(page, f"{before}{heading}\n{make(measured)}")
        else:
            print(f"{heading}\n{make(measured)}")
