from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import mocks
import pytest

from bench import registry
from bench.errors import BenchError, UsageError, did_you_mean
from bench.methods.base import Method
from bench.tasks.base import Task

INSTALLED = registry.entry_points
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


def test_a_task_that_lacks_members_is_refused_with_their_names(monkeypatch):
    class Mine(Task):
        """Defines one of its metrics, and a loss."""

        metric = "accuracy"

        def loss(self, output, batch):
            raise NotImplementedError

    monkeypatch.setitem(registry._added, "tasks", {"mine": Mine})
    with pytest.raises(
        UsageError,
        match=r"task mine: .*Mine lacks benchmark, head, layout, metrics, samples, score, the decorator @dataclass:",
    ):
        registry.load("tasks", "mine")


def test_one_missing_member_is_one(monkeypatch):
    @dataclass
    class Mine(Method):
        """Attaches nothing."""

    monkeypatch.setitem(registry._added, "methods", {"mine": Mine})
    with pytest.raises(UsageError, match=r"Mine lacks attach: define it, as docs/extend/method\.md describes"):
        registry.load("methods", "mine")


def test_every_registered_class_is_complete(monkeypatch):
    monkeypatch.setattr("bench.registry.entry_points", INSTALLED)
    for name in registry.names("tasks"):
        if "<" not in name:
            assert registry.load("tasks", name)


def test_summary_is_the_first_line_of_the_docstring():
    assert registry.summary("methods", "lora") == "Low-rank updates, made up."


def test_summary_does_not_import_the_module(tmp_path, monkeypatch):
    (tmp_path / "heavy_plugin.py").write_text('raise ImportError\nclass Heavy:\n    """Heavy things."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("heavy", "heavy_plugin:Heavy", "bench.methods")
    monkeypatch.setattr("bench.registry.entry_points", lambda group: [entry])
    assert registry.summary("methods", "heavy") == "Heavy things."


def test_two_plugins_with_one_name_are_distinguished(monkeypatch):
    entries = [EntryPoint("lora", value, "bench.methods") for value in ("one:LoRA", "two:LoRA")]
    monkeypatch.setattr("bench.registry.entry_points", lambda group: entries)
    with pytest.raises(BenchError, match="two methods are named lora: one:LoRA and two:LoRA"):
        registry.names("methods")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LORA", "did you mean lora? known: cola, lora"),
        ("lola", "did you mean lora or cola? known: cola, lora"),
        ("x", "known: cola, lora"),
    ],
)
def test_did_you_mean(name, message):
    assert did_you_mean(name, ["lora", "cola"]) == message


def test_did_you_mean_where_nothing_exists():
    assert did_you_mean("x", []) == "known: none"


@dataclass
class Family:
    """A method for every name but two.

    Its members are made when they are asked for.
    """

    @classmethod
    def named(cls, name):
        if name == "none":
            raise UsageError("there is no member none")
        return type(f"Family{name}", (cls,), {"name": name})


@pytest.fixture
def families(monkeypatch):
    """Two families and a method whose name begins like theirs."""
    entries = [
        EntryPoint("wrap:<name>", f"{__name__}:Family", "bench.methods"),
        EntryPoint("wrap+<name>", f"{__name__}:Family", "bench.methods"),
        EntryPoint("wrap:lora", "mocks:LoRA", "bench.methods"),
        EntryPoint("wrap", "mocks:CoLA", "bench.methods"),
    ]
    monkeypatch.setattr("bench.registry.entry_points", lambda group: entries)


def test_a_family_answers_to_every_name_that_begins_like_it(families):
    assert registry.names("methods") == ["wrap", "wrap+<name>", "wrap:<name>", "wrap:lora"]
    assert registry.load("methods", "wrap:x").name == "x"
    assert registry.load("methods", "wrap+wrap:x").name == "wrap:x"
    assert issubclass(registry.load("methods", "wrap:x"), Family)
    assert registry.summary("methods", "wrap:x") == registry.summary("methods", "wrap:<name>")
    assert registry.summary("methods", "wrap:x") == "A method for every name but two."


def test_a_name_of_its_own_comes_before_a_family(families):
    assert registry.load("methods", "wrap:lora") is mocks.LoRA
    assert registry.load("methods", "wrap") is mocks.CoLA


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrap:none", "there is no member none"),
        ("wrap:<name>", r"wrap:<name> stands for many methods: replace <\.\.\.> by the name of one"),
        ("wrap:", r"unknown method wrap:: did you mean wrap"),
        ("warp+x", r"unknown method warp\+x: .*known: wrap, wrap\+<name>, wrap:<name>, wrap:lora"),
    ],
)
def test_what_is_no_member_of_a_family(families, name, message):
    with pytest.raises(UsageError, match=message):
        registry.load("methods", name)


@pytest.fixture
def nothing_added(monkeypatch):
    monkeypatch.setattr("bench.registry._added", {kind: {} for kind in registry._added})


@pytest.mark.usefixtures("nothing_added")
def test_a_class_can_be_added_for_this_process():
    registry.add("methods", "mine", Family)
    assert registry.names("methods") == ["cola", "gone", "lora", "mine"]
    assert registry.names("tasks") == ["ave", "avs"]
    assert registry.load("methods", "mine") is Family
    assert registry.summary("methods", "mine") == "A method for every name but two."
    with pytest.raises(UsageError, match=r"did you mean mine\? known: cola, gone, lora, mine"):
        registry.load("methods", "minne")
    registry.add("methods", "mine", mocks.LoRA)  # as a notebook's cell does that is run again
    assert registry.load("methods", "mine") is mocks.LoRA


@pytest.mark.usefixtures("nothing_added")
def test_an_installed_one_is_not_replaced():
    with pytest.raises(UsageError, match="there is a method lora already: give yours another name"):
        registry.add("methods", "lora", Family)
    assert registry.load("methods", "lora") is mocks.LoRA


def test_what_comes_onto_the_path_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.registry.entry_points", INSTALLED)
    assert "late" not in registry.names("methods")
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nlate = late:Late\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "late" in registry.names("methods")
