"""Which runs are finished: a record counts while code, encoders and data are as it says."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import mocks
import pytest
from mocks import EACH_ONCE
from official import write_official

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.data import release, splits
from bench.errors import DataError
from bench.execution.finished_runs import look_up
from bench.records import store
from bench.records.provenance import code_of, provenance_of
from bench.records.schema import DataInfo
from bench.report.notes import notes
from bench.report.standings import compute_standings
from bench.streams.sources import WEIGHTS
from bench.tasks.ave import AVE
from bench.tasks.avs import AVS

OFFICIAL = "data.source=official"


def plan_of(task="ave", method="lora", *changes):
    return make_plan(RunRequest("mini", [method], [task], [0], [OFFICIAL, *changes]))


def recorded(spec, root):
    """A record of a run as it would be written now."""
    task = {"ave": AVE, "avs": AVS}[spec.task]()
    contents = release.contents(task, spec.data, root)
    info = DataInfo("official", contents.fingerprint, {"test": 2}, 0, dict(contents.splits))
    return mocks.record(spec, data=info, provenance=provenance_of(spec))


@pytest.fixture
def ave(tmp_path):
    return write_official(tmp_path / "ave", "ave")


def test_a_record_counts_while_nothing_has_changed(tmp_path, ave):
    plan = plan_of()
    store.write(recorded(plan[0], ave), tmp_path)
    existing = look_up(plan, tmp_path, ave)
    assert list(existing.finished) == [plan[0].id] and not existing.superseded


def _edit_label(root):
    path = root / "AVE_Dataset/testSet.txt"
    lines = path.read_text().splitlines()
    category, video, quality, start, end = lines[0].split("&")
    lines[0] = "&".join((category, video, quality, start, str(int(end) - 1)))
    path.write_text("\n".join(lines))


def _edit_sound(root):
    path = sorted((root / "AVE_Dataset/raw_audio").glob("*.wav"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _remove_frame(root):
    folder = sorted((root / "AVE_Dataset/video_frames").iterdir())[-1]
    sorted(folder.iterdir())[0].unlink()


@pytest.mark.parametrize("edit", [_edit_label, _edit_sound, _remove_frame])
def test_other_annotations_or_media_make_it_stale(tmp_path, ave, edit, caplog):
    plan = plan_of()
    store.write(recorded(plan[0], ave), tmp_path)
    edit(ave)
    existing = look_up(plan, tmp_path, ave)
    assert not existing.finished and list(existing.superseded) == [plan[0].id]
    assert caplog.messages == ["1 run is repeated, since the data has changed; the earlier records are kept"]


def test_a_moved_release_is_the_same(tmp_path, ave):
    plan = plan_of()
    store.write(recorded(plan[0], ave), tmp_path)
    moved = shutil.copytree(ave / "AVE_Dataset", tmp_path / "elsewhere")
    assert look_up(plan, tmp_path, moved).finished


def test_another_release_makes_it_stale(tmp_path, ave):
    """Whichever it was that a record was made with: its files were changed since, or another folder is given."""
    plan = plan_of()
    store.write(recorded(plan[0], ave), tmp_path)
    changed = tmp_path / "elsewhere"
    shutil.copytree(ave / "AVE_Dataset", changed / "AVE_Dataset")
    _edit_sound(changed)
    assert look_up(plan, tmp_path, ave).finished and not look_up(plan, tmp_path, changed).finished


def test_other_weights_in_the_same_folder_make_it_stale(tmp_path, ave):
    folder = tmp_path / "encoder"
    shutil.copytree(WEIGHTS / "vision-v2", folder)
    plan = plan_of("ave", "lora", f"vision.model={folder}")
    store.write(recorded(plan[0], ave), tmp_path)
    assert look_up(plan, tmp_path, ave).finished
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert look_up(plan, tmp_path, ave).changed == {plan[0].id: ["the encoder of vision"]}


def test_other_code_makes_it_stale(tmp_path, ave):
    plan = plan_of()
    record = recorded(plan[0], ave)
    code = dataclasses.replace(record.provenance.method, checksum="other")
    store.write(dataclasses.replace(record, provenance=dataclasses.replace(record.provenance, method=code)), tmp_path)
    assert look_up(plan, tmp_path, ave).changed == {plan[0].id: ["the code of its method"]}
    assert not look_up(plan, tmp_path, ave, rerun=True).changed


def test_older_records_without_provenance_count(tmp_path, ave):
    plan = plan_of()
    info = DataInfo("official", "of names only", {"test": 2}, 0)
    store.write(mocks.record(plan[0], data=info), tmp_path)
    assert look_up(plan, tmp_path, ave).finished


def test_another_scoring_rule_makes_it_stale_and_has_a_table_of_its_own(tmp_path, caplog):
    """Boxes were once scored as predicted, and are clamped to the picture now."""
    plan = make_plan(RunRequest("mini", ["lora"], ["refcoco", "refcoco:mask"]))
    for spec in plan:
        store.write(mocks.record(spec), tmp_path)
    existing = look_up(plan, tmp_path)
    assert existing.changed == {plan[0].id: ["the scoring rule of its task"]}
    assert list(existing.finished) == [plan[1].id], "masks are scored as ever"
    (seed,) = make_plan(RunRequest("mini", ["lora"], ["refcoco"], [1]))
    store.write(mocks.record(seed, provenance=provenance_of(seed)), tmp_path)
    assert list(look_up([seed], tmp_path).finished) == [seed.id]
    tables = [task.table for section in compute_standings(store.read_all(tmp_path)) for task in section.tasks]
    assert [len(table.records) for table in tables] == [1, 1, 1], "two rules are no two seeds of one row"
    notes_on_rules = [line for table in tables for line in notes(table) if line.startswith("Scored by an earlier rule")]
    assert (
        len(notes_on_rules) == 1
        and "a box as it is predicted. The current rule is IoU of a box that is clamped" in notes_on_rules[0]
    )


def test_changed_generated_data_is_refused(tmp_path, options):
    task = AVE()
    source = {"source": "generated", "version": 3, "seed": 5}
    root = release.locate(task, source, tmp_path)
    before = release.contents(task, source, root)
    annotations = root / "AVE_Dataset/Annotations.txt"
    content = annotations.read_bytes()
    annotations.write_bytes(content.replace(b"&good&", b"&fair&"))
    with pytest.raises(DataError, match=r"is not as the generator wrote it.*Delete"):
        release.contents(task, source, root)
    annotations.write_bytes(content)
    assert release.contents(task, source, root) == before


def test_a_split_is_identified_by_its_samples_too():
    files = "checksum of the files"
    whole = release.with_samples(files, ["a", "b"])
    assert len({whole, release.with_samples(files, ["a"]), release.with_samples("other", ["a", "b"])}) == 3


def bench_run(root: Path, results: Path, *more: str) -> int:
    few = [*EACH_ONCE, "ave.epochs=1", "head.head_factor=1", "ave.views=1", OFFICIAL]
    arguments = ["--methods", "head", "--tasks", "ave", "--data-root", str(root), "--results", str(results)]
    return cli.main(["run", *arguments, *more, "--set", *few])


def test_an_edited_release_is_trained_on_again_and_the_earlier_record_stays(tmp_path, ave, capsys, caplog):
    results = tmp_path / "results"
    assert bench_run(ave, results, "--save-adapters") == 0
    (first,) = (results / "records").glob("*.json")
    scores = first.with_suffix(".npz").read_bytes()
    assert bench_run(ave, results, "--save-adapters") == 0
    assert "1 of them finished earlier and skipped" in capsys.readouterr().out

    _edit_label(ave)
    assert bench_run(ave, results, "--save-adapters") == 0
    assert "1 run is repeated, since the data has changed; the earlier records are kept" in caplog.text
    earlier = first.with_name(f"{first.stem}~1.json")
    old, new = store.read(earlier), store.read(first)
    assert old.id == new.id and old.data.fingerprint != new.data.fingerprint
    assert old.data.splits["test"] != new.data.splits["test"]
    assert earlier.with_suffix(".npz").read_bytes() == scores and first.with_suffix(".npz").is_file()
    assert (results / old.adapter).is_dir() and (results / new.adapter).is_dir() and old.adapter != new.adapter
    assert store.read(results / old.adapter / "record.json").data == old.data


def test_a_failed_run_does_not_overwrite_a_finished_one(tmp_path):
    (spec,) = plan_of()
    store.write(mocks.record(spec), tmp_path)
    path = store.write(mocks.failed(spec), tmp_path)
    assert store.read(path).status == "failed"
    assert store.read(path.with_name(f"{path.stem}~1.json")) == mocks.record(spec)
    store.write(mocks.record(spec, 60.0), tmp_path)
    assert len(list(path.parent.iterdir())) == 2, "what failed is written over"


def test_an_old_run_whose_score_is_not_finite_counts_as_failed(tmp_path):
    """So it was recorded once; another failure does not write over it, since it holds what else was measured."""
    (spec,) = plan_of()
    record = mocks.record(spec)
    path = store.write(mocks.record(spec, math.nan), tmp_path)
    assert (
        look_up([spec], tmp_path).finished[spec.id].failure
        == f"the {record.scores.metric} of the test split is not finite"
    )
    assert list(look_up([spec], tmp_path, retry_failed=True).superseded) == [spec.id]
    store.write(mocks.failed(spec), tmp_path)
    assert store.read(path.with_name(f"{path.stem}~1.json")).memory == record.memory


def test_samples_are_decoded_again_if_the_code_of_the_task_has_changed(options, monkeypatch):
    from bench.training.setup import set_up

    (spec,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], [*EACH_ONCE]))
    before = set_up(spec, options).data.datasets["test"]
    labels = AVE.samples

    def relabelled(self, root, split, inputs):
        samples = labels(self, root, split, inputs)
        monkeypatch.setattr(
            samples.release, "labels", lambda event: 0 * type(samples.release).labels(samples.release, event)
        )
        return samples

    monkeypatch.setattr(AVE, "samples", relabelled)
    splits._cache.clear()
    assert set_up(spec, options).data.datasets["test"][0]["label"].any() == before[0]["label"].any(), "from the cache"
    changed = dataclasses.replace(code_of(AVE), checksum="other")
    monkeypatch.setattr(splits, "code_of", lambda cls: changed)
    splits._cache.clear()
    assert not set_up(spec, options).data.datasets["test"][0]["label"].any()
    splits._cache.clear()


def test_a_class_redefined_in_a_notebook_is_trained_again(tmp_path, monkeypatch, options):
    """With the same name and settings the run has the same id."""
    from bench import api

    decoded = []

    def sweep(specs, results, *_, **__):
        for spec in specs:
            decoded.append(spec.id)
            record = mocks.record(spec, provenance=provenance_of(spec))
            store.write(record, results)
            yield record

    monkeypatch.setattr(api, "sweep", sweep)
    scope = {"__name__": "__main__"}
    cell = (
        "from dataclasses import dataclass\nfrom bench.methods.lora import LoRA\n@dataclass\nclass Mine(LoRA):\n"
        "    def attach(self, model):\n        super().attach(model)\n        self.factor = 2\n"
    )

    def run(text):
        exec(compile(text, "<cell>", "exec", dont_inherit=True), scope)
        return api.run([scope["Mine"]], "ave", results=tmp_path, data_root=tmp_path)

    run(cell)
    run(cell)
    assert len(decoded) == 1, "the same cell run again"
    run(cell.replace("= 2", "= 3"))
    assert len(decoded) == 2 and decoded[0] == decoded[1]
