from __future__ import annotations

import dataclasses

import made_standings
import mocks

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.execution.finished_runs import Existing
from bench.records import store
from bench.report.formatting import NONE
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.terminal import memory_note, run_table


def test_a_line_a_run_with_floors_and_failures(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"]))
    lines = run_table([mocks.record(plan[0], 70.125), mocks.failed(plan[1])]).splitlines()
    assert lines[0] == "suite mock, generated data v3 (world 7), not the benchmark's own"
    assert [line.split() for line in lines[2:]] == [
        ["task", "method", "seed", "status", "metric", "score", "adapter", "head", "%", "train", "/s", "MB", "s"],
        lines[3].split(),
        ["ave", "lora", "0", "ok", "accuracy", "70.12", "16,000", "2,500", "2.00", "151.2", "812", "55.5"],
        ["ave", "cola", "0", "failed", *[NONE] * 8],
        ["ave", "floor:", "sound", "alone", "accuracy", "41.50"],
        ["ave", "floor:", "constant", "answer", "accuracy", "30.00"],
        [],
        ["ave", "cola", "seed", "0", "failed:", "the", "loss", "is", "not", "finite", "at", "step", "3"],
    ]
    assert max(map(len, lines)) <= 120


def test_masked_parameters_are_told(mock_suite):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    record = mocks.record(spec)
    masked = dataclasses.replace(record, parameters=dataclasses.replace(record.parameters, active=12_000))
    assert "16,000 (12,000)" in run_table([masked])


def over_worlds(text):
    """The lines of the table over worlds as lists of words, and what is below it."""
    _, _, rest = text.partition("\n\nover worlds: ")
    _, table, below = rest.split("\n\n", 2)
    return [line.split() for line in table.splitlines()[2:]], below


def test_runs_in_several_worlds_have_the_means_of_the_leaderboard():
    records = made_standings.records_in_worlds(tasks=("ave", "avs"))
    for reference in ("lora", "cola"):
        lines, below = over_worlds(run_table(records, reference=reference))
        text = leaderboard(compute_standings(records, reference=reference), reference=reference)
        of_leaderboard = [
            line.replace("|", " ").split()
            for line in text.partition("## Over worlds")[2].partition("\n## ")[0].splitlines()
            if line.startswith(("| cola", "| lora"))
        ]
        assert lines == of_leaderboard and len(lines) == 6
    assert below.startswith("A world is the data drawn with another seed")


def test_runs_in_one_world_have_no_means_over_worlds(capsys):
    records = made_standings.records_in_worlds(worlds=1)
    assert "over worlds" not in run_table(records)
    of_two_tasks = [
        *made_standings.records_in_worlds(worlds=1),
        *(record for record in made_standings.records_in_worlds(worlds=2, tasks=("avs",)) if record.spec.data["seed"]),
    ]
    assert "over worlds" not in run_table(of_two_tasks), "no task is in two worlds"


def test_bench_run_prints_them(tmp_path, monkeypatch, capsys):
    """Of runs that are finished: nothing is trained."""
    plan = make_plan(RunRequest("mini", ["lora", "cola"], ["ave"], [0], worlds=[0, 1]))
    for spec in plan:
        store.write(mocks.record(spec, 70.0 + (spec.method == "cola")), tmp_path)
    monkeypatch.setattr(
        "bench.execution.finished_runs.look_up",
        lambda *args, **rest: Existing({record.id: record for record in store.read_all(tmp_path)}, {}),
    )
    arguments = ["--methods", "lora,cola", "--tasks", "ave", "--worlds", "0,1", "--reference", "cola"]
    assert cli.main(["run", *arguments, "--results", str(tmp_path)]) == 0
    lines, _ = over_worlds(capsys.readouterr().out)
    assert [line[:4] for line in lines] == [["cola", "ave", "accuracy", "71.00"], ["lora", "ave", "accuracy", "70.00"]]
    assert "-1.00" in lines[1]


def test_what_the_memory_is_of_is_told(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"]))
    measured, failed = mocks.record(plan[0]), mocks.failed(plan[1])
    on_gpu = dataclasses.replace(measured, memory=dataclasses.replace(measured.memory, kind="cuda allocator"))
    note = memory_note([measured, failed])
    assert note.startswith(
        "MB: the peak in training, of the process, with Python, libraries and samples; `bench profile`"
    )
    assert "of what PyTorch has allocated on the GPU; `bench" in memory_note([on_gpu])
    assert "and samples or of what PyTorch has allocated" in memory_note([measured, on_gpu])
    assert memory_note([failed]) == ""
