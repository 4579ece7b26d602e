"""Commands that share a results folder: each run is done once, and what a dead one claimed is taken over."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import mocks
import pytest

from bench import claims, records, schema
from bench.claims import Claims
from bench.errors import BenchError
from bench.finished import look_up
from bench.plan import make_plan
from bench.sweep import RunOptions, sweep


@pytest.fixture
def plan(mock_suite):
    return make_plan(str(mock_suite), ["lora"], ["ave"], range(6), [])


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.02)
    monkeypatch.setattr(claims, "STALE", 0.3)
    monkeypatch.setattr("bench.sweep._LOOK", 0.02)


def rewritten(folder: Path, **changes: object) -> Path:
    """The only claim of the folder, as another process would have written it."""
    (path,) = folder.glob("claims/*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_a_run_is_claimed_once(plan, tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(plan[0]) and not two.take(plan[0]) and two.take(plan[1])
        assert one.holds(plan[0]) and not one.holds(plan[1])
        one.release(plan[0])
        assert not one.holds(plan[0]) and two.take(plan[0])
    assert not (tmp_path / "claims").exists(), "nothing is left"


def test_the_claim_of_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(plan, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from bench import registry; registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.claims import Claims; from bench.plan import make_plan\n"
        "claims = Claims(Path(sys.argv[1])).__enter__()\n"
        "assert claims.take(make_plan(sys.argv[3], ['lora'], ['ave'], [0], [])[0]); os._exit(9)"
    )
    suite = tmp_path / "mock.toml"
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(suite)]
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == 9
    assert len(list(tmp_path.glob("claims/*.json"))) == 1
    with Claims(tmp_path) as mine:
        assert mine.take(plan[0]) and mine.holds(plan[0])


def test_a_number_that_came_again_is_another_process(plan, tmp_path):
    with Claims(tmp_path) as gone, Claims(tmp_path) as mine:
        assert gone.take(plan[0])
        rewritten(tmp_path, began=1.0)
        assert mine.take(plan[0])


@pytest.mark.parametrize("clock", [-1e6, 0.0, 1e6])
def test_another_machine_s_claim_is_taken_over_when_it_is_not_touched_any_more(plan, tmp_path, fast, clock):
    """Whatever the clocks say: of the other machine, or of this one, which may jump."""
    with Claims(tmp_path) as mine:
        folder = tmp_path / "claims"
        folder.mkdir(exist_ok=True)
        claim = claims.Claim("t", "run", "elsewhere", "elsewhere 1", 1, 0.0, "2026-01-01T00:00:00+00:00")
        path = folder / f"{schema.stem(plan[0])}.json"
        path.write_text(json.dumps(asdict(claim)))
        at = time.time() + clock
        for beat in range(3):  # it lives, for as long as it is touched
            os.utime(path, (at + beat, at + beat))
            assert not mine.take(plan[0])
            time.sleep(0.2)
        time.sleep(0.2)
        assert mine.take(plan[0])


def test_a_claim_cut_short_counts_until_it_is_stale(plan, tmp_path, fast):
    with Claims(tmp_path) as mine:
        path = tmp_path / "claims" / f"{schema.stem(plan[0])}.json"
        path.write_text('{"token": "a')
        assert not mine.take(plan[0])
        time.sleep(0.4)
        assert mine.take(plan[0])


@pytest.mark.parametrize(
    "changes", [{"pid": "1"}, {"pid": -1}, {"pid": 2**70}, {"token": ["t"]}, {"began": None}, {"run": 7}]
)
def test_a_claim_of_other_than_what_it_should_hold_is_watched_like_one_cut_short(plan, tmp_path, fast, changes):
    with Claims(tmp_path) as mine:
        assert mine.take(plan[0])
        path = rewritten(tmp_path, **changes)
        content = path.read_text()
        mine.release(plan[0])
        path.write_text(content)
        claims.all_of(tmp_path)
        if not mine.take(plan[0]):
            time.sleep(0.4)
            assert mine.take(plan[0])


def test_of_many_that_find_a_stale_claim_one_takes_it_over(plan, tmp_path, fast):
    with Claims(tmp_path) as gone:
        assert gone.take(plan[0])
        rewritten(tmp_path, began=1.0)
        others = [Claims(tmp_path) for _ in range(8)]
        stale = [other._stale(other._path(plan[0])) for other in others]  # all of them have seen it
        won = [other._put_aside(other._path(plan[0]), old) for other, old in zip(others, stale, strict=True)]
        assert won == [True] + [False] * 7


def test_who_comes_late_does_not_take_a_new_claim_for_the_stale_one(plan, tmp_path):
    with Claims(tmp_path) as gone, Claims(tmp_path) as fast, Claims(tmp_path) as late:
        assert gone.take(plan[0])
        path = rewritten(tmp_path, began=1.0)
        old = late._stale(path)
        assert old and fast.take(plan[0])
        assert not late._put_aside(path, old)
        assert fast.holds(plan[0]) and not list(path.parent.glob(".*"))


def test_a_claim_is_touched_while_it_is_held(plan, tmp_path, fast):
    with Claims(tmp_path) as mine:
        mine.take(plan[0])
        (path,) = tmp_path.glob("claims/*.json")
        before = path.stat().st_mtime_ns
        time.sleep(0.2)
        assert path.stat().st_mtime_ns > before


def test_a_folder_that_cannot_be_written_is_told(plan, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="claims cannot be kept in"), Claims(tmp_path / "file"):
        pass


class Runs:
    """Stands for `bench.runner.execute`."""

    def __init__(self):
        self.done = []

    def __call__(self, spec, options):
        self.done.append(spec)
        return mocks.record(spec)


@pytest.fixture
def runs(monkeypatch):
    done = Runs()
    monkeypatch.setattr("bench.runner.execute", done)
    return done


def test_two_sweeps_share_the_runs_and_both_have_all_records(plan, tmp_path, runs, fast):
    one, two = (sweep(plan, tmp_path, RunOptions()) for _ in range(2))
    found = {name: [] for name in "ab"}
    for name, each in [("a", one), ("b", two), ("a", one), ("b", two)]:  # by turns, as in two processes
        found[name].append(next(each).id)
    found["a"] += [record.id for record in one]
    found["b"] += [record.id for record in two]
    for ids in found.values():
        assert sorted(ids) == sorted(spec.id for spec in plan)
    assert len(runs.done) == len(plan)


def test_what_is_to_be_done_again_is_done_again(plan, tmp_path, runs):
    for spec in plan[:2]:
        records.write(mocks.failed(spec), tmp_path)
    superseded = {plan[1].id: mocks.failed(plan[1])}
    swept = sweep(plan[:2], tmp_path, RunOptions(), superseded=superseded)
    assert [record.status for record in swept] == ["ok", "failed"]
    assert [spec.seed for spec in runs.done] == [1]


def test_what_another_command_has_done_again_is_not_done_once_more(plan, tmp_path, runs):
    """Both began when the run had a record that is not to count; the other was first."""
    superseded = {plan[0].id: mocks.record(plan[0], 1.0)}
    records.write(mocks.record(plan[0], 2.0), tmp_path)
    (record,) = sweep(plan[:1], tmp_path, RunOptions(), superseded=superseded)
    assert record == mocks.record(plan[0], 2.0)
    assert not runs.done


def test_what_another_has_taken_over_and_finished_is_not_written_again(plan, tmp_path, monkeypatch):
    def asleep(spec, options):
        rewritten(tmp_path, token="other")
        records.write(mocks.record(spec, 99.0), tmp_path)
        return mocks.record(spec, 1.0)

    monkeypatch.setattr("bench.runner.execute", asleep)
    list(sweep(plan[:1], tmp_path, RunOptions()))
    (kept,) = records.read_all(tmp_path)
    assert kept.scores.test[kept.scores.metric] == 99.0


def test_a_record_cut_short_is_made_again(plan, tmp_path, runs, caplog):
    path = records.write(mocks.record(plan[0]), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert look_up(plan[:1], tmp_path).done == {}
    assert [record.status for record in sweep(plan[:1], tmp_path, RunOptions())] == ["ok"]
    assert f"{path} is no readable record" in caplog.text and "the run is done again" in caplog.text
    assert records.read(path).id == plan[0].id


def test_a_record_of_a_later_version_is_not_written_over(plan, tmp_path, runs):
    path = records.write(mocks.record(plan[0]), tmp_path)
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(BenchError, match="schema is 2, and this version of bench reads 1"):
        look_up(plan[:1], tmp_path)
    with pytest.raises(BenchError, match="schema is 2"):
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert '"schema": 2' in path.read_text() and not runs.done


def test_a_full_disk_loses_no_record(plan, tmp_path, runs, monkeypatch):
    """The record is part of the message, and no part of it stays in the folder."""

    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BenchError, match="No space left on device") as raised:
        list(sweep(plan[:1], tmp_path, RunOptions()))
    assert json.loads(str(raised.value).rpartition("\nthe record of")[0])["id"] == plan[0].id
    assert not list((tmp_path / "records").iterdir()) and not (tmp_path / "claims").exists()


def test_commands_of_several_processes_do_every_run_once(mock_suite, tmp_path):
    """Real processes, real files: eight commands want the same runs."""
    code = (
        "import sys, os, time; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from pathlib import Path; from bench import registry, runner, sweep\n"
        "registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "from bench.plan import make_plan\n"
        "def execute(spec, options):\n"
        "    open(sys.argv[1] + '/did', 'a').write(f'{spec.seed}\\n'); time.sleep(0.01); return mocks.record(spec)\n"
        "sys.modules['bench.runner'].execute = execute; sweep._LOOK = 0.01\n"
        "plan = make_plan(sys.argv[3], ['lora'], ['ave'], range(40), [])\n"
        "found = list(sweep.sweep(plan, Path(sys.argv[1]), sweep.RunOptions())); assert len(found) == 40"
    )
    stand_in = "import sys, types; sys.modules['bench.runner'] = types.ModuleType('bench.runner')\n"
    stand_in += "import bench; bench.runner = sys.modules['bench.runner']\n"  # torch is not needed
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(mock_suite)]
    started = [subprocess.Popen([sys.executable, "-c", stand_in + code, *arguments]) for _ in range(8)]
    assert [process.wait(60) for process in started] == [0] * 8
    assert sorted(map(int, (tmp_path / "did").read_text().split())) == list(range(40))
    assert len(records.read_all(tmp_path)) == 40
    assert not [path for path in (tmp_path / "records").iterdir() if path.suffix != ".json"]


def test_a_run_that_a_signal_ends_has_failed(mock_suite, plan, tmp_path, monkeypatch, capsys):
    from bench import cli

    def asked_to_end(spec, options):
        if spec.seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return mocks.record(spec)

    monkeypatch.setattr("bench.runner.execute", asked_to_end)
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["--suite", str(mock_suite), "--methods", "lora", "--tasks", "ave", "--seeds", "0,1,2"]
    try:
        assert cli.main(["run", *arguments, "--results", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    by_seed = {record.spec["seed"]: record for record in records.read_all(tmp_path)}
    assert sorted(by_seed) == [0, 1] and by_seed[0].status == "ok"
    assert by_seed[1].reason == "stopped by signal 15, Terminated"
    told = capsys.readouterr().err
    assert "1 of 3 runs failed (ave lora seed 1)" in told and "stopped: 2 of 3 runs finished" in told
    monkeypatch.setattr("bench.runner.execute", lambda spec, options: mocks.record(spec))
    assert cli.main(["run", *arguments, "--results", str(tmp_path), "--retry-failed"]) == 0
    assert {record.status for record in records.read_all(tmp_path)} == {"ok"}


def test_processes_of_a_launcher_stop_where_one_of_them_fails(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(
        "bench.runner.execute", lambda spec, options: mocks.failed(spec) if spec.seed else mocks.record(spec)
    )
    said = ((spec, True) for spec in plan)  # by the main process
    monkeypatch.setattr("bench.processes.agreed", lambda _: next(said))
    monkeypatch.setattr("bench.processes.connect", lambda _: None)
    with pytest.raises(BenchError, match="failed in a process that the others wait for"):
        list(sweep(plan, tmp_path, RunOptions()))
    (kept,) = records.read_all(tmp_path)
    assert kept.spec["seed"] == 1, "what went well the main process writes"


def test_a_launcher_s_processes_do_no_runs_side_by_side(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BenchError, match="--jobs 2 does not go over the 2 processes"):
        list(sweep(plan, tmp_path, replace(RunOptions()), jobs=2))
