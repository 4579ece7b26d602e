"""Differences in the origin of a table's runs: commits, software, machines, code and encoders, as far as recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from bench.records.schema import Code, Record
from bench.report.formatting import runs
from bench.report.grouping import Table

DISTRIBUTION = "crossmodal-bench"


def origins(table: Table) -> Iterator[str]:
    """Yield lines of plain text about commits, software and machines, code and encoders, and records left out."""
    records = [*table.records, *(record for row in table.controls for record in row.records)]
    if line := _commits(records):
        yield line
    if parts := [*_software(records), *_machines(records)]:
        yield f"Even equal runs may score differently, because these differ: {'; '.join(parts)}"
    if parts := [*_code(records)]:
        yield f"Code or encoders differ: {'; '.join(parts)}"
    yield from _extra_records([*records, *table.failed])


def _commits(records: Sequence[Record]) -> str:
    commits = {record.environment.commit for record in records if record.environment} - {None}
    dirty = sum(bool(record.environment and record.environment.dirty) for record in records)
    parts = [f"{len(commits)} commits of this package"] if len(commits) > 1 else []
    parts += [f"uncommitted changes in {runs(dirty)}"] if dirty else []
    return f"Run with {', '.join(parts)}" if parts else ""


def _software(records: Sequence[Record]) -> Iterator[str]:
    environments = [record.environment for record in records if record.environment]
    for package in dict.fromkeys(name for item in environments for name in item.versions):
        yield from _varieties(package, (item.versions.get(package) for item in environments))


def _machines(records: Sequence[Record]) -> Iterator[str]:
    environments = [record.environment for record in records if record.environment]
    for name in ("precision", "processor", "instructions"):
        yield from _varieties(name, (getattr(item, name) for item in environments))
    recorded = [item.variables for item in environments if item.variables is not None]
    for variable in dict.fromkeys(name for item in recorded for name in item):
        yield from _varieties(variable, (item.get(variable, "unset") for item in recorded))


def _code(records: Sequence[Record]) -> Iterator[str]:
    """Yield differences in the code of each method and of the task, and in the encoders by stream."""
    recorded = [(record.spec.method, record.provenance) for record in records if record.provenance]
    for method in dict.fromkeys(name for name, _ in recorded):
        yield from _code_versions(method, [item.method for name, item in recorded if name == method])
    yield from _code_versions("the task", [item.task for _, item in recorded])
    for stream in dict.fromkeys(name for _, item in recorded for name in item.encoders):
        yield from _counted(f"encoder of {stream}", (item.encoders.get(stream) for _, item in recorded))


def _code_versions(name: str, code: Sequence[Code]) -> Iterator[str]:
    yield from _counted(f"code of {name}", (item.checksum for item in code))
    for distribution in dict.fromkeys(item.distribution for item in code if item.distribution):
        if distribution == DISTRIBUTION:  # its version is among those of the software
            continue
        yield from _varieties(distribution, (item.version for item in code if item.distribution == distribution))


def _varieties(name: str, values: Iterable[str | None]) -> Iterator[str]:
    """Yield the different values, each with its number of runs, if there are several."""
    counts = Counter(value for value in values if value is not None)
    if len(counts) > 1:
        yield f"{name} {', '.join(f'{value} in {runs(count)}' for value, count in sorted(counts.items()))}"


def _counted(name: str, checksums: Iterable[str | None]) -> Iterator[str]:
    """Yield the number of different checksums, with the number of runs of each, if there are several."""
    counts = sorted(Counter(value for value in checksums if value is not None).values(), reverse=True)
    if len(counts) > 1:
        yield f"{name} in {len(counts)} versions (of {', '.join(map(str, counts[:-1]))} and {runs(counts[-1])})"


def _extra_records(records: Sequence[Record]) -> Iterator[str]:
    """Yield lines about further records of the same runs, which do not count."""
    if earlier := sum(len(record.file.earlier) for record in records):
        noun = f"record{'s' * (earlier != 1)}"
        reason = "from before code, encoders or data changed or a run failed"
        yield f"Left out: {earlier} earlier {noun} of these runs, {reason}"
    for record in records:
        if record.file.unequal:
            files = ", ".join(f"{name}.json" for name in record.file.unequal)
            yield f"Different records of the same run ({record.label}): {record.file.stem}.json counts, not {files}"
