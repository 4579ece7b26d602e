"""Readers of files that other commands or people wrote: suites, settings, and the files of a results folder."""

from __future__ import annotations

import io
import tempfile
from argparse import Namespace
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import valid_results

from bench.check.baseline import Baseline
from bench.errors import UsageError


def safetensors(folder: Path) -> None:
    from bench.methods.base import check_tensors, read_tensors

    path = folder / "adapter.safetensors"
    saved = read_tensors(path)
    check_tensors(saved, saved, path)


def manifest(folder: Path) -> None:
    """Read a manifest; its encoders may be missing, and the error must show their names, whatever these are."""
    from bench.saved_adapters.encoders import check_same, locate
    from bench.saved_adapters.manifest import read_manifest

    (folder / "head.safetensors").write_bytes(b"")
    manifest = read_manifest(folder)
    assert manifest
    model = "embedded:vision-v2"
    for call in (
        lambda: locate({"vision": {"model": "no/encoder"}}, {}, manifest.encoders),
        lambda: check_same({"vision": model}, manifest, None),
    ):
        with suppress(UsageError):
            call()


def suite(folder: Path) -> None:
    from bench.config.suite import load_suite

    suite = load_suite(str(folder / "a.toml"))
    for task in suite.tasks:
        suite.method_settings("cola", task)


def tuned(folder: Path) -> None:
    from bench.config.tuned_settings import read_tuned, write_tuned

    tuned = read_tuned(folder / "a.toml")
    pair = ("avs", "lora")
    write_tuned(folder / "a.toml", tuned.tuning, {pair: {"lr_adapter": 0.5}}, {pair: "found"})
    assert read_tuned(folder / "a.toml").values == {**tuned.values, pair: {"lr_adapter": 0.5}}


def record(folder: Path) -> None:
    from bench.records.specification import specification
    from bench.records.store import read, read_all
    from bench.report.export.frame import to_frame
    from bench.report.write import write_leaderboard

    path = folder / "records/ave-cola-s0.json"
    for record_path in valid_results.RECORDS.glob("*s0*"):
        (path.parent / "other.json").write_bytes(record_path.read_bytes())
    record = read(path)
    write_leaderboard(folder)
    to_frame(read_all(folder))
    specification(record, path)


def baseline(folder: Path) -> None:
    from bench.check.baseline import read
    from bench.check.compare import compare, incomparable
    from bench.check.table import markdown, terminal

    baseline, good = read(folder / "baseline.json"), _good_baseline()
    if baseline.tasks.keys() >= {"ave"} and baseline.tasks["ave"].methods.keys() >= {
        "lora",
        "cola",
    }:  # as `bench check` verifies first
        rows = compare(baseline, good, incomparable(baseline, good))
        terminal(rows, show_all=True)
        markdown(rows, [])


@cache
def _good_baseline() -> Baseline:
    from bench.check.baseline import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.json")
        path.write_bytes(valid_results.baselines()[0])
        return read(path)


def sample_scores(folder: Path) -> None:
    from bench.records.sample_scores import load

    scores = load(folder, "a", "accuracy")
    assert scores is None or scores[0].shape == scores[1].shape


def efficiency(folder: Path) -> None:
    from bench.profiling.record import read, read_all
    from bench.report.profile_tables import page, terminal

    record = read(folder / "efficiency/a.json")
    page(read_all(folder))
    terminal([record])


def claim(folder: Path) -> None:
    """Read a claim; an unreadable one has no owner, but is respected for a while."""
    from bench.cli import status
    from bench.cli.chosen_runs import OPTIONS
    from bench.execution.claims import Claims

    with redirect_stdout(io.StringIO()) as output:
        status.main(Namespace(**dict.fromkeys(("experiment", "stage", *OPTIONS)), results=folder))
    assert output.getvalue().replace("\n", "").isprintable()
    with Claims(folder) as claims:
        spec = valid_results.spec()
        taken, claim = claims.take(spec), claims.claim_on(spec)
        assert taken == (claim is not None and claim.token == claims.token)


def checkpoint(folder: Path) -> None:
    """Read a checkpoint; an unreadable one is ignored with a warning."""
    from bench.training.checkpoint import Checkpoint

    state = Checkpoint(folder / "a.pt", "me").load()
    assert state is None or isinstance(state, dict)


def prepared_array(folder: Path) -> None:
    """Read a damaged array that matches its manifest; unreadable ones are decoded again, without a message."""
    path = folder / "prepared/image.npy"
    content = path.read_bytes() if path.is_file() else valid_results.arrays()[0]
    (folder / "prepared/label.npy").write_bytes(content)
    (folder / "prepared/manifest.json").write_bytes(valid_results.manifest_of(content))
    _prepared(folder)


def prepared_manifest(folder: Path) -> None:
    """Read a damaged manifest of valid arrays."""
    for name in ("prepared/image.npy", "prepared/label.npy", "outside.npy"):
        (folder / name).write_bytes(valid_results.arrays()[0])
    _prepared(folder)


def _prepared(folder: Path) -> None:
    from bench.data.decoded_cache import _open

    columns = _open(folder / "prepared", valid_results.SAMPLES, "key")
    if columns:
        assert columns.columns.keys() <= {"image", "label"}
        assert len(columns[0]) and len(columns.__getitems__([0, valid_results.SAMPLES - 1]))
