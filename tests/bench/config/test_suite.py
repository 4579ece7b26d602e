from __future__ import annotations

from dataclasses import dataclass

import mocks
import pytest

from bench.config import suite
from bench.config.plan import RunRequest, make_plan
from bench.config.recipe import Recipe
from bench.errors import UsageError


def test_a_suite_is_read_from_its_file(mock_suite):
    loaded = suite.load_suite(str(mock_suite))
    assert (loaded.name, loaded.data.version) == ("mock", 3)
    assert loaded.streams["audio"].model == "embedded:audio-v1"
    assert isinstance(loaded.train, Recipe)
    assert loaded.tasks["ave"].methods == {"cola": {"inter_scale": 0.1}}
    assert loaded.tasks["avs"].streams == ("vision", "audio")


def test_a_stream_may_have_inputs_of_another_extent(mock_suite):
    """What is not said stays out of the specification, so that runs keep their ids."""
    (before,) = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"]))
    text = mocks.SUITE.replace('"embedded:audio-v1"', '"embedded:audio-v1"\nframes = 1024')
    mock_suite.write_text(text)
    (spec,) = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"]))
    assert spec.streams["audio"] == {"model": "embedded:audio-v1", "frames": 1024}
    assert spec.streams["vision"] == before.streams["vision"] == {"model": "embedded:vision-v2"}
    assert spec.id != before.id
    mock_suite.write_text(text.replace("1024", "0"))
    with pytest.raises(UsageError, match=r"streams\.audio: frames must be from 1 to 360000, not 0"):
        suite.load_suite(str(mock_suite))


def test_every_mistake_is_reported_with_file_and_key(mock_suite):
    broken = mocks.SUITE.replace("seed = 7", "sede = 7").replace("epochs = 4", 'epochs = "many"')
    broken = broken.replace("inter_scale = 0.1", "inter_scael = 0.1").replace("[tasks.avs]", "[tasks.avz]")
    mock_suite.write_text(broken.replace('["vision", "audio"]', '["vision", "odio"]'))
    with pytest.raises(UsageError) as raised:
        suite.load_suite(str(mock_suite))
    assert all(problem.startswith(f"{mock_suite}: ") for problem in raised.value.problems)
    message = str(raised.value)
    assert "unknown key data.sede: did you mean seed?" in message
    assert "train.epochs must be a whole number, not 'many'" in message
    assert "unknown key tasks.ave.methods.cola.inter_scael: did you mean inter_scale?" in message
    assert "tasks.ave.streams: unknown stream odio: did you mean audio? known: audio, vision" in message
    assert "unknown task avz: did you mean avs or ave?" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = x\n", "at line 1"),
        ("name = 3\nabuot = ''", "unknown key abuot: did you mean about?"),
        ("name = 'x'", "tasks is missing"),
        (mocks.SUITE.replace('[streams.audio]\nmodel = "embedded:audio-v1"', '[streams]\naudio = "x"'), "streams"),
    ],
)
def test_wrong_files(mock_suite, text, message):
    mock_suite.write_text(text)
    with pytest.raises(UsageError) as raised:
        suite.load_suite(str(mock_suite))
    assert message in str(raised.value)
    assert str(mock_suite) in str(raised.value)


def test_missing_suites(tmp_path):
    with pytest.raises(UsageError, match="unknown suite nini"):
        suite.load_suite("nini")
    with pytest.raises(UsageError, match="there is no suite file"):
        suite.load_suite(str(tmp_path / "nini.toml"))


def test_official_data_has_neither_version_nor_seed():
    assert suite.Data(source="official", version=2).to_config() == {"source": "official"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", 8), ("1e-3", 1e-3), ("true", True), ('"8"', "8"), ("mean", "mean"), ('["q", "v"]', ["q", "v"]), ("", "")],
)
def test_values_of_the_command_line(text, value):
    assert suite.parse_value(text) == value


@pytest.mark.parametrize("name", suite.suite_names())
def test_built_in_suites_are_right(name):
    assert suite.load_suite(name).name == name
    assert suite.suite_summary(name)


def test_leaving_samples_out_is_another_measurement():
    assert suite.Data(skip_unreadable=True).to_config() != suite.Data().to_config()


