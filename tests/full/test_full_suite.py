"""The suites of official data, from the command line to records, on small releases with tiny encoders."""

from __future__ import annotations

import pytest

from bench.cli import main
from bench.config.plan import RunRequest
from bench.config.suite import load_suite
from bench.execution.planning import plan_runs
from bench.records import store

SOUND = ("audio",)
STREAMS = {
    "ave": SOUND,
    "avs": SOUND,
    "avs_ms3": SOUND,
    "avqa": ("audio", "text"),
}  # beside vision; grounding's is text


def run(suite, task, release, encoders, results, *more):
    models = [f"vision.model={encoders['staged' if suite == 'paper-avs' else 'vision']}"]
    models += [f"{partner}.model={encoders[partner]}" for partner in STREAMS.get(task, ("text",))]
    small = ["train.epochs=1", "train.precision=auto", "train.batch_size=4", "train.micro_batch=3"]
    place = ["--data-root", str(release(task)), "--results", str(results), "--device", "cpu", "--quiet"]
    return main(["run", "--suite", suite, "--tasks", task, *place, "--set", *models, *small, *more])


@pytest.mark.parametrize("task", ["ave", "avs", "avs_ms3", "refcoco", "refcoco_plus", "refcocog", "avqa"])
def test_every_benchmark_trains_on_full_from_its_official_layout(task, release, encoders, tmp_path):
    size = 112 if task.startswith("refcoco") else 224
    changed = [f"vision.size={size}"] if size == 112 else []  # the suite's 448 take their time
    methods = "lora,cola" if task == "ave" else "cola"
    assert run("full", task, release, encoders, tmp_path, *changed, "--methods", methods) == 0
    records = store.read_all(tmp_path)
    assert [record.status for record in records] == ["ok"] * (1 + (task == "ave"))
    for record in records:
        assert record.data.source == "official" and record.data.skipped == 0
        assert record.scores.test[record.scores.metric] >= 0
        assert record.spec.streams["vision"]["size"] == size


@pytest.mark.parametrize(
    ("suite", "task"), [("paper-ave", "ave"), ("paper-avs", "avs"), ("paper-grounding", "refcocog")]
)
def test_the_authors_settings_run_and_their_deviations_are_in_the_record(suite, task, release, encoders, tmp_path):
    changed = [] if suite == "paper-avs" else ["cola.reduction=2"]  # the tiny streams are narrow
    if task == "refcocog":
        changed.append("vision.size=112")
    assert run(suite, task, release, encoders, tmp_path, *changed, "--methods", "cola") == 0
    (record,) = store.read_all(tmp_path)
    assert record.spec.deviations == list(load_suite(suite).task(task).deviations) != []


def of_paper(suite, task, monkeypatch):
    for check in ("check_official", "check_encoders"):
        monkeypatch.setattr(f"bench.execution.planning.{check}", lambda *_: None)
    (spec,), _ = plan_runs(RunRequest(suite, ["cola"], [task]))
    return spec


def test_the_authors_recipes_are_those_of_the_paper(monkeypatch):
    ave = of_paper("paper-ave", "ave", monkeypatch)
    avs = of_paper("paper-avs", "avs", monkeypatch)
    grounding = of_paper("paper-grounding", "refcoco", monkeypatch)
    for spec, reduction, rates, batch, epochs, scale in (
        (ave, 16, (5e-6, 4e-6), (2, None), 50, 0.1),
        (avs, None, (2e-4, 2e-4), (8, 2), 20, 0.1),
        (grounding, 16, (1e-4, 2.5e-5), (80, 20), 150, None),
    ):
        settings, recipe = spec.settings, spec.recipe
        assert (settings["r"], settings["alpha"], settings["dropout"]) == (16, 8.0, 0.0)
        assert (settings.get("reduction"), settings["inter_scale"]) == (reduction, scale)
        assert (recipe["lr_adapter"], recipe["lr_head"]) == rates
        assert (recipe["batch_size"], recipe.get("micro_batch")) == batch
        assert recipe["epochs"] == epochs
    assert (ave.recipe["schedule"], ave.recipe["patience"], ave.recipe["weight_decay"]) == ("constant", 10, 0.0)
    assert (avs.recipe["schedule"], avs.recipe["weight_decay"]) == ("constant", 0.0)
    assert (grounding.recipe["schedule"], grounding.recipe["precision"]) == ("poly", "fp16")
    assert (grounding.recipe["weight_decay"], grounding.settings["summary"]) == (1e-4, "mean")
    assert avs.settings["hidden"] == {"vision": 48, "audio": 96}
    assert ave.streams["audio"]["frames"] == 1024
    sizes = {task: of_paper("full", task, monkeypatch).streams["vision"]["size"] for task in ("ave", "refcoco")}
    assert sizes == {"ave": 224, "refcoco": 448}


def test_media_and_losses_are_the_authors_or_recorded_as_deviations(monkeypatch):
    ave = of_paper("paper-ave", "ave", monkeypatch)
    avs = of_paper("paper-avs", "avs", monkeypatch)
    grounding = of_paper("paper-grounding", "refcoco", monkeypatch)
    assert (ave.task_settings["criterion"], ave.task_settings["augmentation"]) == ("softmax_bce", False)
    assert avs.task_settings["augmentation"] is False
    for spec, window_s, mean, std in ((ave, 1.0, -4.985, 3.708), (avs, 1.95, -5.211, 3.592)):
        sound = spec.streams["audio"]
        assert (sound["window_s"], round(sound["mean"], 3), round(sound["std"], 3)) == (window_s, mean, std)
        assert (sound["pad"], sound["frames"]) == ("mean", 1024)
        assert not any("augment" in deviation or "seconds" in deviation for deviation in spec.deviations)
    assert (grounding.task_settings["keep_aspect"], grounding.task_settings["shrink"]) == (False, 1.0)
    for words in ("BERT has 0.1 of it", "crop one in two", "seven sizes, from 256 to 448", "colours", "mirrored"):
        assert any(words in deviation for deviation in grounding.deviations), words
    assert any("drop path" in deviation for deviation in avs.deviations)


def test_missing_data_and_encoders_are_reported_at_once(capsys):
    assert main(["run", "--suite", "full", "--tasks", "ave", "--methods", "cola"]) == 2
    output = capsys.readouterr().err
    for words in ("--data-root DIR", "https://", "bench data describe ave", "hf download facebook/dinov2-base"):
        assert words in output
    assert "--set vision.model=DIR" in output and "--set audio.model=DIR" in output


def test_deviations_do_not_change_run_ids(monkeypatch):
    spec = of_paper("paper-ave", "ave", monkeypatch)
    before = spec.id
    spec.deviations.append("another")
    assert spec.id == before
