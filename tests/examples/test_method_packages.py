"""The examples of methods in packages of their own: short, conforming, and trained, saved and loaded like any other."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import pytest
import torch
from example_packages import EXAMPLES, install

from bench import cli
from bench.data import splits
from bench.datasets.build import build, folder
from bench.records import store

FEW = {"train": 4, "val": 1, "test": 2}
METHODS = ("fast-b", "prompts", "cross-attention")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of a few generated videos."""
    root = tmp_path_factory.mktemp("cache")
    place = folder(root, "ave", seed=0)
    place.mkdir(parents=True)
    manifest = build(place, "ave", seed=0, counts=FEW, workers=1)
    (place / "manifest.json").write_text(json.dumps(asdict(manifest)))
    return root


@pytest.fixture(scope="module", params=METHODS)
def name(request, tmp_path_factory):
    """The name of an installed method."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    package = f"bench-{request.param}"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(install(package, tmp_path_factory.mktemp(package)))
        yield request.param
    torch.set_num_threads(threads)
    splits._cache.clear()
    sys.modules.pop(package.replace("-", "_"), None)


def test_its_code_is_short_and_replaces_nothing(name):
    (module,) = (EXAMPLES / f"bench-{name}").glob("*.py")
    code = module.read_text()
    assert len(code.splitlines()) <= 60
    assert "setattr" not in code and "patch" not in code


def test_it_conforms(name, capsys):
    assert cli.main(["check-method", name]) == 0, capsys.readouterr().out


def test_both_paths_are_trained_and_a_saved_adapter_has_the_same_scores(name, cache, tmp_path, capsys):
    combined = f"cola+{name}"
    arguments = ["--methods", f"{name},{combined}", "--tasks", "ave", "--data-root", str(cache), "--device", "cpu"]
    arguments += ["--results", str(tmp_path), "--save-adapters", "--set", "ave.epochs=2", f"{combined}.inter_r=2"]
    assert cli.main(["run", *arguments]) == 0
    records = {record.spec.method: record for record in store.read_all(tmp_path)}
    assert {record.status for record in records.values()} == {"ok"}
    assert records[combined].parameters.adapter > records[name].parameters.adapter
    assert all(record.parameters.no_gradient == 0 for record in records.values())
    for record in records.values():
        capsys.readouterr()
        place = ["--data-root", str(cache), "--device", "cpu", "--json"]
        assert cli.main(["eval", str(tmp_path / record.adapter), *place]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert record.scores.test and scores["test"] == pytest.approx(record.scores.test)
