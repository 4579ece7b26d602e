"""Efficiency records: written and read back, strictly, and never taken for a run's."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import mocks
import pytest

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError
from bench.measurement.spread import Spread
from bench.profiling import record as efficiency
from bench.profiling.record import Against, Efficiency, Operations, Speed, StepMemory
from bench.records import schema, store
from bench.report.profile_tables import page, terminal


def record_of(spec, /, **changes: Any) -> Efficiency:
    """Return an efficiency record with plausible values."""
    spread = Spread(2.0, 1.5, 2.5)
    record = Efficiency(
        kind="efficiency",
        schema=efficiency.SCHEMA,
        id=efficiency.record_id(spec, "cpu", 4),
        spec=spec,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
        batch_size=4,
        rounds=5,
        parameters=schema.Parameters(1000, 100, 1100, total=5000, streams=3900, percent=25.6),
        operations=Operations(3e9, 1e9),
        memory=StepMemory("kept", 12_000_000, 40_000_000),
        speed=Speed(spread, spread, None),
        against=Against("lora", spread, spread, None, 1.31, 1.01, 1.02),
        environment=mocks.ENVIRONMENT,
    )
    return replace(record, **changes)


@pytest.fixture
def specs(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"]))


def test_what_is_written_is_read(specs, tmp_path):
    written = [record_of(spec) for spec in specs]
    paths = [efficiency.write(record, tmp_path) for record in written]
    assert [path.parent for path in paths] == [tmp_path / "efficiency"] * 2
    assert all(
        spec.method in path.name and "ave" in path.name and "cpu" in path.name
        for spec, path in zip(specs, paths, strict=True)
    )
    assert [efficiency.read(path) for path in paths] == written
    assert sorted(efficiency.read_all(tmp_path), key=lambda r: r.id) == sorted(written, key=lambda r: r.id)
    assert json.loads(paths[0].read_text())["kind"] == "efficiency"


def test_they_are_no_records_of_runs_and_runs_are_none(specs, tmp_path):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    assert store.read_all(tmp_path) == []
    with pytest.raises(BenchError, match="not a readable record"):
        store.read(path)
    with pytest.raises(BenchError, match="not an efficiency record"):
        efficiency.read(store.write(mocks.record(specs[0]), tmp_path))
    assert "score" not in json.loads(path.read_text()) and "scores" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 3}, "schema is 3"),
        ({"score": 70.0}, "unknown keys: score"),
        ({"kind": "run"}, "kind"),
        ({"rounds": "five"}, "rounds"),
        ({"memory": {"kind": "kept", "step": 1, "resident": 2, "peak": 3}}, "unknown keys: memory.peak"),
        ({"speed": None}, "speed"),
        ({"batch_size": 0}, r"\$\.batch_size"),
        ({"operations": {"train": 1e300, "score": 1.0}}, r"operations\.train"),
        ({"environment": asdict(mocks.ENVIRONMENT) | {"threads": 10**30}}, r"\$\.environment\.threads"),
        ({"spec": {"task": []}}, r"\$\.spec"),
    ],
)
def test_reading_is_strict(specs, tmp_path, change, message, caplog):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BenchError, match=message):
        efficiency.read(path)
    assert efficiency.read_all(tmp_path) == [] and path.name in caplog.text


def test_records_of_schema_1_stay_readable(specs, tmp_path):
    parameters = schema.Parameters(1000, 100, 1100, total=5000, streams=3900, percent=25.6, active=900, no_gradient=64)
    record = record_of(specs[0], parameters=parameters)
    path = efficiency.write(record, tmp_path)
    content = json.loads(path.read_text())
    content["schema"] = 1
    content["parameters"]["effective"] = content["parameters"].pop("active")
    content["parameters"]["idle"] = content["parameters"].pop("no_gradient")
    path.write_text(json.dumps(content))
    assert efficiency.read(path) == record


def test_one_of_a_later_version_is_not_written_over(specs, tmp_path):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    later = json.dumps(json.loads(path.read_text()) | {"schema": 3})
    path.write_text(later)
    efficiency.write(record_of(specs[0]), tmp_path)
    assert efficiency.read(path) == record_of(specs[0])
    assert path.with_name(f"{path.stem}~1.json").read_text() == later


def test_a_number_that_is_none_and_a_pipe_are_left_out(specs, tmp_path, caplog):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    path.with_name("b.json").write_text(path.read_text().replace('"rounds"', '"rounds": NaN, "more"'))
    path.with_name("c.json").write_text("[" * 100_000)
    os.mkfifo(path.with_name("d.json"))
    assert efficiency.read_all(tmp_path) == [record_of(specs[0])]
    assert [name in message for name, message in zip("bcd", caplog.messages, strict=True)] == [True] * 3


def test_a_file_of_half_a_record_is_never_there(specs, tmp_path, monkeypatch):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    initial = path.read_text()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        efficiency.write(record_of(specs[0], rounds=9), tmp_path)
    assert path.read_text() == initial and [*path.parent.iterdir()] == [path]


def test_other_devices_and_batches_lie_beside_one_another(specs, tmp_path):
    gpu = replace(mocks.ENVIRONMENT, device="NVIDIA H100 80GB HBM3")
    for record in (
        record_of(specs[0]),
        record_of(specs[0], rounds=6),
        record_of(specs[0], environment=gpu, id=efficiency.record_id(specs[0], gpu.device, 4)),
        record_of(specs[0], batch_size=8, id=efficiency.record_id(specs[0], "cpu", 8)),
    ):
        efficiency.write(record, tmp_path)
    assert len(efficiency.read_all(tmp_path)) == 3


def test_copies_count_once(specs, tmp_path, caplog):
    path = efficiency.write(record_of(specs[0]), tmp_path)
    copy = path.with_name("copy.json")
    copy.write_bytes(path.read_bytes())
    assert efficiency.read_all(tmp_path) == [record_of(specs[0])] and not caplog.messages
    later = record_of(specs[0], rounds=9, started="2026-02-01T00:00:00+00:00")
    copy.write_bytes(efficiency.write(later, tmp_path / "other").read_bytes())
    assert efficiency.read_all(tmp_path) == [record_of(specs[0])], "the file of its own name counts"
    (message,) = caplog.messages
    assert path.name in message and copy.name in message
    path.rename(path.with_name("a.json"))
    assert efficiency.read_all(tmp_path) == [later], "without it the latest"


def test_every_key_is_told_of():
    schemas = [Efficiency]
    for cls in schemas:
        for field in fields(cls):
            assert field.metadata["doc"].endswith("."), f"{cls.__name__}.{field.name}"
        schemas += [c for c in (Spread, Operations, StepMemory, Speed, Against) if is_dataclass(c) and c not in schemas]


def test_tables(specs):
    gpu_records = [record_of(spec, environment=replace(mocks.ENVIRONMENT, device="H100")) for spec in specs]
    text = page([*(record_of(spec) for spec in specs), *gpu_records])
    assert "random" in text and "there are no scores" in text
    assert text.count("## ave of suite mock on cpu, 4 samples per step") == 1
    assert text.count("## ave of suite mock on H100") == 1
    assert "x2.000 (1.50-2.50)" in text and "x1.310" in text and "1,000" in text and "5,000" in text
    page_of_two = page(
        [record_of(specs[0]), record_of(specs[0], spec=replace(specs[0], streams={"vision": {"model": "another"}}))]
    )
    assert page_of_two.count("## ave of suite mock") == 2 and "vision: model=another" in page_of_two
    twice = page([record_of(specs[1]), record_of(specs[1], spec=replace(specs[1], settings={"r": 99}))])
    assert twice.count("## ave of suite mock") == 1 and "cola (r=99)" in twice
    elsewhere = text[text.index("## Reported elsewhere") :]
    for figure in ("x0.81", "x0.875", "x1.31", "Not measured here", "CoLA against LoRA", "2604.03314"):
        assert figure in elsewhere
    assert "x0.81" not in text[: text.index("## Reported elsewhere")]
    assert "lora" in terminal([record_of(specs[0])]) and "cola" not in terminal([record_of(specs[0])])


def test_what_cannot_be_written_is_printed_and_the_next_task_measured(mock_suite, tmp_path, monkeypatch, capsys):
    from bench.profiling import measure

    monkeypatch.setattr(measure, "measure", lambda specs, *_: ([record_of(spec) for spec in specs], {}))
    monkeypatch.setattr(store, "check_writable", lambda _: None)
    arguments = ["--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave,avs", "--results", str(tmp_path)]
    with mocks.full_disk():
        assert cli.main(["profile", *arguments]) == 1
    out = capsys.readouterr().out
    assert out.count("printed above, cannot be written: ") == out.count('"parameters": {') == 2
    assert out.count("lora") >= 4 and "efficiency.md cannot be written" in out
