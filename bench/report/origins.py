"""What the runs of a table were made with, where it differs among them. What no record tells is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from bench.records.schema import Code, Record
from bench.report.formatting import runs
from bench.report.grouping import Table

OWN = "crossmodal-bench"


def origins(table: Table) -> Iterator[str]:
    """A line each, as plain text: commits, software and machines, code and encoders, records that do not count."""
    records = [*table.records, *(record for row in table.controls for record in row.records)]
    if line := _commits(records):
        yield line
    if parts := [*_software(records), *_machines(records)]:
        yield f"Equal runs can score differently, since these differ: {'; '.join(parts)}"
    if parts := [*_code(records)]:
        yield f"Code or encoders differ: {'; '.join(parts)}"
    yield from _beside([*records, *table.failed])


def _commits(records: Sequence[Record]) -> str:
    commits = {record.environment.commit for record in records if record.environment} - {None}
    dirty = sum(bool(record.environment and record.environment.dirty) for record in records)
    parts = [f"{len(commits)} commits of this package"] if len(commits) > 1 else []
    parts += [f"uncommitted changes in {runs(dirty)}"] if dirty else []
    return f"Made with {', '.join(parts)}" if parts else ""


def _software(records: Sequence[Record]) -> Iterator[str]:
    environments = [record.environment for record in records if record.environment]
    for package in dict.fromkeys(name for each in environments for name in each.versions):
        yield from _varieties(package, (each.versions.get(package) for each in environments))


def _machines(records: Sequence[Record]) -> Iterator[str]:
    environments = [record.environment for record in records if record.environment]
    for name in ("precision", "processor", "instructions"):
        yield from _varieties(name, (getattr(each, name) for each in environments))
    told = [each.variables for each in environments if each.variables is not None]
    for variable in dict.fromkeys(name for each in told for name in each):
        yield from _varieties(variable, (each.get(variable, "unset") for each in told))


def _code(records: Sequence[Record]) -> Iterator[str]:
    """Code of each method, of the task, and encoders by stream."""
    told = [(record.spec.method, record.provenance) for record in records if record.provenance]
    for method in dict.fromkeys(name for name, _ in told):
        yield from _of_code(method, [each.method for name, each in told if name == method])
    yield from _of_code("the task", [each.task for _, each in told])
    for stream in dict.fromkeys(name for _, each in told for name in each.encoders):
        yield from _counted(f"encoder of {stream}", (each.encoders.get(stream) for _, each in told))


def _of_code(name: str, code: Sequence[Code]) -> Iterator[str]:
    yield from _counted(f"code of {name}", (each.checksum for each in code))
    for distribution in dict.fromkeys(each.distribution for each in code if each.distribution):
        if distribution == OWN:  # whose version is told with the other software's
            continue
        yield from _varieties(distribution, (each.version for each in code if each.distribution == distribution))


def _varieties(name: str, values: Iterable[str | None]) -> Iterator[str]:
    """Values of which there are several, with the number of runs that have each."""
    counts = Counter(value for value in values if value is not None)
    if len(counts) > 1:
        yield f"{name} {', '.join(f'{value} in {runs(count)}' for value, count in sorted(counts.items()))}"


def _counted(name: str, checksums: Iterable[str | None]) -> Iterator[str]:
    """How many of something there are, with the number of runs that have each."""
    counts = sorted(Counter(value for value in checksums if value is not None).values(), reverse=True)
    if len(counts) > 1:
        yield f"{name} in {len(counts)} versions (of {', '.join(map(str, counts[:-1]))} and {runs(counts[-1])})"


def _beside(records: Sequence[Record]) -> Iterator[str]:
    """Records of the same runs that do not count."""
    if earlier := sum(len(record.file.earlier) for record in records):
        noun = f"record{'s' * (earlier != 1)}"
        before = "from before code, encoders or data changed or a run failed"
        yield f"Left out: {earlier} earlier {noun} of these runs, {before}"
    for record in records:
        if record.file.unequal:
            others = ", ".join(f"{name}.json" for name in record.file.unequal)
            yield f"Different records of the same run ({record.label}): {record.file.stem}.json counts, not {others}"
