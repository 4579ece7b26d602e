from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import mocks
import pytest

from bench import cli, registry
from bench.errors import BenchError, UsageError, did_you_mean
from bench.methods.base import Method
from bench.tasks.base import Task
from bench.tasks.refcoco import DATASETS

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
    expected = (
        "cannot be imported from no_such_package.gone:Gone: ModuleNotFoundError: No module named 'no_such_package'"
    )
    with pytest.raises(UsageError, match=f"method gone {re.escape(expected)}"):
        registry.load("methods", "gone")
    assert registry.summary("methods", "gone") == expected


BROKEN = {
    "syntax": ("def broken(:\n", "SyntaxError: invalid syntax"),
    "utf8": (b"x = '\xff'\n", "codec can't decode"),
    "raising": ("raise ValueError('not today')\n", "ValueError: not today"),
    "exiting": ("raise SystemExit(0)\n", "SystemExit: 0"),
    "lacking": ("", "AttributeError: module 'broken_lacking' has no attribute 'Mine'"),
}


@pytest.fixture(params=BROKEN)
def broken(request, tmp_path, monkeypatch):
    """The name of a method whose module cannot be imported, beside the others, with what the message says."""
    name, (text, message) = request.param, BROKEN[request.param]
    (tmp_path / f"broken_{name}.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.syspath_prepend(tmp_path)
    entries = [*mocks.ENTRY_POINTS["bench.methods"], EntryPoint(name, f"broken_{name}:Mine", "bench.methods")]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: entries if group == "bench.methods" else INSTALLED(group)
    )
    return name, message


@pytest.mark.parametrize("command", [["check-method"], ["run", "--tasks", "ave", "--dry-run", "--methods"]])
def test_a_plugin_that_cannot_be_imported_is_wrong_input(command, broken, capsys):
    name, message = broken
    assert cli.main([*command, name]) == 2
    captured = capsys.readouterr()
    assert f"method {name} cannot be imported from broken_{name}:Mine: " in captured.err and message in captured.err


def test_a_plugin_that_cannot_be_read_is_listed_beside_the_others(broken, capsys):
    name, message = broken
    assert cli.main(["list", "methods"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["lora"].endswith("Low-rank updates, made up.")
    if name in ("syntax", "utf8"):  # no module is imported for a list
        assert "cannot be imported" in lines[name] and message in lines[name]


def function():
    """No class at all."""


@dataclass
class NoMethod:
    """Has what a method has, and is none."""

    r: int = 1

    def attach(self, model):
        raise NotImplementedError


@pytest.mark.parametrize("value", ["function", "NoMethod", "TABLE"])
@pytest.mark.parametrize("command", [["check-method"], ["run", "--tasks", "ave", "--dry-run", "--methods"]])
def test_what_is_no_method_is_wrong_input(command, value, monkeypatch, capsys):
    entries = [EntryPoint("mine", f"{__name__}:{value}", "bench.methods")]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: entries if group == "bench.methods" else INSTALLED(group)
    )
    assert cli.main([*command, "mine"]) == 2
    assert "is not a method: it must be a dataclass that derives from bench.Method" in capsys.readouterr().err
    assert cli.main(["list", "methods"]) == 0


TABLE = {"r": 1}


class Undecorated(mocks.LoRA):
    """Has fields that are no settings."""

    paths: ClassVar[int] = 3
    r: int = 3
    hidden: int = 3


class BelowUndecorated(Undecorated):
    """Has none, and derives from one that has."""


@pytest.mark.parametrize("cls", [Undecorated, BelowUndecorated])
def test_fields_that_would_be_no_settings_are_refused(cls, monkeypatch):
    monkeypatch.setitem(registry._added, "methods", {"mine": cls})
    with pytest.raises(
        UsageError, match=r"Undecorated lacks the decorator @dataclass, so r, hidden would be no setting"
    ):
        registry.load("methods", "mine")


class WithoutFields(mocks.LoRA):
    """Overrides members only."""

    paths: ClassVar[int] = 3
    starts_as_frozen = False


def test_a_class_without_fields_needs_no_decorator(monkeypatch):
    monkeypatch.setitem(registry._added, "methods", {"mine": WithoutFields})
    assert registry.load("methods", "mine") is WithoutFields


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
    assert {*DATASETS} <= {*registry.names("tasks")}, "each data set of referring expressions is listed"
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
    assert registry.source("methods", "heavy") == (tmp_path / "heavy_plugin.py", "Heavy things.")


def test_the_source_of_what_cannot_be_read_is_unknown():
    for name in ("gone", "unknown"):
        assert registry.source("methods", name) == (None, "")


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
class Family(Method):
    """A method for every name but two.

    Its members are made when they are asked for.
    """

    def attach(self, model):
        raise NotImplementedError

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
