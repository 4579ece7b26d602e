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
from dataclasses import asdict
from pathlib import Path

import mocks
import pytest
from claim_files import rewritten

from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import BenchError
from bench.execution import claims
from bench.execution.claims import ClaimLostError, Claims
from bench.execution.sweep import sweep
from bench.records import schema, store


def owns(claims: Claims, spec: Spec) -> bool:
    claim = claims.claim_on(spec)
    return claim is not None and claim.token == claims.token


def test_a_run_is_claimed_once(plan, tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(plan[0]) and not two.take(plan[0]) and two.take(plan[1])
        assert owns(one, plan[0]) and not owns(one, plan[1])
        one.release(plan[0])
        assert not owns(one, plan[0]) and two.take(plan[0])
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
        assert mine.take(plan[0]) and owns(mine, plan[0])


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
        rivals = [Claims(tmp_path) for _ in range(8)]
        stale = [rival._stale(claims._path(rival.folder, plan[0])) for rival in rivals]  # all of them have seen it
        won = [
            rival._remove_stale(claims._path(rival.folder, plan[0]), old)
            for rival, old in zip(rivals, stale, strict=True)
        ]
        assert won == [True] + [False] * 7


def test_a_new_claim_is_not_mistaken_for_the_stale_one(plan, tmp_path):
    with Claims(tmp_path) as gone, Claims(tmp_path) as fast, Claims(tmp_path) as late:
        assert gone.take(plan[0])
        path = rewritten(tmp_path, process_start="1 ticks")
        old = late._stale(path)
        assert old and fast.take(plan[0])
        assert not late._remove_stale(path, old)
        assert owns(fast, plan[0]) and not list(path.parent.glob(".*"))


def test_a_step_of_the_clock_removes_no_claim(plan, tmp_path, monkeypatch):
    """Times of day at which processes began move with the clock."""
    import psutil

    with Claims(tmp_path) as mine, Claims(tmp_path) as rival:
        assert mine.take(plan[0])
        before = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: before(self) + 2)
        assert not rival.take(plan[0]) and owns(mine, plan[0])


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
            assert one.take(plan[0]) and not two.take(plan[0]) and owns(one, plan[0])
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
    with Claims(tmp_path) as rival:
        assert rival.take(plan[0])
        (tmp_path / "claims" / f"{schema.stem(plan[1])}.json").touch()  # as older versions left it on a full disk
        swept = sweep(plan[:3], tmp_path, RunOptions())
        assert [next(swept).spec.seed for _ in range(2)] == [2, 1], "nothing touches the empty one"
        rival.release(plan[0])
        assert next(swept).spec.seed == 0
    first, second = (record.message for record in caplog.records)
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
        assert owns(mine, plan[0])
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
