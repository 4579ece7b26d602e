"""`make gpu` without a GPU: what it plans, how it goes on after crashes and interruptions, and what it reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[2])  # `perf` is not installed
    from perf import gpu, gpu_report, gpu_rows, gpu_variants, gpu_worker

SPREAD = {"median": 1.02, "low": 1.0, "high": 1.04}
ONE = {"median": 1.0, "low": 1.0, "high": 1.0}
FIGURES = {
    "step": {
        "LoRA": {"ms": 10.0, "ratio": ONE},
        "CoLA": {"ms": 10.2, "ratio": SPREAD},
        "CoLA, plain": {"ms": 20.4, "ratio": SPREAD},
    },
    "memory": {"LoRA": 100, "CoLA": 110, "CoLA, plain": 120},
}


class Clock:
    """Seconds that pass only when a worker works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Worker:
    """Stands in for the processes: measures rows in ten seconds each, except those that it is to fail at."""

    def __init__(self, results, clock, crashes=(), failures=(), broken=()):
        self.results, self.clock = results, clock
        self.crashes, self.failures, self.broken = set(crashes), set(failures), set(broken)
        self.calls = []

    def __call__(self, part, rows, seconds):
        self.calls.append((part, list(rows), seconds))
        if part in self.broken:
            return 1
        end = self.clock.now + seconds
        for name in rows:
            if self.clock.now >= end:
                return 0
            state = gpu_rows.read(self.results)
            state.begin(part, name)
            gpu_rows.write(self.results, state)
            if self.clock.now + 10 > end:
                self.clock.now = end
                return None
            self.clock.now += 10
            if name in self.crashes:
                return -11
            state.end(part, name, "failed" if name in self.failures else "measured", "a reason")
            gpu_rows.write(self.results, state)
        return 0

    def rows(self):
        return [(part, name) for part, names, _ in self.calls for name in names]


@pytest.fixture
def results(tmp_path):
    gpu_rows.write(tmp_path, gpu_rows.current(None, "H200", False, "2.11"))
    return tmp_path


def measure(results, worker, seconds=10_000.0):
    return gpu.measure(results, gpu.deadlines(list(gpu_rows.PARTS), seconds), worker, worker.clock)


ALL = [(part, name) for part, names in gpu_rows.plan().items() for name in names]


def test_all_methods_and_tasks_are_planned_lora_and_cola_first():
    rows = gpu_rows.plan()["profile"]
    assert rows[:3] == [f"{task}: lora cola" for task in ("ave", "avs", "refcoco")]
    planned = [(row.partition(": ")[0], method) for row in rows for method in row.partition(": ")[2].split()]
    methods = [name for name in registry.names("methods") if "<" not in name]
    assert sorted(planned) == sorted((task, method) for task in gpu_rows.TASKS for method in methods)
    assert {*gpu_rows.plan()["perf"], *gpu_rows.plan()["compiled"]} == gpu_variants.VARIANTS.keys()


def test_a_dry_run_plans_each_method_task_and_part():
    dry = gpu_rows.plan(dry=True)
    assert dry.keys() == gpu_rows.PARTS.keys() and all(dry.values())
    assert all(set(names) <= set(gpu_rows.plan()[part]) for part, names in dry.items())
    assert {row.partition(": ")[0] for row in dry["profile"]} == set(gpu_rows.TASKS)
    methods = {method for row in dry["profile"] for method in row.partition(": ")[2].split()}
    assert methods == {name for name in registry.names("methods") if "<" not in name}


def test_parts_share_the_time():
    ends = gpu.deadlines(list(gpu_rows.PARTS), 480)
    assert [*ends.values()] == sorted(ends.values()) and ends["compiled"] == 480
    assert gpu.deadlines(["profile"], 480) == {"profile": 480}


def test_everything_is_measured_once_and_not_again(results, capsys):
    first, second = (Worker(results, Clock()) for _ in range(2))
    assert measure(results, first) == 0 and first.rows() == ALL
    assert measure(results, second) == 0 and second.calls == []
    assert "profile: 18 of 18 rows are done" in capsys.readouterr().out


def test_a_crash_costs_one_row_and_is_tried_again_when_repeated(results, capsys):
    crashed = "avs: dora cola-dora"
    worker = Worker(results, Clock(), crashes=[crashed])
    assert measure(results, worker) == 1
    row = gpu_rows.read(results).row("profile", crashed)
    assert row.outcome == "failed" and "SIGSEGV" in row.text
    assert f"profile: {crashed}: failed" in capsys.readouterr().out
    repeated = Worker(results, Clock())
    assert measure(results, repeated) == 0 and repeated.rows() == [("profile", crashed)]


def test_a_failure_leaves_the_rest(results):
    worker = Worker(results, Clock(), failures=["eager"])
    assert measure(results, worker) == 1 and worker.rows() == ALL
    assert gpu_rows.read(results).pending("perf") == ["eager"]


def test_a_part_whose_process_does_not_start_leaves_the_others(results):
    assert measure(results, Worker(results, Clock(), broken=["perf"])) == 1
    state = gpu_rows.read(results)
    assert [part for part in gpu_rows.PARTS if state.pending(part)] == ["perf"]
    assert state.row("perf", "eager").text == "its process ended with 1"


def test_what_there_was_no_time_for_comes_first_when_repeated(results):
    worker = Worker(results, Clock())
    assert measure(results, worker, seconds=64) == 1 and worker.clock.now <= 64
    state = gpu_rows.read(results)
    (stopped,) = [n for n in state.plan()["profile"] if (row := state.row("profile", n)) and row.outcome == "failed"]
    assert "stopped" in state.row("profile", stopped).text
    done = [(part, name) for part, name in ALL if (row := state.row(part, name)) and row.done]
    repeated = Worker(results, Clock())
    assert measure(results, repeated) == 0
    assert sorted(repeated.rows()) == sorted(set(ALL) - set(done))
    assert [name for part, name in repeated.rows() if part == "profile"][-1] == stopped


