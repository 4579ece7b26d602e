"""Commands that share a results folder: each run is done once, and what a dead one claimed is taken over."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.errors import BenchError
from bench.execution import claims
from bench.execution.claims import ClaimLostError, Claims
from bench.execution.finished_runs import look_up
from bench.execution.local_executor import LocalExecutor
from bench.execution.sweep import sweep
from bench.records import schema, store


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(6)))


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(claims, "TOUCH_INTERVAL", 0.02)
    monkeypatch.setattr(claims, "STALE_AFTER", 0.3)
    monkeypatch.setattr("bench.execution.sweep._POLL_INTERVAL", 0.02)


def rewritten(folder: Path, **changes: object) -> Path:
    """The only claim of the folder, as another process would have written it."""
    (path,) = folder.glob("claims/*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_a_run_is_claimed_once(plan, tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(plan[0]) and not two.take(plan[0]) and two.take(plan[1])
        assert one.owns(plan[0]) and not one.owns(plan[1])
        one.release(plan[0])
        assert not one.owns(plan[0]) and two.take(plan[0])
    assert not (tmp_path / "claims").exists(), "nothing is left"


def test_the_claim_of_a_dead_local_process_is_taken_over_at_once(plan, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from bench import registry; registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.execution.claims import Claims; from bench.config.plan import RunRequest, make_plan\n"
        "claims = Claims(Path(sys.argv[1])).__enter__()\n"
        "assert claims.take(make_plan(RunRequest(sys.argv[3], ['lora'], ['ave']))[0]); os._exit(9)"
    )
    suite = tmp_path / "mock.toml"
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(suite)]
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == 9
    assert len(list(tmp_path.glob("claims/*.json"))) == 1
    with Claims(tmp_path) as mine:
        assert mine.take(plan[0]) and mine.owns(plan[0])


def test_a_reused_process_number_is_another_process(plan, tmp_path):
    with Claims(tmp_path) as gone, Claims(tmp_path) as mine:
        assert gone.take(plan[0])
        rewritten(tmp_path, process_start="1 ticks")
        assert mine.take(plan[0])


@pytest.mark.parametrize("clock", [-1e6, 0.0, 1e6])
def test_a_remote_claim_is_taken_over_when_it_is_no_longer_touched(plan, tmp_path, fast, clock):
    """Whatever the clocks say: of the other machine, or of this one, which may jump."""
    with Claims(tmp_path) as mine:
        folder = tmp_path / "claims"
        folder.mkdir(exist_ok=True)
        claim = claims.Claim("t", "run", "elsewhere", "elsewhere 1", 1, "0 ticks", "2026-01-01T00:00:00+00:00")
        path = folder / f"{schema.stem(plan[0])}.json"
        path.write_text(json.dumps(asdict(claim)))
        at = time.time() + clock
        for beat in range(3):  # it lives, for as long as it is touched
            os.utime(path, (at + beat, at + beat))
            assert not mine.take(plan[0])
            time.sleep(0.2)
        time.sleep(0.2)
        assert mine.take(plan[0])


def test_a_truncated_claim_counts_until_it_is_stale(plan, tmp_path, fast):
    with Claims(tmp_path) as mine:
        path = tmp_path / "claims" / f"{schema.stem(plan[0])}.json"
        path.write_text('{"token": "a')
        assert not mine.take(plan[0])
        time.sleep(0.4)
        assert mine.take(plan[0])


@pytest.mark.parametrize(
    "changes", [{"pid": "1"}, {"pid": -1}, {"pid": 2**70}, {"token": ["t"]}, {"process_start": None}, {"run": 7}]
)
def test_a_malformed_claim_counts_until_it_is_stale(plan, tmp_path, fast, changes):
    with Claims(tmp_path) as mine:
        assert mine.take(plan[0])
        path = rewritten(tmp_path, **changes)
        content = path.read_text()
        mine.release(plan[0])
        path.write_text(content)
        claims.read_all(tmp_path)
        if not mine.take(plan[0]):
            time.sleep(0.4)
            assert mine.take(plan[0])


def test_only_one_of_several_commands_takes_over_a_stale_claim(plan, tmp_path, fast):
    with Claims(tmp_path) as gone:
        assert gone.take(plan[0])
        rewritten(tmp_path, process_start="1 ticks")
        others = [Claims(tmp_path) for _ in range(8)]
        stale = [other._stale(claims._path(other.folder, plan[0])) for other in others]  # all of them have seen it
        won = [
            other._remove_stale(claims._path(other.folder, plan[0]), old)
            for other, old in zip(others, stale, strict=True)
        ]
        assert won == [True] + [False] * 7


def test_a_new_claim_is_not_mistaken_for_the_stale_one(plan, tmp_path):
    with Claims(tmp_path) as gone, Claims(tmp_path) as fast, Claims(tmp_path) as late:
        assert gone.take(plan[0])
        path = rewritten(tmp_path, process_start="1 ticks")
        old = late._stale(path)
        assert old and fast.take(plan[0])
        assert not late._remove_stale(path, old)
        assert fast.owns(plan[0]) and not list(path.parent.glob(".*"))


def test_a_step_of_the_clock_removes_no_claim(plan, tmp_path, monkeypatch):
    """Times of day at which processes began move with the clock."""
    import psutil

    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        assert mine.take(plan[0])
        before = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: before(self) + 2)
        assert not other.take(plan[0]) and mine.owns(plan[0])


def test_a_full_disk_leaves_no_claim(plan, tmp_path):
    with Claims(tmp_path) as mine:
        with mocks.full_disk(), pytest.raises(BenchError, match=r"the claim .* cannot be created: .*File too large"):
            mine.take(plan[0])
        assert not list((tmp_path / "claims").iterdir())
        assert mine.take(plan[0])


def test_the_reason_for_a_lost_claim_is_reported(plan, tmp_path):
    with Claims(tmp_path) as mine:
        assert mine.take(plan[0])
        path, writing = tmp_path / "claims" / f"{schema.stem(plan[0])}.json", mine.holder(plan[0]).writing
        path.write_text("{")
        with (
            pytest.raises(ClaimLostError, match=r"the claim .*\.json of ave lora seed 0 cannot be read any more: "),
            writing(),
        ):
            pass
        shutil.rmtree(tmp_path / "claims")
        with (
            pytest.raises(ClaimLostError, match="is gone: the results folder was deleted or moved, or ") as lost,
            writing(),
        ):
            pass
        assert str(path) in str(lost.value) and "sign of life" not in str(lost.value)


@pytest.mark.parametrize("full", [False, True])
def test_claims_work_on_a_file_system_without_links(plan, tmp_path, monkeypatch, full):
    def link(*_, **__):
        if full:
            stack.enter_context(mocks.full_disk())
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with Claims(tmp_path) as one, Claims(tmp_path) as two, ExitStack() as stack:
        if not full:
            assert one.take(plan[0]) and not two.take(plan[0]) and one.owns(plan[0])
            return
        with pytest.raises(BenchError, match=r"cannot be created: .*File too large"):
            one.take(plan[0])
        assert not list((tmp_path / "claims").iterdir())


def test_all_claims_of_dead_processes_are_removed(plan, tmp_path):
    with Claims(tmp_path) as gone:
        assert gone.take(plan[0])
        content = rewritten(tmp_path, process_start="1 ticks").read_text()
    path = tmp_path / "claims" / "ave-lora-seed9-of-another-plan.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert list(sweep([], tmp_path, RunOptions())) == [] and not (tmp_path / "claims").exists()


def test_a_waiting_command_names_the_process_it_waits_for(plan, tmp_path, runs, fast, caplog):
    with Claims(tmp_path) as other:
        assert other.take(plan[0])
        (tmp_path / "claims" / f"{schema.stem(plan[1])}.json").touch()  # as older versions left it on a full disk
        swept = sweep(plan[:3], tmp_path, RunOptions())
        assert [next(swept).spec.seed for _ in range(2)] == [2, 1], "nothing touches the empty one"
        other.release(plan[0])
        assert next(swept).spec.seed == 0
    first, second = (each.message for each in caplog.records)
    assert first.startswith(f"waiting for ave lora seed 0: process {os.getpid()} on ")
    assert second.startswith("waiting for ave lora seed 1: its claim cannot be read; it is taken over after ")


def test_a_suspended_process_writes_nothing_after_its_run_is_taken_over(plan, mock_suite, tmp_path, fast):
    """A real process, really stopped."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from bench import registry, files; registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.execution.claims import Claims, ClaimLostError\n"
        "from bench.config.plan import RunRequest, make_plan\n"
        "results = Path(sys.argv[1]); spec = make_plan(RunRequest(sys.argv[3], ['lora'], ['ave']))[0]\n"
        "with Claims(results) as claims:\n"
        "    assert claims.take(spec); guard = claims.holder(spec).writing\n"
        "    files.write_text(results / 'early', 'mine', guard)\n"
        "    print('has begun', flush=True); sys.stdin.readline()\n"
        "    try:\n"
        "        with files.atomic_folder(results / 'late', guard=guard) as folder: (folder / 'file').touch()\n"
        "    except ClaimLostError as error: print(error, flush=True)\n"
    )
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(mock_suite)]
    command, pipe = [sys.executable, "-c", code, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process, Claims(tmp_path) as mine:
        assert process.stdout.readline() == "has begun\n"
        process.send_signal(signal.SIGSTOP)
        assert not mine.take(plan[0]), "it may go on at once"
        time.sleep(0.4)
        assert mine.take(plan[0])
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate("go on\n", timeout=30)
        assert mine.owns(plan[0])
    assert process.returncode == 0
    assert output.startswith(f"ave lora seed 0 was taken over by process {os.getpid()} on ")
    assert (tmp_path / "early").exists() and not (tmp_path / "late").exists() and not list(tmp_path.glob(".*"))


def test_a_claim_is_not_taken_over_while_its_holder_writes(plan, tmp_path):
    with Claims(tmp_path) as stopped, Claims(tmp_path) as mine:
        assert stopped.take(plan[0])
        rewritten(tmp_path, process_start="1 ticks")  # as if it were gone
        with stopped.holder(plan[0]).writing():
            assert not mine.take(plan[0])
        assert mine.take(plan[0])


def test_a_record_is_written_if_its_claim_was_deleted_and_no_command_does_the_run(plan, tmp_path, monkeypatch):
    """As where somebody has deleted the folder of the claims."""

    def execute(spec, options):
        for path in (tmp_path / "claims").iterdir():
            path.unlink()
        return mocks.record(spec, 99.0)

    monkeypatch.setattr("bench.execution.single_run.execute", execute)
    assert [record.spec.seed for record in sweep(plan[:2], tmp_path, RunOptions())] == [0, 1]
    assert len(store.read_all(tmp_path)) == 2


def test_a_claim_is_touched_regularly(plan, tmp_path, fast):
    with Claims(tmp_path) as mine:
        mine.take(plan[0])
        (path,) = tmp_path.glob("claims/*.json")
        before = path.stat().st_mtime_ns
        time.sleep(0.2)
        assert path.stat().st_mtime_ns > before


def test_a_folder_that_cannot_be_written_is_reported(plan, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="claims cannot be written to"), Claims(tmp_path / "file"):
        pass


class Runs:
    """Stands for `bench.execution.single_run.execute`."""

    def __init__(self):
        self.done = []

    def __call__(self, spec, options):
        self.done.append(spec)
        return mocks.record(spec)


@pytest.fixture
def runs(monkeypatch):
    stand_in = Runs()
    monkeypatch.setattr("bench.execution.single_run.execute", stand_in)
    return stand_in


def test_two_sweeps_share_the_runs_and_both_have_all_records(plan, tmp_path, runs, fast):
    one, two = (sweep(plan, tmp_path, RunOptions()) for _ in range(2))
    ids_by_command = {name: [] for name in "ab"}
    for name, each in [("a", one), ("b", two), ("a", one), ("b", two)]:  # by turns, as in two processes
        ids_by_command[name].append(next(each).id)
    ids_by_command["a"] += [record.id for record in one]
    ids_by_command["b"] += [record.id for record in two]
    for ids in ids_by_command.values():
        assert sorted(ids) == sorted(spec.id for spec in plan)
    assert len(runs.done) == len(plan)


def test_superseded_runs_are_repeated(plan, tmp_path, runs):
    for spec in plan[:2]:
        store.write(mocks.failed(spec), tmp_path)
    superseded = {plan[1].id: mocks.failed(plan[1])}
    swept = sweep(plan[:2], tmp_path, RunOptions(), superseded=superseded)
    assert [record.status for record in swept] == ["ok", "failed"]
    assert [spec.seed for spec in runs.done] == [1]


def test_a_run_that_another_command_has_repeated_is_not_repeated(plan, tmp_path, runs):
    """Both began when the run had a record that is not to count; the other was first."""
    superseded = {plan[0].id: mocks.record(plan[0], 1.0)}
    store.write(mocks.record(plan[0], 2.0), tmp_path)
    (record,) = sweep(plan[:1], tmp_path, RunOptions(), superseded=superseded)
    assert record == mocks.record(plan[0], 2.0)
    assert not runs.done


def test_a_run_that_another_command_took_over_and_finished_is_not_written_again(plan, tmp_path, monkeypatch):
    def asleep(spec, options):
        rewritten(tmp_path, token="other")
        store.write(mocks.record(spec, 99.0), tmp_path)
        return mocks.record(spec, 1.0)

    monkeypatch.setattr("bench.execution.single_run.execute", asleep)
    list(sweep(plan[:1], tmp_path, RunOptions()))
    (record,) = store.read_all(tmp_path)
    assert record.scores.test[record.scores.metric] == 99.0


def test_the_run_of_a_truncated_record_is_repeated(plan, tmp_path, runs, caplog):
    path = store.write(mocks.record(plan[0]), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert look_up(plan[:1], tmp_path).finished == {}
    assert [record.status for record in sweep(plan[:1], tmp_path, RunOptions())] == ["ok"]
    assert f"{path} is not a readable record" in caplog.text and "the run is done again" in caplog.text
    assert store.read(path).id == plan[0].id


def test_a_record_of_a_later_version_is_not_overwritten(plan, tmp_path, runs):
    path = store.write(mocks.record(plan[0]), tmp_path)
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(BenchError, match="schema is 3, and this version of bench reads up to 2"):
        look_up(plan[:1], tmp_path)
    with pytest.raises(BenchError, match="schema is 3"):
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert '"schema": 3' in path.read_text() and not runs.done


def test_a_full_disk_loses_no_record(plan, tmp_path, monkeypatch):
    """The record is part of the message, and no part of it stays in the folder."""

    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills(spec, options):
        monkeypatch.setattr(os, "fsync", fsync)
        return mocks.record(spec)

    monkeypatch.setattr("bench.execution.single_run.execute", fills)
    with pytest.raises(BenchError, match="No space left on device") as raised:
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert json.loads(str(raised.value).rpartition("\nthe record of")[0])["id"] == plan[0].id
    assert not list((tmp_path / "records").iterdir()) and not (tmp_path / "claims").exists()


def test_commands_of_several_processes_do_every_run_once(mock_suite, tmp_path):
    """Real processes, real files: eight commands want the same runs."""
    code = (
        "import sys, os, time; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from pathlib import Path; from bench import registry; from bench.execution import sweep\n"
        "registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.config.plan import RunRequest, make_plan\n"
        "def execute(spec, options):\n"
        "    open(sys.argv[1] + '/did', 'a').write(f'{spec.seed}\\n'); time.sleep(0.01); return mocks.record(spec)\n"
        "sys.modules['bench.execution.single_run'].execute = execute; sweep._POLL_INTERVAL = 0.01\n"
        "plan = make_plan(RunRequest(sys.argv[3], ['lora'], ['ave'], range(40)))\n"
        "from bench.config.run_options import RunOptions\n"
        "found = list(sweep.sweep(plan, Path(sys.argv[1]), RunOptions())); assert len(found) == 40"
    )
    stand_in = "import sys, types\n"  # torch is not needed
    stand_in += "sys.modules['bench.execution.single_run'] = types.ModuleType('bench.execution.single_run')\n"
    stand_in += "import bench.execution; bench.execution.single_run = sys.modules['bench.execution.single_run']\n"
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(mock_suite)]
    started = [subprocess.Popen([sys.executable, "-c", stand_in + code, *arguments]) for _ in range(8)]
    assert [process.wait(60) for process in started] == [0] * 8
    assert sorted(map(int, (tmp_path / "did").read_text().split())) == list(range(40))
    assert len(store.read_all(tmp_path)) == 40
    assert not [path for path in (tmp_path / "records").iterdir() if path.suffix != ".json"]


def test_a_run_that_a_signal_ends_has_failed(mock_suite, plan, tmp_path, monkeypatch, capsys):
    from bench import cli

    def asked_to_end(spec, options):
        if spec.seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return mocks.record(spec)

    monkeypatch.setattr("bench.execution.single_run.execute", asked_to_end)
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2"]
    try:
        assert cli.main(["run", *arguments, "--results", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    by_seed = {record.spec.seed: record for record in store.read_all(tmp_path)}
    assert sorted(by_seed) == [0, 1] and by_seed[0].status == "ok"
    assert by_seed[1].reason == "stopped by signal 15, Terminated"
    output = capsys.readouterr().err
    assert "1 of 3 runs failed (ave lora seed 1)" in output and "stopped: 1 of 3 runs finished" in output
    monkeypatch.setattr("bench.execution.single_run.execute", lambda spec, options: mocks.record(spec))
    assert cli.main(["run", *arguments, "--results", str(tmp_path), "--retry-failed"]) == 0
    assert {record.status for record in store.read_all(tmp_path)} == {"ok"}


def test_processes_of_a_launcher_stop_when_one_of_them_fails(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(
        "bench.execution.single_run.execute",
        lambda spec, options: mocks.failed(spec) if spec.seed else mocks.record(spec),
    )
    broadcasts = ((spec, True) for spec in plan)  # by the main process
    monkeypatch.setattr("bench.system.distributed.broadcast", lambda _: next(broadcasts))
    monkeypatch.setattr("bench.system.distributed.connect", lambda _: None)
    with pytest.raises(BenchError, match="failed in a process that the others wait for"):
        list(sweep(plan, tmp_path, RunOptions()))
    (record,) = store.read_all(tmp_path)
    assert record.spec.seed == 1, "what went well the main process writes"


def test_jobs_are_refused_with_a_launcher(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BenchError, match="--jobs 2 cannot run in the 2 processes"):
        list(sweep(plan, tmp_path, replace(RunOptions()), LocalExecutor(2)))
