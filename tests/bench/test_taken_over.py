"""Runs that another command has taken over write nothing more, and none goes on from what an earlier run left."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import mocks
import pytest

from bench import artefact, predictions, records, runner, samples, schema
from bench.checkpoint import Checkpoint
from bench.claims import Claim
from bench.plan import make_plan
from bench.sweep import sweep


@pytest.fixture
def spec():
    (spec,) = make_plan("mini", ["head"], ["ave"], [0], ["ave.epochs=3", "train.head_factor=1", *mocks.EACH_ONCE])
    return spec


def files_of(results):
    return {path: path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("when", ["first epoch", "samples", "predictions", "adapter"])
def test_whoever_has_lost_its_claim_writes_nothing_more(spec, options, tmp_path, monkeypatch, caplog, when):
    """As after a process was stopped: another command has done the run meanwhile, and all files are its own."""
    left = []

    def taken_over() -> None:
        if left:
            return
        path = tmp_path / "claims" / f"{schema.stem(spec)}.json"
        claim = Claim("other", spec.label, "elsewhere", "elsewhere 1", 1, "1 ticks", "2026-01-01T00:00:00+00:00")
        path.write_text(json.dumps(asdict(claim)))
        records.write(mocks.record(spec, 99.0), tmp_path)
        others = [records.checkpoint(tmp_path, spec), tmp_path / "adapters" / schema.stem(spec) / "head.safetensors"]
        others += [samples._path(tmp_path, schema.stem(spec)), predictions._path(tmp_path, spec)]
        for other in others:
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_text("the other's")
        left.append(files_of(tmp_path))

    def then(original):
        def wrapped(*args, **named):
            result = original(*args, **named) if original is Checkpoint.save else None
            taken_over()
            return result if original is Checkpoint.save else original(*args, **named)

        return wrapped

    places = {
        "first epoch": (Checkpoint, "save"),
        "samples": (samples, "keep"),
        "predictions": (predictions, "keep"),
        "adapter": (artefact, "save"),
    }
    monkeypatch.setattr(*places[when], then(getattr(*places[when])))
    (record,) = sweep([spec], tmp_path, replace(options, results=tmp_path, save_adapters=True))
    assert record == mocks.record(spec, 99.0), "the other's counts"
    assert files_of(tmp_path) == left[0]
    assert "ave head seed 0 was taken over by process 1 on elsewhere" in caplog.text


def test_a_rerun_begins_at_the_beginning_and_goes_on_where_it_was_itself_interrupted(
    spec, options, tmp_path, monkeypatch
):
    """Not from what a process left that wrote its checkpoint late, when the run had its record."""
    options = replace(options, results=tmp_path)
    place, late = records.checkpoint(tmp_path, spec), tmp_path / "late.pt"
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
    assert runner.execute(spec, options).times.resumed == 0
