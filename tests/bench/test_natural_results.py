"""The scripts beside the results of the suite natural: what they plan, do, write and audit; records are made up."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import mocks
import pytest
import result_scripts
from natural_media import write_media

from bench.config.experiment import read_experiment
from bench.datasets.natural import media
from bench.datasets.scenes.floors import CONSTANT, GUESSES, GUESSES_ALIKE
from bench.records import store
from bench.report.finding.measured import Measured
from bench.streams.sources import SHAPES

CHECKOUT = Path(__file__).parents[2]
STAGES = ["main", "budget", "controls", "more"]
SHAPE_OF = {
    "vit-s14-focus": "facebook/dinov2-small",
    "whisper-tiny-en": "openai/whisper-tiny.en",
    "minilm-l6": "sentence-transformers/all-MiniLM-L6-v2",
}


@pytest.fixture(scope="module")
def modules():
    with result_scripts.scripts("natural", ["finding", "audit", "comparisons", "prose", "reproduce"]) as imported:
        yield imported


@pytest.fixture
def script(modules, tmp_path, monkeypatch):
    """The module that does the runs, with a results folder of the test's."""
    reproduce = modules[-1]
    monkeypatch.chdir(CHECKOUT)
    for name, path in (("FOLDER", tmp_path), ("ENCODERS", tmp_path / "encoders")):
        monkeypatch.setattr(reproduce, name, path)
    yield reproduce
    media.located.cache_clear()


