from __future__ import annotations

import mocks
import pytest

from bench import suite
from bench.errors import UsageError
from bench.recipe import Recipe


def test_a_suite_is_read_from_its_file(mock_suite):
    loaded = suite.load_suite(str(mock_suite))
    assert (loaded.name, loaded.data.version) == ("mock", 3)
    assert loaded.streams["audio"].model == "embedded:audio-v1"
    assert isinstance(loaded.train, Recipe)
    assert loaded.tasks["ave"].methods == {"cola": {"inter_scale": 0.1}}
    assert loaded.tasks["avs"].streams == ("vision", "audio")


def test_every_mistake_is_told_with_file_and_key(mock_suite):
    broken = mocks.SUITE.replace("seed = 7", "sede = 7").replace("epochs = 4", 'epochs = "many"')
    broken = broken.replace("inter_scale = 0.1", "inter_scael = 0.1").replace("[tasks.avs]", "[tasks.avz]")
    mock_suite.write_text(broken.replace('["vision", "audio"]', '["vision", "odio"]'))
    with pytest.raises(UsageError) as raised:
        suite.load_suite(str(mock_suite))
    assert all(problem.startswith(f"{mock_suite}: ") for problem in raised.value.problems)
    told = str(raised.value)
    assert "unknown key data.sede: did you mean seed?" in told
    assert "train.epochs must be a whole number, not 'many'" in told
    assert "unknown key tasks.ave.methods.cola.inter_scael: did you mean inter_scale?" in told
    assert "tasks.ave.streams: unknown stream odio: did you mean audio? known: audio, vision" in told
    assert "unknown task avz: did you mean avs or ave?" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = x\n", "at line 1"),
        ("name = 3\nabuot = ''", "unknown key abuot: did you mean about?"),
        ("name = 'x'", "tasks is missing"),
        (mocks.SUITE.replace('[streams.audio]\nmodel = "embedded:audio-v1"', '[streams]\naudio = "x"'), "streams"),
    ],
)
def test_wrong_files(mock_suite, text, told):
    mock_suite.write_text(text)
    with pytest.raises(UsageError) as raised:
        suite.load_suite(str(mock_suite))
    assert told in str(raised.value)
    assert str(mock_suite) in str(raised.value)


def test_missing_suites(tmp_path):
    with pytest.raises(UsageError, match="unknown suite nini"):
        suite.load_suite("nini")
    with pytest.raises(UsageError, match="there is no suite file"):
        suite.load_suite(str(tmp_path / "nini.toml"))


def test_official_data_has_neither_version_nor_seed():
    assert suite.Data(source="official", version=2).identity() == {"source": "official"}


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
    assert suite.Data(skip_unreadable=True).identity() != suite.Data().identity()


def test_a_suite_may_give_settings_of_methods_on_every_task(mock_suite):
    text = mock_suite.read_text()
    mock_suite.write_text(text + "\n[methods.cola]\nr = 3\nalpha = 5.0\n")
    assert suite.load_suite(str(mock_suite)).methods == {"cola": {"r": 3, "alpha": 5.0}}
    mock_suite.write_text(text + "\n[methods.colaa]\nr = 3\n[methods.cola]\nrr = 3\n")
    with pytest.raises(UsageError) as mistakes:
        suite.load_suite(str(mock_suite))
    assert len(mistakes.value.problems) == 2