def test_a_suite_may_give_settings_of_methods_on_every_task(mock_suite):
    text = mock_suite.read_text()
    mock_suite.write_text(text + "\n[methods.cola]\nr = 3\nalpha = 5.0\n")
    assert suite.load_suite(str(mock_suite)).methods == {"cola": {"r": 3, "alpha": 5.0}}
    mock_suite.write_text(text + "\n[methods.colaa]\nr = 3\n[methods.cola]\nrr = 3\n")
    with pytest.raises(UsageError) as mistakes:
        suite.load_suite(str(mock_suite))
    assert len(mistakes.value.problems) == 2


PATTERNS = """
[methods."*"]
alpha = 1.0
r = 1

[methods.cola]
r = 2

[methods."col*"]
alpha = 3.0
r = 3

[tasks.ave.methods."c*"]
inter_scale = 0.4
summary = "mean"

[tasks.avs.methods."c*"]
r = 5
"""


def test_patterns_stand_for_several_methods_and_the_more_particular_table_counts(mock_suite):
    mock_suite.write_text(mocks.SUITE + PATTERNS)
    loaded = suite.load_suite(str(mock_suite))
    assert loaded.method_settings("lora", "ave") == {"alpha": 1.0, "r": 1}
    assert loaded.method_settings("colander", "avs") == {"alpha": 3.0, "r": 5}, (
        "of patterns the later, of tables the task's"
    )
    assert loaded.method_settings("cola", "avs")["r"] == 5, "a task's pattern counts before the suite's name"
    assert loaded.method_settings("cola", "ave") == {"alpha": 3.0, "r": 2, "inter_scale": 0.1, "summary": "mean"}


def test_a_pattern_is_checked_where_it_is_used(mock_suite):
    mock_suite.write_text(mocks.SUITE + '\n[methods."c*"]\nrr = 3\n')
    assert suite.load_suite(str(mock_suite)).method_settings("lora", "ave") == {}
    make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    with pytest.raises(UsageError, match=r"unknown key cola\.rr: did you mean r"):
        make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"]))


def test_a_method_may_have_learning_rates_of_its_own_and_nothing_else(mock_suite):
    mock_suite.write_text(mocks.SUITE + "\n[methods.lora]\nlr_adapter = 1e-5\nlr_head = 1e-4\nr = 3\n")
    assert suite.load_suite(str(mock_suite)).methods == {"lora": {"lr_adapter": 1e-5, "lr_head": 1e-4, "r": 3}}
    mock_suite.write_text(mocks.SUITE + '\n[methods.lora]\nlr_adapter = "high"\nclip = 1e-5\n')
    with pytest.raises(UsageError) as raised:
        suite.load_suite(str(mock_suite))
    assert raised.value.problems == [
        f"{mock_suite}: methods.lora.lr_adapter must be a finite number, not 'high'",
        f"{mock_suite}: unknown key methods.lora.clip: known: alpha, head_factor, lr_adapter, lr_head, r",
    ]


def test_a_methods_settings_are_not_part_of_the_recipe():
    @dataclass
    class Warm:
        lr_adapter: int = 1

    values = {"lr_adapter": 3, "r": 2}
    assert suite.split_method(Warm, values) == (values, {})
    assert suite.split_method(mocks.LoRA, values) == ({"r": 2}, {"lr_adapter": 3})


@pytest.mark.parametrize("task", ["ave", "avs"])
def test_the_settings_of_mini_for_families(task):
    plan = make_plan(RunRequest("mini", ["cola", "cola+peft:ia3", "cola-adalora", "peft:ia3", "full"], [task]))
    of = {spec.method: spec for spec in plan}
    assert {of[name].settings["inter_scale"] for name in of if name.startswith("cola")} == {0.1}
    assert {of[name].settings["reduction"] for name in of if name.startswith("cola")} == {8}
    assert of["cola+peft:ia3"].settings["inter_r"] == 4 and of["cola"].settings["inter_r"] is None
    assert of["full"].recipe["lr_adapter"] == pytest.approx(of["cola"].recipe["lr_adapter"] / 10)


def test_a_task_that_a_suite_lacks_is_looked_up_in_others():
    with pytest.raises(UsageError, match=r"suite mini has no task avs_ms3; it has .*; suites with it: full, paper-avs"):
        suite.load_suite("mini").task("avs_ms3")