@pytest.mark.parametrize(("device", "torch"), [("H100", "2.11"), ("H200", "2.12")])
def test_rows_of_another_machine_do_not_count(results, device, torch):
    measure(results, Worker(results, Clock()))
    state = gpu_rows.read(results)
    assert gpu_rows.current(state, "H200", False, "2.11") == state
    assert gpu_rows.current(state, device, False, torch).rows == {}
    assert gpu_rows.current(state, "H200", True, "2.11").rows == {}


def test_after_a_change_of_a_test_only_tests_run_again(results, tmp_path, monkeypatch):
    measure(results, Worker(results, Clock()))
    (tmp_path / "tests" / "gpu").mkdir(parents=True)
    (tmp_path / "bench").mkdir()
    before = gpu_rows.code_checksums(tmp_path)
    (tmp_path / "tests" / "gpu" / "test_more.py").touch()
    after = gpu_rows.code_checksums(tmp_path)
    assert [part for part in before if before[part] != after[part]] == ["tests"]
    (tmp_path / "bench" / "suite.toml").touch()
    assert all(after[part] != checksum for part, checksum in gpu_rows.code_checksums(tmp_path).items())
    state = gpu_rows.read(results)
    state.code["tests"] = "of earlier tests"
    assert gpu_rows.current(state, "H200", False, "2.11").rows.keys() == {"perf", "profile", "compiled"}


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == gpu.NO_GPU + "\n"


@pytest.mark.parametrize("arguments", [["--minutes", "0"], ["--minutes", "nan"], ["--minutes", "x"], ["--only", "x"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        gpu.main(arguments)
    assert caught.value.code == 2 and arguments[0] in capsys.readouterr().err


def test_a_damaged_file_of_rows_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "H200")
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    gpu_rows.path_of(tmp_path).write_text('{"device": 3}')
    assert gpu.main([]) == 2
    error = capsys.readouterr().err
    assert str(gpu_rows.path_of(tmp_path)) in error and "move it away" in error


def raising(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    ("measured", "outcome", "usable"),
    [
        (lambda *_: ("measured", "", {}), "measured", True),
        (raising(gpu_variants.UnsupportedError("CoLA: no")), "unsupported", False),
        (raising(ValueError("no")), "failed", True),
        (raising(RuntimeError("CUDA error: an illegal memory access")), "failed", False),
        (lambda *_: ("failed", "cola: RuntimeError: CUDA error: misaligned", {}), "failed", False),
    ],
)
def test_a_worker_records_what_becomes_of_a_row(results, monkeypatch, measured, outcome, usable):
    monkeypatch.setitem(gpu_worker._MEASURES, "perf", measured)
    assert gpu_worker.measure_row("perf", "CUDA graph", results, dry=False) is usable
    row = gpu_rows.read(results).row("perf", "CUDA graph")
    assert row.outcome == outcome and row.done == (outcome != "failed")
    assert ("no" in row.text or "CUDA" in row.text) == (outcome != "measured")
    assert (results / "gpu.md").exists()


class Uncompilable:
    """Stands in for a subject whose model torch cannot compile."""

    error: Exception = RuntimeError("graph break\nat this line")

    def __init__(self, *_):
        self.device = gpu_variants.torch.device("cpu")
        self.model = self

    def compile(self, **_):
        raise self.error

    def step(self):
        pass


def test_what_torch_cannot_compile_is_a_finding_and_other_errors_are_not(monkeypatch):
    monkeypatch.setattr(gpu_variants, "Subject", Uncompilable)
    cpu = gpu_variants.torch.device("cpu")

    def measured(name):
        return gpu_variants.measure(gpu_variants.VARIANTS[name], cpu, 1, gpu_variants.TINY)

    with pytest.raises(gpu_variants.UnsupportedError, match=r"^LoRA: RuntimeError: graph break$"):
        measured("torch.compile")
    with pytest.raises(gpu_variants.UnsupportedError, match="no CUDA graphs on a CPU"):
        measured("CUDA graph")
    monkeypatch.setattr(Uncompilable, "error", MemoryError())
    with pytest.raises(MemoryError):
        measured("torch.compile")
    monkeypatch.setattr(Uncompilable, "step", raising(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        measured("eager")


def test_the_page_has_ratios_targets_and_the_costs_that_were_published(results):
    state = gpu_rows.read(results)
    state.begin("perf", "eager")
    state.end("perf", "eager", "measured", "", FIGURES)
    state.begin("perf", "CUDA graph")
    state.end("perf", "CUDA graph", "unsupported", "LoRA: it waits for the device")
    lines = gpu_report.page(state, []).splitlines()

    def cells(*parts):
        (line,) = [line for line in lines if all(part in line for part in parts)]
        return [cell.strip() for cell in line.strip("|").split("|")]

    assert cells("step, CoLA against LoRA")[2:] == ["1.020 (1.00-1.04; 10.2 ms)", "1.05"]
    assert cells("step, CoLA against CoLA, plain")[2:] == ["0.500 (10.2 ms)", "0.7"]
    assert cells("memory, CoLA against LoRA")[2:] == ["1.100 (0 MB)", "1.05"]
    assert "it waits for the device" in cells("CUDA graph", "unsupported")[2]
    assert cells("memory MB")[1:] == ["12,948", "16,960", "x1.31"]
    assert "- perf: eager" not in lines and any(line.startswith("- profile: ave: lora cola") for line in lines)
