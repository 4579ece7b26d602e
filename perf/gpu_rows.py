"""What `make gpu` measures, row by row, and the file that says which rows are done."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import files, registry
from bench.errors import BenchError

ROOT = Path(__file__).resolve().parents[1]

Outcome = Literal["running", "measured", "unsupported", "failed"]
"""`running` while its process lives; `unsupported` if torch cannot compile or capture what was to be measured, which is
a finding and not a failure."""

PARTS = {"tests": 2.0, "perf": 1.25, "profile": 3.25, "compiled": 1.5}
"""The parts in the order of their value, with their minutes of eight. What a part leaves of its time, the next have."""

TASKS = ("ave", "avs", "refcoco")
_GROUPS = (("lora", "cola"), ("dora", "cola-dora"), ("adalora", "cola-adalora"), ("full", "head"))
_GROUP_SIZE = 3
_MAX_BYTES = 16 * files.MEBIBYTE


def plan(dry: bool = False) -> dict[str, list[str]]:
    """Return the names of the rows of each part, the most valuable first; for a dry run, some that run all code."""
    names = {
        "tests": sorted((path.name for path in (ROOT / "tests" / "gpu").glob("test_*.py")), key=_order),
        "perf": ["eager", "CUDA graph"],
        "profile": [f"{task}: {' '.join(group)}" for group in _groups() for task in TASKS],
        "compiled": [
            "torch.compile",
            "torch.compile with CUDA graphs",
            "torch.compile, plain form",
            "torch.compile with CUDA graphs, plain form",
        ],
    }
    if dry:  # each method on one task, each task with the first methods, and each way to compile once
        groups, tasks = len(_groups()), len(TASKS)
        names["profile"] = names["profile"][:tasks] + names["profile"][tasks::tasks][: groups - 1]
        del names["compiled"][2:]
    return names


def _order(tests: str) -> tuple[bool, str]:
    return tests == "test_losses.py", tests  # all methods on all tasks, also on the CPU


def _groups() -> list[tuple[str, ...]]:
    """Return all registered methods in groups that are measured by turns; families have no methods of that name."""
    named = {method for group in _GROUPS for method in group}
    rest = [name for name in registry.names("methods") if "<" not in name and name not in named]
    return [*_GROUPS, *(tuple(rest[start : start + _GROUP_SIZE]) for start in range(0, len(rest), _GROUP_SIZE))]


@dataclass
class Row:
    """A measurement.

    Attributes:
        outcome: What became of it.
        text: A line for people: the figures, or the reason why there are none.
        figures: The figures, for tables.
        started: When it began: UTC, ISO 8601.
    """

    outcome: Outcome
    text: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    started: str = ""

    @property
    def done(self) -> bool:
        """Whether it need not be measured again."""
        return self.outcome in ("measured", "unsupported")


@dataclass
class State:
    """The rows measured so far, by one machine and one version of the code.

    Attributes:
        device: Name of the GPU, or of the processor in a dry run.
        dry: Whether it is a dry run.
        torch: Version of torch.
        code: Checksums of the code, by part.
        rows: By part and name.
    """

    device: str
    dry: bool
    torch: str
    code: dict[str, str]
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)

    def row(self, part: str, name: str) -> Row | None:
        """Return a row, or None if it was never begun."""
        return self.rows.get(part, {}).get(name)

    def put(self, part: str, name: str, row: Row) -> None:
        """Replace a row."""
        self.rows.setdefault(part, {})[name] = row

    def begin(self, part: str, name: str) -> None:
        """Mark a row as being measured."""
        self.put(part, name, Row("running", started=datetime.now(timezone.utc).isoformat()))

    def end(self, part: str, name: str, outcome: Outcome, text: str, figures: Mapping[str, Any] | None = None) -> None:
        """Record what became of a row that was begun."""
        begun = self.row(part, name)
        self.put(part, name, Row(outcome, text, dict(figures or {}), begun.started if begun else ""))

    def plan(self) -> dict[str, list[str]]:
        """Return the names of all rows of each part."""
        return plan(self.dry)

    def pending(self, part: str) -> list[str]:
        """Return the rows of a part that are not done: those never begun first, then those that failed before."""
        left = [name for name in self.plan()[part] if not ((row := self.row(part, name)) and row.done)]
        return sorted(left, key=lambda name: self.row(part, name) is not None)


def path_of(results: Path) -> Path:
    """Return the path of the file of rows in a results folder."""
    return results / "gpu.json"


def read(results: Path) -> State | None:
    """Return the rows in a results folder; None without any.

    Raises:
        BenchError: The file cannot be read.
    """
    path = path_of(results)
    if not path.exists():
        return None
    try:
        return msgspec.convert(files.read_json(path, _MAX_BYTES), State)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise BenchError(
            f"{path} does not contain rows of `make gpu`: {error}; move it away to measure anew"
        ) from error


def write(results: Path, state: State) -> None:
    """Write the rows, atomically."""
    files.write_text(
        path_of(results), msgspec.json.format(msgspec.json.encode(asdict(state)), indent=2).decode() + "\n"
    )


def code_checksums(root: Path = ROOT) -> dict[str, str]:
    """Return 16 hex digits of the code that the rows of each part depend on: after a change they are measured anew."""
    measured = _checksum(root, "bench", "methods", "datasets", "perf")
    tests = _checksum(root, "tests/gpu")
    return {part: f"{measured}-{tests}" if part == "tests" else measured for part in PARTS}


def _checksum(root: Path, *folders: str) -> str:
    digest = hashlib.sha256()
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*"))]
    for path in paths:
        if path.suffix in (".py", ".toml"):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def current(earlier: State | None, device: str, dry: bool, torch_version: str) -> State:
    """Return the rows that still count: those of the same device, version of torch and code."""
    state = State(device, dry, torch_version, code_checksums())
    if earlier and (earlier.device, earlier.dry, earlier.torch) == (device, dry, torch_version):
        state.rows = {part: rows for part, rows in earlier.rows.items() if earlier.code.get(part) == state.code[part]}
    return state
