"""What is wrong with the encoders of a command is said before any of its work begins."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench import api, cli
from bench.config.plan import RunRequest, make_plan
from bench.config.preflight import check_encoders, check_generated
from bench.errors import UsageError
from bench.streams.sources import WEIGHTS

SUITES = Path(cli.__file__).parents[1] / "suites"
NAME = "someone/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FETCH = f'`hf download {NAME} --revision {COMMIT} --include "preprocessor_config.json"`'


@pytest.fixture
def in_part(tmp_path, monkeypatch) -> None:
    """A copy in the cache without its preprocessor."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--someone--tiny"
    shutil.copytree(WEIGHTS / "vision-v2", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT / "preprocessor_config.json").unlink()
    monkeypatch.chdir(tmp_path)


def test_all_encoders_of_a_command_are_reported_at_once(in_part):
    changes = [f"vision.model={NAME}", "audio.model=/nowhere"]
    with pytest.raises(UsageError) as error:
        check_encoders(make_plan(RunRequest("mini", ["lora"], ["ave", "avs"], [0, 1], changes)))
    first, second = error.value.problems
    assert FETCH in first and first.endswith("; or name a folder that contains one: --set vision.model=DIR")
    assert second.startswith("there is no folder /nowhere") and second.endswith("--set audio.model=DIR")


@pytest.mark.parametrize("command", ["run", "tune", "profile", "check"])
def test_every_command_reports_it_before_data_is_generated(command, in_part, tmp_path, capsys):
    suite = Path("own.toml")
    mini = (SUITES / f"{'check' if command == 'check' else 'mini'}.toml").read_text(encoding="utf-8")
    suite.write_text(mini.replace("embedded:vision-v2", NAME), encoding="utf-8")
    arguments = [command, "--suite", str(suite), "--methods", "lora", "--tasks", "avs"]
    arguments += ["--update", "--seeds", "0,1"] if command == "check" else []
    arguments += [] if command == "profile" else ["--data-root", "data"]
    assert cli.main(arguments) == 2
    assert FETCH in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "own.toml"]


def test_from_python_too(in_part, tmp_path):
    with pytest.raises(UsageError, match="hf download"):
        api.run("lora", "avs", settings={"vision.model": NAME}, data_root="data")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("avs", "vision.model=embedded:text-v2", "it reads text, but vision of avs is images"),
        ("ave", "audio.model=embedded:vision-v2", "it reads images, but audio of ave is sounds"),
        ("refcoco+refcoco_plus", "text.model=embedded:audio-v1", "it reads sounds, but text of refcoco"),
    ],
)
def test_an_encoder_of_another_modality_is_refused(task, change, message, capsys):
    assert cli.main(["run", "--methods", "lora", "--tasks", task, "--set", change]) == 2
    assert f"--set {change}: {message}" in capsys.readouterr().err


def test_an_empty_name_of_an_encoder_is_refused(capsys):
    assert cli.main(["run", "--methods", "lora", "--tasks", "avs", "--set", "vision.model="]) == 2
    assert (
        "the model of a stream is empty: name an encoder; or name a folder that contains one" in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["run", "profile", "tune"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lora.blocks=0,4", "lora on avs: blocks: vision has no block 4: it has blocks 0 to 3"),
        ("lora.linears=gate", "lora on avs: linears: the adapted streams have no gate, only fc1, fc2, k, o, q, v"),
        ("lora.r.vision.7=2", "lora on avs: r: there is no block 7, only blocks 0 to 3"),
        ("lora.streams=text", "lora on avs: streams: unknown stream text: known: audio, vision"),
    ],
)
def test_parts_that_encoders_lack_are_refused(command, change, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, "--suite", "mini", "--methods", "lora", "--tasks", "avs", "--set", change]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["vision.size=100"], "vision of avs: the encoder embedded:vision-v2: images of 100 x 100 pixels are not made"),
        (["audio.size=100"], "audio of avs: .* reads sounds, which have no setting size; settings: frames"),
        (["audio.frames=2"], "2 frames of sound are fewer than the"),
        (["vision.size=100", "--budget", "2%"], "images of 100 x 100 pixels are not made"),
    ],
)
def test_settings_that_an_encoder_cannot_have_are_refused_once(changes, message, capsys, tmp_path):
    arguments = ["run", "--methods", "lora,cola", "--tasks", "avs", "--seeds", "0,1", "--results", str(tmp_path)]
    assert cli.main([*arguments, "--set", *changes]) == 2
    error = capsys.readouterr().err
    assert len(re.findall(message, error)) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["run", "profile", "tune"])
def test_an_unknown_family_is_refused(command, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert cli.main([command, "--methods", "lora", "--tasks", "avs", "--set", f"vision.model={tmp_path}"]) == 2
    assert "encoders of the family gpt2 are not supported; supported: audio-spec" in capsys.readouterr().err


def test_a_file_is_no_place_for_generated_data(tmp_path):
    """Whether it is the path of --data-root itself or a part of it; folders that are missing can be made."""
    check_generated(None)
    check_generated(tmp_path / "missing" / "folder")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(UsageError, match=f"--data-root {path}: {tmp_path / 'file'} is a file"):
            check_generated(path)
    assert cli.main(["run", "--methods", "head", "--tasks", "ave", "--data-root", str(tmp_path / "file")]) == 2


BUDGETED = """\
tasks = ["avs"]
methods = ["lora"]
budget = "2%"
set.data.source = "official"
set.vision.model = "{0}/no-vision"
set.audio.model = "{0}/no-audio"
"""


@pytest.mark.parametrize(("command", "chosen"), [("run", "options"), ("run", "file"), ("tune", "options")])
def test_data_and_encoders_and_wrong_options_are_told_at_once(command, chosen, tmp_path, capsys):
    """Also with a budget, which cannot be fitted without the encoders: each problem once."""
    models = [f"{stream}.model={tmp_path}/no-{stream}" for stream in ("vision", "audio")]
    options = ["--methods", "lora", "--tasks", "avs", "--budget", "2%", "--set", "data.source=official", *models]
    if chosen == "file":
        (tmp_path / "study.toml").write_text(BUDGETED.format(tmp_path))
        options = [str(tmp_path / "study.toml")]
    assert cli.main([command, *options, "--executor", "nobody", "--results", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: 4 mistakes:\n  unknown executor nobody: ")
    messages = (
        "no-vision to load an encoder from",
        "no-audio to load an encoder from",
        "official needs --data-root DIR",
    )
    assert [error.count(message) for message in messages] == [1, 1, 1]


@pytest.mark.parametrize("budget", [[], ["--budget", "2%"]])
def test_what_a_method_cannot_adapt_is_told_beside_missing_data(budget, tmp_path, capsys):
    arguments = ["--methods", "lora", "--tasks", "avs", "--set", "lora.blocks=[0,4]", "data.source=official"]
    assert cli.main(["run", *arguments, *budget, "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: 2 mistakes:\n") and "official needs --data-root DIR" in error
    assert error.count("blocks: vision has no block 4") == 1


def test_options_are_told_beside_a_plan_that_is_wrong(tmp_path, capsys):
    arguments = ["--methods", "loar", "--tasks", "avs", "--settings", "nobodys", "--streams", ",", "--track", "paper"]
    assert cli.main(["run", *arguments, "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: 4 mistakes:\n")
    assert all(text in error for text in ("--track paper", "settings nobodys", "--streams: name", "method loar"))