def test_one_message_says_all_that_is_missing(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(media, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr(script, "main", lambda words: pytest.fail("begins all the same"))
    (tmp_path / "some" / "minilm-l6").mkdir(parents=True)
    (tmp_path / "some" / "minilm-l6" / "config.json").write_text("{}")
    assert script.reproduce([]) == 2
    error = capsys.readouterr().err
    assert "MEDIA=, or --media: " in error and "apt-get download tuxpaint-stamps-default tuxpaint-data" in error
    assert (
        "ENCODERS=, or --encoders: vit-s14-focus, whisper-tiny-en, minilm-l6 missing" in error
        and script.DOCUMENT in error
    )
    assert script.reproduce(["--encoders", str(tmp_path / "some")]) == 2
    assert "vit-s14-focus, whisper-tiny-en missing in" in capsys.readouterr().err
    assert (CHECKOUT / script.DOCUMENT).is_file()


@pytest.fixture
def whole(tmp_path) -> list[str]:
    """The arguments that name media and encoders, which are there."""
    root, encoders = write_media(tmp_path / "media"), tmp_path / "models"
    for name in SHAPE_OF:
        (encoders / name).mkdir(parents=True)
        (encoders / name / "config.json").write_text("{}")
    return ["--media", str(root), "--encoders", str(encoders)]


def test_where_all_is_there_the_searches_and_the_runs_are_done(script, whole, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(script, "main", lambda words: calls.append(words) or 0)
    assert script.reproduce([*whole, "--jobs", "2", "--stage", "main"]) == 0
    assert (tmp_path / "encoders").resolve() == (tmp_path / "models").resolve()
    shared = ["--jobs", "2", "--data-root", whole[1]]
    assert calls == [
        [command, str(script.EXPERIMENT), "--results", str(tmp_path), *shared, "--stage", "main"]
        for command in ("tune", "run")
    ]
    calls.clear()
    assert script.reproduce([*whole, "--jobs", "2"]) == 0
    assert [(call[0], call[-1]) for call in calls] == [(word, stage) for stage in STAGES for word in ("tune", "run")]
    calls.clear()
    assert script.reproduce([*whole[:2], "--dry-run"]) == 0, "encoders are found where the call before linked them"
    assert [call[0] for call in calls] == ["run"], "what would be done does nothing"
    monkeypatch.setattr(script, "main", lambda words: calls.append(words) or 3)
    assert script.reproduce(whole) == 3 and [call[0] for call in calls] == ["run", "tune"], (
        "a search that failed ends it"
    )


def test_a_run_that_failed_does_not_hold_later_stages_up(script, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "EXPERIMENT", result_scripts.make_up_rates("natural", tmp_path))
    calls = []

    def main(words):
        if words[0] == "run":
            calls.append(words[-1])
        return int(words[0] == "run" and words[-1] == "main")

    monkeypatch.setattr(script, "main", main)
    assert script.reproduce(whole) == 1 and calls == ["main"], "runs are missing: it was interrupted"
    for by_seed in script.planned(script.EXPERIMENT)["main"].values():
        for seed, spec in by_seed.items():
            store.write(mocks.record(spec) if seed else mocks.failed(spec), tmp_path)
    calls.clear()
    assert script.reproduce(whole) == 1 and calls == STAGES


def test_rates_are_not_searched_for_another_folder(script, whole, tmp_path, monkeypatch):
    elsewhere = [*whole, "--stage", "main", "--results", str(tmp_path / "gpu")]
    calls = []
    monkeypatch.setattr(script, "main", lambda words: calls.append(words) or 0)
    assert script.reproduce(elsewhere) == 0
    assert [call[:4] for call in calls] == [["run", str(script.EXPERIMENT), *elsewhere[-2:]]]


def test_a_stage_that_is_not_there_is_refused_before_anything_else(script, whole, monkeypatch, capsys):
    monkeypatch.setattr(script, "main", lambda words: pytest.fail("begins all the same"))
    assert script.reproduce([*whole, "--stage", "mian"]) == 2
    error = capsys.readouterr().err
    assert "--stage mian" in error and "did you mean main?" in error and not script.ENCODERS.is_symlink()


@pytest.mark.parametrize("earlier", [None, "others"])
def test_a_refused_command_leaves_the_link_to_encoders_as_it_was(script, whole, tmp_path, monkeypatch, earlier):
    monkeypatch.setattr(script, "main", lambda words: 2)
    if earlier:
        (tmp_path / earlier).mkdir()
        script.link(tmp_path / earlier)
    assert script.reproduce([*whole, "--jobs", "x"]) == 2
    assert (script.ENCODERS.resolve() == tmp_path / "others") if earlier else not script.ENCODERS.is_symlink()


def test_encoders_in_the_place_of_the_link_are_not_touched(script, whole, monkeypatch, capsys):
    monkeypatch.setattr(script, "main", lambda words: pytest.fail("begins all the same"))
    script.ENCODERS.mkdir()
    assert script.reproduce(whole) == 2
    assert f"{script.ENCODERS} is a folder of its own: leave it out" in capsys.readouterr().err
    assert script.ENCODERS.is_dir() and not script.ENCODERS.is_symlink()


def test_runs_have_the_rates_of_a_search_at_their_size():
    result_scripts.check_searches("natural", ("main", "budget", "more"))


def test_the_stages_hold_what_their_names_say(script):
    experiment = read_experiment(script.EXPERIMENT)
    assert experiment.problems == ()
    assert [stage.name for stage in experiment.stages] == STAGES
    for stage in experiment.stages:
        for part in stage.parts:
            assert list(part.request.seeds) == ([0, 1, 2] if stage.name == "controls" else [0, 1, 2, 3, 4])
            models = [change for change in part.request.overrides if ".model=" in change]
            assert models and all(json.loads(change.partition("=")[2]).startswith("./encoders/") for change in models)
    by_name = {stage.name: stage for stage in experiment.stages}
    (main,) = by_name["main"].parts
    assert main.request.methods == ["head", "lora", "dora", "cola"]
    assert {part.request.budget for part in by_name["budget"].parts} == {"cola"}
    streams = {change for part in by_name["controls"].parts for change in part.request.overrides if "streams" in change}
    assert len(streams) == 3


def test_the_encoders_of_the_experiment_have_the_shapes_of_the_suites(script):
    from bench.config.suite import load_suite

    suite = load_suite("natural")
    assert {*script.MODELS.values()} == set(SHAPE_OF)
    assert {source.model for source in suite.streams.values()} == set(SHAPE_OF.values())
    assert all((SHAPES / model / "config.json").is_file() for model in SHAPE_OF.values())


USUAL = {"head": 50.0, "lora": 60.0, "dora": 61.0, "cola": 65.0, "lora-cola-size": 60.0, "dora-cola-size": 62.0}
SPLITS = {"refcoco": ("testA", "testB"), "avs": ("test",)}


@pytest.fixture(scope="module")
def plan(modules, tmp_path_factory):
    return result_scripts.tuned_plan("natural", tmp_path_factory.mktemp("tuned"))


def measured(plan, scores=USUAL, stages=None, seeds=None) -> Measured:
    """Records of stages: what each label scores, give or take some tenths from seed to seed; all others 40."""
    records = []
    for stage in plan if stages is None else stages:
        for (task, label), by_seed in plan[stage].items():
            for seed, spec in by_seed.items():
                if seeds is None or seed in seeds:
                    score = scores.get(label, 40.0) + zlib.crc32(f"{task} {label} {seed}".encode()) % 7 / 10
                    record = mocks.record(spec, score)
                    splits = {split: {record.scores.metric: score + 1} for split in SPLITS[task]}
                    records.append(replace(record, scores=replace(record.scores, splits=splits)))
    return Measured(records, plan)


def mini_of(plan, scores=USUAL):
    """Records as if they were mini's, of the same tasks and methods."""
    return measured(plan, scores).runs("main", "budget")


def page(finding, reads, runs_of_mini) -> str:
    return finding.pages(reads, runs_of_mini)[finding.FOLDER / "finding.md"]


def test_with_all_records_everything_is_said(modules, plan):
    finding, _, comparisons, *_ = modules
    reads, runs_of_mini = measured(plan), mini_of(plan)
    tables = comparisons.all_tables(reads, runs_of_mini)
    assert [key for key, table in tables.items() if table.missing or not table.rows] == []
    text = page(finding, reads, runs_of_mini)
    assert "not measured" not in text.lower() and "{" not in text
    lines = text.splitlines()
    assert len(lines) <= 80 and max(len(line) for line in lines if not line.startswith("|")) <= 120
    assert "things never seen in training (testB)" in text
    joined = " ".join(text.split())
    assert "Does `mini` order the same methods on the same tasks alike? Yes, for 5 adapters and sizes" in joined
    assert "20 of 20 pairs on the same task" in joined


@pytest.mark.parametrize(("cola", "answer"), [(65.0, "Yes"), (55.0, "No"), (60.0, "Not shown")])
def test_words_follow_the_records(modules, plan, cola, answer):
    text = page(modules[0], measured(plan, {**USUAL, "cola": cola}), mini_of(plan))
    assert f"**Does CoLA beat LoRA with equally many parameters?** {answer}:" in text


def test_whether_mini_is_a_fair_proxy_follows_the_records(modules, plan):
    opposite = {label: 120.0 - score for label, score in USUAL.items()}
    text = " ".join(page(modules[0], measured(plan), mini_of(plan, opposite)).split())
    assert "alike? No, for 5 adapters" in text and "0 of 20 pairs" not in text, "two of them differ by noise only"
    rising = dict(zip(modules[3].ADAPTERS, (50.0, 55.0, 60.0, 65.0, 70.0), strict=True))
    first_reversed = dict(zip(modules[3].ADAPTERS, (60.0, 55.0, 50.0, 65.0, 70.0), strict=True))
    text = " ".join(page(modules[0], measured(plan, rising), mini_of(plan, first_reversed)).split())
    assert "alike? No, for 5 adapters" in text and "+0.40 (+0.40 to +0.40)" in text, "better than chance is not enough"
    text = page(modules[0], measured(plan), {key: {} for key in mini_of(plan)})
    assert "alike? Not measured, for not measured adapters" in " ".join(text.split())


@pytest.mark.parametrize("without", ["main", "budget", "controls", "more"])
def test_pages_are_written_while_stages_have_no_records(modules, plan, without):
    finding, audit, *_ = modules
    reads = measured(plan, stages=[stage for stage in plan if stage != without])
    text = page(finding, reads, mini_of(plan))
    assert ("not measured" in text.lower()) == (without != "more")
    lines = [line for _, conditions in audit.conditions(reads) for line in conditions]
    assert any(holds is None for holds, _ in lines) == (without in ("main", "controls"))


def test_pages_are_written_after_the_first_runs(modules, plan):
    for stages, seeds in (((), ()), (("main",), (0,)), (("main", "budget"), (0, 1))):
        text = page(modules[0], measured(plan, stages=stages, seeds=seeds), mini_of(plan))
        assert "not measured" in text.lower() and ("too few seeds" in text) == bool(seeds)


def test_the_audit_tells_what_holds(modules, plan):
    def failed(**scores):
        lines = [line for _, part in modules[1].conditions(measured(plan, {**USUAL, **scores})) for line in part]
        assert len(lines) == 2 * 4 + 4
        return [text.partition(" by ")[0][:24] for holds, text in lines if not holds]

    assert failed() == []
    assert [text[:19] for text in failed(head=60.0)] == ["refcoco: head < LoR", "avs: head < LoRA 60"]
    assert failed(**{"text only": 60.0}) == ["refcoco: LoRA with text "]


@pytest.mark.parametrize(("floor", "holds"), [(GUESSES_ALIKE, True), (GUESSES, False)])
def test_lora_need_not_be_above_an_answer_that_takes_both_modalities(modules, plan, floor, holds):
    reads = measured(plan, stages=["main"])
    floors = {CONSTANT: 30.0, floor: 90.0}
    records = [replace(record, scores=replace(record.scores, floors=floors)) for record in reads.records.values()]
    lines = [line for _, conditions in modules[1].conditions(Measured(records, plan)) for line in conditions]
    assert {line_holds for line_holds, text in lines if "oracle" in text} == {holds}


def test_the_picture_shows_all_samples_and_each_split(modules, plan, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    finding = modules[0]
    monkeypatch.setattr(finding, "PICTURE", tmp_path / "finding.svg")
    finding.draw(measured(plan, stages=()))
    assert not finding.PICTURE.exists()
    finding.draw(measured(plan))
    drawn = finding.PICTURE.read_text(encoding="utf-8")
    assert "<!-- all test samples" in drawn and "<!-- each test split" in drawn


def test_mini_has_runs_of_the_same_methods(modules):
    comparisons = modules[2]
    stages = [stage for stage in read_experiment(comparisons.MINI).stages if stage.name in ("main", "budget")]
    parts = [part for stage in stages for part in stage.parts]
    assert {*comparisons.LABELS} <= {label for part in parts for label in part.labels.values()}
    assert all({*comparisons.TASKS} <= {*part.request.tasks} for part in parts)
