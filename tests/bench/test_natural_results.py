"""The script beside the results of the suite natural: what it plans, and what it says where something is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from natural_media import write_media

from bench.config.experiment import read_experiment
from bench.datasets.natural import media
from bench.streams.sources import SHAPES

CHECKOUT = Path(__file__).parents[2]
SHAPE_OF = {
    "vit-s14-focus": "facebook/dinov2-small",
    "whisper-tiny-en": "openai/whisper-tiny.en",
    "minilm-l6": "sentence-transformers/all-MiniLM-L6-v2",
}


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The module, with a results folder of the test's."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "results" / "natural"))
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.delitem(sys.modules, "reproduce", raising=False)
    import reproduce

    for name, path in (("FOLDER", tmp_path), ("ENCODERS", tmp_path / "encoders")):
        monkeypatch.setattr(reproduce, name, path)
    yield reproduce
    sys.modules.pop("reproduce", None)
    media.located.cache_clear()


def test_one_message_says_all_that_is_missing(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(media, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr(script, "main", lambda words: pytest.fail("begins all the same"))
    (tmp_path / "some" / "minilm-l6").mkdir(parents=True)
    (tmp_path / "some" / "minilm-l6" / "config.json").write_text("{}")
    assert script.reproduce([]) == 2
    error = capsys.readouterr().err
    assert "MEDIA=: " in error and "apt-get download tuxpaint-stamps-default tuxpaint-data" in error
    assert "ENCODERS=: vit-s14-focus, whisper-tiny-en, minilm-l6 missing" in error and script.DOCUMENT in error
    assert script.reproduce(["--encoders", str(tmp_path / "some")]) == 2
    assert "vit-s14-focus, whisper-tiny-en missing in" in capsys.readouterr().err
    assert (CHECKOUT / script.DOCUMENT).is_file()


def test_where_all_is_there_the_experiment_is_done(script, tmp_path, monkeypatch):
    root, encoders = write_media(tmp_path / "media"), tmp_path / "models"
    for name in SHAPE_OF:
        (encoders / name).mkdir(parents=True)
        (encoders / name / "config.json").write_text("{}")
    calls = []
    monkeypatch.setattr(script, "main", lambda words: calls.append(words) or 0)
    assert script.reproduce(["--media", str(root), "--encoders", str(encoders), "--stage", "main"]) == 0
    assert (tmp_path / "encoders").resolve() == encoders.resolve()
    assert script.reproduce(["--media", str(root)]) == 0, "they are found where the call before linked them"
    first, second = calls
    assert first[:4] == ["run", str(script.EXPERIMENT), "--results", str(tmp_path)] and first[-2:] == [
        "--stage",
        "main",
    ]
    assert second == first[:-2] == [*first[:4], "--data-root", str(root)]


def test_the_stages_hold_what_their_names_say(script):
    experiment = read_experiment(script.EXPERIMENT)
    assert not experiment.problems
    assert [stage.name for stage in experiment.stages] == ["main", "budget", "controls", "more"]
    for stage in experiment.stages:
        for part in stage.parts:
            assert list(part.request.seeds) == [0, 1, 2, 3, 4]
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
    models = {Path(values["model"]).name for values in script.read_toml(script.EXPERIMENT)["set"].values()}
    assert models == set(SHAPE_OF)
    assert {source.model for source in suite.streams.values()} == set(SHAPE_OF.values())
    assert all((SHAPES / model / "config.json").is_file() for model in SHAPE_OF.values())
