from __future__ import annotations

from importlib.metadata import EntryPoint

import mocks
import pytest

from bench import registry
from bench.errors import BenchError, UsageError

pytestmark = pytest.mark.usefixtures("mock_registry")


def test_names_are_sorted():
    assert registry.names("methods") == ["cola", "gone", "lora"]
    assert registry.names("tasks") == ["ave", "avs"]


def test_load_imports_the_class():
    assert registry.load("methods", "cola") is mocks.CoLA


def test_unknown_name_proposes_the_nearest_and_says_what_exists():
    with pytest.raises(UsageError, match="unknown method loraa: did you mean lora\\? known: cola, gone, lora"):
        registry.load("methods", "loraa")
    with pytest.raises(UsageError, match="unknown task segmentation: known: ave, avs"):
        registry.load("tasks", "segmentation")


def test_broken_plugin_is_named():
    with pytest.raises(BenchError, match=r"method gone cannot be imported from no_such_package\.gone:Gone"):
        registry.load("methods", "gone")
    assert registry.summary("methods", "gone") == ""


def test_summary_is_the_first_line_of_the_docstring():
    assert registry.summary("methods", "lora") == "Low-rank updates, made up."


def test_summary_does_not_import_the_module(tmp_path, monkeypatch):
    (tmp_path / "heavy_plugin.py").write_text('raise ImportError\nclass Heavy:\n    """Heavy things."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("heavy", "heavy_plugin:Heavy", "bench.methods")
    monkeypatch.setattr("bench.registry.entry_points", lambda group: [entry])
    assert registry.summary("methods", "heavy") == "Heavy things."


def test_two_plugins_with_one_name_are_told_apart(monkeypatch):
    entries = [EntryPoint("lora", value, "bench.methods") for value in ("one:LoRA", "two:LoRA")]
    monkeypatch.setattr("bench.registry.entry_points", lambda group: entries)
    with pytest.raises(BenchError, match="two methods are called lora: one:LoRA and two:LoRA"):
        registry.names("methods")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("LORA", "did you mean lora? known: cola, lora"),
        ("lola", "did you mean lora or cola? known: cola, lora"),
        ("x", "known: cola, lora"),
    ],
)
def test_did_you_mean(name, told):
    assert registry.did_you_mean(name, ["lora", "cola"]) == told


def test_did_you_mean_where_nothing_exists():
    assert registry.did_you_mean("x", []) == "known: none"
