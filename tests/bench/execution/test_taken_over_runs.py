"""Runs that another command has taken over write nothing more, and none goes on from what an earlier run left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import mocks
import pytest
from official import write_official

from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.execution import single_run
from bench.execution.claims import Claim
from bench.execution.sweep import sweep
from bench.records import environment, predictions, sample_scores, schema, store
from bench.saved_adapters import save_load
from bench.streams.sources import WEIGHTS
from bench.training.checkpoint import Checkpoint
from bench.training.setup import set_up


@pytest.fixture
def spec():
    (spec,) = make_plan(
        RunRequest("mini", ["head"], ["ave"], [0], ["ave.epochs=3", "train.head_factor=1", *mocks.EACH_ONCE])
    )
    return spec


def files_of(results):
    return {path: path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("when", ["first epoch", "samples", "predictions", "adapter"])
def test_a_command_that_lost_its_claim_writes_nothing_more(spec, options, tmp_path, monkeypatch, caplog, when):
    """As after a process was stopped: another command has done the run meanwhile, and all files are its own."""
    left = []

    def taken_over() -> None:
        if left:
            return
        path = tmp_path / "claims" / f"{schema.stem(spec)}.json"
        claim = Claim("other", spec.label, "elsewhere", "elsewhere 1", 1, "1 ticks", "2026-01-01T00:00:00+00:00")
        path.write_text(json.dumps(asdict(claim)))
        store.write(mocks.record(spec, 99.0), tmp_path)
        paths = [store.checkpoint(tmp_path, spec), tmp_path / "adapters" / schema.stem(spec) / "head.safetensors"]
        paths += [sample_scores._path(tmp_path, schema.stem(spec)), predictions._path(tmp_path, spec)]
        for leftover in paths:
            leftover.parent.mkdir(parents=True, exist_ok=True)
            leftover.write_text("the other's")
        left.append(files_of(tmp_path))

    def then(original):
        def wrapped(*args, **named):
            result = original(*args, **named) if original is Checkpoint.save else None
            taken_over()
            return result if original is Checkpoint.save else original(*args, **named)

        return wrapped

    places = {
        "first epoch": (Checkpoint, "save"),
        "samples": (sample_scores, "save"),
        "predictions": (predictions, "save"),
        "adapter": (save_load, "save"),
    }
    monkeypatch.setattr(*places[when], then(getattr(*places[when])))
    (record,) = sweep([spec], tmp_path, replace(options, results=tmp_path, save_adapters=True))
    assert record == mocks.record(spec, 99.0), "the other's counts"
    assert files_of(tmp_path) == left[0]
    assert "ave head seed 0 was taken over by process 1 on elsewhere" in caplog.text


def test_a_rerun_starts_from_scratch_and_resumes_from_its_own_checkpoint(spec, options, tmp_path, monkeypatch):
    """Not from what a process left that wrote its checkpoint late, when the run had its record."""
    options = replace(options, results=tmp_path)
    place, late = store.checkpoint(tmp_path, spec), tmp_path / "late.pt"
    save, saved = Checkpoint.save, []

    def save_and_copy(self, state):
        save(self, state)
        shutil.copy(self.path, late)
        saved.append(len(saved))
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_copy)
    (first,) = sweep([spec], tmp_path, options)
    assert first.times.resumed == 0 and len(saved) == 3 and not place.exists()
    shutil.copy(late, place)
    with pytest.raises(KeyboardInterrupt):  # in the rerun's first epoch: it did not go on at the last
        list(sweep([spec], tmp_path, options, superseded={spec.id: first}))
    (again,) = sweep([spec], tmp_path, options, superseded={spec.id: first})
    assert again.times.resumed == 1 and not place.exists()
    assert single_run.execute(spec, options).times.resumed == 0


def test_a_run_resumes_only_with_the_same_data_encoders_and_packages(tmp_path, monkeypatch):
    release, encoder = write_official(tmp_path / "ave", "ave"), tmp_path / "encoder"
    shutil.copytree(WEIGHTS / "vision-v2", encoder)
    changes = ["data.source=official", f"vision.model={encoder}"]
    (spec,) = make_plan(RunRequest("mini", ["head"], ["ave"], [0], changes))

    def fingerprint(root):
        options = RunOptions(root, "cpu", tmp_path)
        return single_run._checkpoint(spec, set_up(spec, options), options).fingerprint

    before = fingerprint(release)
    same, changed = (shutil.copytree(release, tmp_path / name) for name in ("same", "other"))
    assert fingerprint(same) == before
    sound = sorted((changed / "AVE_Dataset/raw_audio").glob("*.wav"))[0]
    sound.write_bytes(sound.read_bytes()[:-1] + b"\x01")
    assert fingerprint(changed) != before, "another release elsewhere"
    for package in ("torch", "transformers", "peft", "accelerate"):
        with monkeypatch.context() as patch:
            patch.setattr(
                environment, "version", lambda name, package=package: "0.0" if name == package else version(name)
            )
            assert fingerprint(release) != before, package
    assert fingerprint(release) == before
    weights = encoder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert fingerprint(release) != before, "other weights in the same folder"


FLAGS = {"--rerun": "ok", "--retry-failed": "failed", "--save-adapters": "ok"}


@pytest.mark.parametrize("flag", FLAGS)
def test_several_commands_with_rerun_repeat_each_run_once(mock_suite, tmp_path, flag):
    """Three real commands, each of which looked up what there is before any of them did a run."""
    code = (
        "import itertools, sys, time; sys.path.insert(0, sys.argv[2]); import mocks\n"
        "from pathlib import Path; from dataclasses import replace\n"
        "from bench import cli, registry; from bench.records import schema\n"
        "from bench.execution import sweep as sweeping\n"
        "registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]\n"
        "results, name, flag = Path(sys.argv[1]), sys.argv[4], sys.argv[5]; sweep = sweeping.sweep\n"
        "def together(*args):\n"
        "    (results / f'looked-{name}').touch()\n"
        "    while len(list(results.glob('looked-*'))) < 3: time.sleep(0.01)\n"
        "    yield from sweep(*args)\n"
        "def execute(spec, options):\n"
        "    open(results / 'did', 'a').write(f'{spec.seed}\\n'); time.sleep(0.01)\n"
        "    folder = Path('adapters') / schema.stem(spec); (results / folder).mkdir(parents=True, exist_ok=True)\n"
        "    adapter = folder.as_posix() if options.save_adapters else None\n"
        "    return mocks.record(spec, 50.0, started=schema.now(), adapter=adapter)\n"
        "sys.modules['bench.execution.single_run'].execute = execute; sweeping.sweep = together\n"
        "sweeping._POLL_INTERVAL = 0.01\n"
        "asked = ['--suite', sys.argv[3], '--methods', 'lora', '--tasks', 'ave', '--results', sys.argv[1], flag]\n"
        "asked += ['--seeds', ','.join(map(str, range(40))), '--data-root', sys.argv[1]]\n"
        "sys.exit(cli.main(['run', *asked]))"
    )
    stand_in = "import sys, types\n"  # torch is not needed
    stand_in += "sys.modules['bench.execution.single_run'] = types.ModuleType('bench.execution.single_run')\n"
    stand_in += "import bench.execution; bench.execution.single_run = sys.modules['bench.execution.single_run']\n"
    for spec in make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], range(40))):
        store.write(mocks.record(spec) if FLAGS[flag] == "ok" else mocks.failed(spec), tmp_path)
    arguments = [str(tmp_path), str(Path(mocks.__file__).parent), str(mock_suite)]
    commands = [
        subprocess.Popen([sys.executable, "-c", stand_in + code, *arguments, name, flag], stdout=subprocess.PIPE)
        for name in "abc"
    ]
    tables = [command.communicate(timeout=120)[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 3
    assert sorted(map(int, (tmp_path / "did").read_text().split())) == list(range(40))
    assert {record.scores.test["accuracy"] for record in store.read_all(tmp_path)} == {50.0}
    assert all(b"50.00" in table for table in tables), "each shows what came of it"
    assert not (tmp_path / "claims").exists() and not list(tmp_path.rglob(".*"))
