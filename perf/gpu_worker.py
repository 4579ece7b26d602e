"""A process that measures rows of one part of `make gpu`, one after the other: `perf/gpu.py` starts it.

It records each row when it begins and when it ends, so that its death, of whatever, costs one row.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import files
from bench.config.plan import RunRequest, make_plan
from bench.profiling import record as efficiency
from bench.profiling.measure import measure as measure_costs
from bench.report.profile_tables import page, terminal
from bench.system import memory_errors
from perf import gpu_report, gpu_rows, gpu_variants

UNUSABLE = 3
"""Exit code after an error that leaves CUDA unusable in this process: another one measures the other rows."""

_STICKY = ("CUDA error", "CUBLAS_STATUS_EXECUTION_FAILED", "device-side assert", "illegal memory access")
_ROUNDS = {"perf": 15, "profile": 3, "compiled": 10}

Outcome = tuple[gpu_rows.Outcome, str, dict[str, Any]]


def main() -> int:
    """Measure rows until the time is over; return `UNUSABLE` if another process must go on, else 0."""
    parser = argparse.ArgumentParser(prog="python -m perf.gpu_worker", description=__doc__)
    parser.add_argument("part", choices=gpu_rows.PARTS)
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    for name in args.rows:
        if time.monotonic() > end:
            break
        if not measure_row(args.part, name, args.results, args.dry):
            return UNUSABLE
    return 0


def measure_row(part: str, name: str, results: Path, dry: bool) -> bool:
    """Measure a row and record what became of it; return whether CUDA still works in this process."""
    state = gpu_rows.read(results)
    assert state, "perf/gpu.py writes the file before it starts a worker"
    print(f"\n{part}: {name}", flush=True)
    state.begin(part, name)
    gpu_rows.write(results, state)
    start = time.perf_counter()
    try:
        outcome, text, figures = _MEASURES[part](name, results, dry)
    except gpu_variants.UnsupportedError as error:
        outcome, text, figures = "unsupported", str(error), {}
    except Exception as error:  # of any kind: the other rows can still be measured
        reason = memory_errors.reason(error) if memory_errors.ran_out(error) else f"{type(error).__name__}: {error}"
        outcome, text, figures = "failed", reason, {}
    state.end(part, name, outcome, text, figures | {"seconds": round(time.perf_counter() - start, 1)})
    gpu_rows.write(results, state)
    files.write_text(results / "gpu.md", gpu_report.page(state, efficiency.read_all(results)))
    print(f"{part}: {name}: {outcome}{f': {text}' if text else ''}", flush=True)
    # A capture that fails may leave CUDA's state and its random numbers unusable.
    return outcome == "measured" or (outcome == "failed" and not any(sign in text for sign in _STICKY))


class _Outcomes:
    """A plugin of pytest that counts outcomes and notes why tests failed or were skipped."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
        if report.outcome == "failed":
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message.partition("\n")[0] if crash else str(report.longrepr).strip().rpartition("\n")[2]
            self.reasons.append(f"{report.nodeid.rpartition('::')[2]}: {message}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome == "failed":
            self.reasons.append(
                f"{report.nodeid} cannot be read: {str(report.longrepr).strip().rpartition(chr(10))[2]}"
            )


def _run_tests(name: str, results: Path, dry: bool) -> Outcome:
    os.environ["DRY"] = "1" if dry else "0"
    outcomes = _Outcomes()
    code = pytest.main([str(gpu_rows.ROOT / "tests" / "gpu" / name), "-p", "no:cacheprovider"], plugins=[outcomes])
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.counts.items())) or "no tests"
    return ("failed" if code else "measured"), "; ".join([counts, *outcomes.reasons]), dict(outcomes.counts)


def _measure_variant(name: str, results: Path, dry: bool) -> Outcome:
    device = torch.device("cpu" if dry else "cuda")
    size = gpu_variants.TINY if dry else gpu_variants.FULL
    rounds = 2 if dry else _ROUNDS["perf" if name in gpu_rows.plan(dry)["perf"] else "compiled"]
    figures = gpu_variants.measure(gpu_variants.VARIANTS[name], device, rounds, size)
    ratios = [f"{compared} {ratio}" for compared, ratio, _ in gpu_variants.lines(name, figures)]
    return "measured", "; ".join(ratios), figures


def _profile(name: str, results: Path, dry: bool) -> Outcome:
    """Measure as `bench profile` does, each group of methods by turns with LoRA."""
    task, _, methods = name.partition(": ")
    names = list(dict.fromkeys(["lora", *methods.split()]))
    specs = make_plan(RunRequest("mini" if dry else "full", names, [task]))
    rounds = 1 if dry else _ROUNDS["profile"]
    records, failed = measure_costs(specs, "cpu" if dry else "cuda", rounds)
    for record in records:
        efficiency.write(record, results)
    files.write_text(results / f"{efficiency.FOLDER}.md", page(efficiency.read_all(results)))
    if records:
        print(terminal(records), flush=True)
    if failed:
        return "failed", "; ".join(f"{method}: {reason}" for method, reason in failed.items()), {}
    return "measured", "", {}


_MEASURES: dict[str, Callable[[str, Path, bool], Outcome]] = {
    "tests": _run_tests,
    "perf": _measure_variant,
    "profile": _profile,
    "compiled": _measure_variant,
}


if __name__ == "__main__":
    sys.exit(main())
