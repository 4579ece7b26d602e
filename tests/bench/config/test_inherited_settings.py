"""What a method that somebody derived from another has of that one's settings in a suite."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import mocks
import pytest

from bench import registry
from bench.config import inherited_settings, suite
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.methods.adalora import AdaLoRA
from bench.methods.base import Method
from bench.methods.cola import CoLA
from bench.methods.lora import LoRA

TASKS = ("ave", "avs", "refcoco")
# Of the methods of this package on TASKS of `mini`, seed 0: they inherit nothing, and records go by these names.
IDS = {
    "head": ("fa7d21f7f7c7", "c0736a639ead", "8dcc32a03183"),
    "full": ("5f8e620c684c", "882b7c6e3b3b", "1d4e5ab1d158"),
    "lora": ("3854dbb87518", "df450265c2b1", "76d0cf1604b5"),
    "dora": ("66b121995ce3", "6ee07553b33f", "21b5cae3b62e"),
    "adalora": ("59647c199c0e", "26e561a65ea3", "23871716e986"),
    "cola": ("733e15fc518c", "16affc5c355c", "03a698fe0aab"),
    "cola-dora": ("cc1ddb6d0ae0", "8752e4377a83", "587e2b0dcd35"),
    "cola-adalora": ("d1da59aa58ce", "1761aac254be", "3629aa8879be"),
    "cola+lora": ("9266295dff71", "f426d30004af", "f86fdf5396ea"),
    "cola+peft:ia3": ("444304bf103b", "4939486b6bf0", "08e108c7a073"),
    "peft:lora": ("d334fec6df5a", "4adfd56c0804", "cde4c3aa297b"),
}


@dataclass
class Mine(LoRA):
    """Somebody's own, with another default and a field of its own."""

    r: int = 8
    gate: float = 1.0


class Plain(LoRA):
    """One without fields of its own."""


class Nearer(Plain):
    """One whose nearest base has no name."""


@dataclass
class WithoutBase(Method):
    """One that derives from no method with a name."""

    r: int = 16

    def attach(self, model):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def own_names(monkeypatch):
    """Methods that are registered here are known here only; and what was told once is told again."""
    monkeypatch.setattr("bench.registry._added", {kind: {} for kind in registry._added})
    inherited_settings._warn_once.cache_clear()


def planned(cls, task="ave", of="mini", name="mine"):
    registry.add("methods", name, cls)
    (spec,) = make_plan(RunRequest(of, [name], [task]))
    return spec


def test_the_methods_of_this_package_have_the_runs_that_they_had():
    for name, ids in IDS.items():
        assert tuple(spec.id for spec in make_plan(RunRequest("mini", [name], TASKS))) == ids, name


def test_a_derived_method_has_the_settings_of_its_base_and_a_warning_says_so(caplog):
    assert planned(Plain).settings == {"r": 4, "alpha": 2.0, "dropout": 0.0}
    planned(Plain)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == "mine on ave inherits settings of lora, which it derives from, in suite mini: r=4, alpha=2.0"


def test_the_nearest_base_with_a_name_counts():
    assert planned(Nearer).settings["r"] == 4
    registry.add("methods", "plain", Plain)
    assert planned(Nearer, "avs").settings["alpha"] == 2.0, "one that inherits too passes it on"


def test_its_own_default_overrides_an_inherited_setting():
    assert planned(Mine).settings == {"r": 8, "alpha": 2.0, "dropout": 0.0, "gate": 1.0}


def test_a_matching_pattern_does_not_prevent_inheritance():
    cola = make_plan(RunRequest("mini", ["cola"], ["ave"]))[0]
    derived = planned(type("ColaPlus", (CoLA,), {}), name="colaplus")
    assert derived.settings == cola.settings and derived.settings["r"] == 4


def test_a_rate_for_one_task_is_inherited():
    rates = [planned(type("Mine", (AdaLoRA,), {}), task).recipe["lr_adapter"] for task in TASKS]
    assert rates == [1.58e-2, 2.81e-2, 1.58e-2]


@pytest.mark.parametrize("table", ["methods.mine", "tasks.ave.methods.mine"])
def test_a_table_of_its_name_is_all_that_counts(tmp_path: Path, table: str, caplog):
    registry.add("methods", "mine", Plain)
    path = tmp_path / "own.toml"
    text = (Path(suite.__file__).parents[1] / "suites" / "mini.toml").read_text()
    path.write_text(f"{text}\n[{table}]\nr = 3\n")
    assert planned(Plain, of=str(path)).settings == {"r": 3, "alpha": 8.0, "dropout": 0.0}
    assert not caplog.records


def test_a_method_without_a_named_base_has_its_defaults(caplog):
    assert planned(WithoutBase).settings == {"r": 16}
    assert not caplog.records


def test_an_installed_method_inherits_too(mock_suite):
    mock_suite.write_text(mocks.SUITE + "\n[methods.lora]\nr = 3\n")
    ave, avs = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave", "avs"]))
    assert ave.settings["r"] == 16, "the suite has a table of its name for this task"
    assert avs.settings["r"] == 3


PLUGIN = """\
from dataclasses import dataclass
from bench.methods.lora import LoRA

@dataclass
class Base(LoRA):
    r: int = 7

class Derived(Base):
    pass
"""
BROKEN = {"missing": "inherited_plugin:Nope", "raising": "inherited_plugin.raising:Other", "gone": "no_such:Base"}


def install(name_of_base, tmp_path, monkeypatch):
    """Install a package of methods, one of which derives from another, and two of which are broken."""
    for name, text in {"__init__": PLUGIN, "raising": "raise ValueError", "names": "from . import Base"}.items():
        (tmp_path / "inherited_plugin").mkdir(exist_ok=True)
        (tmp_path / "inherited_plugin" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "inherited_plugin", raising=False)
    installed = registry.entry_points
    values = {**BROKEN, "base": name_of_base, "derived": "inherited_plugin:Derived"}
    entries = [EntryPoint(name, value, "bench.methods") for name, value in values.items()]
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [*entries, *installed(group)] if group == "bench.methods" else installed(group),
    )


@pytest.mark.parametrize("name_of_base", ["inherited_plugin:Base", "inherited_plugin.names:Base"])
def test_methods_beside_the_base_are_neither_imported_nor_in_the_way(name_of_base, tmp_path, monkeypatch, caplog):
    install(name_of_base, tmp_path, monkeypatch)
    (spec,) = make_plan(RunRequest("mini", ["derived"], ["ave"]))
    assert spec.settings == {"r": 7, "alpha": 2.0, "dropout": 0.0}
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "base on ave inherits settings of lora",
        "derived on ave inherits settings of base",
    ]


def test_a_base_of_the_same_name_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    install("inherited_plugin.raising:Base", tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=r"method base cannot be imported from inherited_plugin\.raising:Base"):
        make_plan(RunRequest("mini", ["derived"], ["ave"]))
