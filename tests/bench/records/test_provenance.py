"""What a run was made with: the code of method and task, and the encoders."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bench.config.plan import RunRequest, make_plan
from bench.methods.cola import CoLA, CrossModal
from bench.methods.lora import LoRA
from bench.records import provenance, source_code
from bench.streams.sources import WEIGHTS, encoder_checksum
from bench.tasks.ave import AVE

METHOD = '''
from dataclasses import dataclass
from mine import arithmetic
from bench.methods.base import Method

@dataclass
class Mine(Method):
    """A method."""

    def attach(self, model):
        # This comment may change.
        return arithmetic.double(3)
'''
HELPER = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes the package `mine` anew and returns the code of its method."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine").mkdir()

    def write(method=METHOD, helper=HELPER):
        (tmp_path / "mine" / "__init__.py").touch()
        (tmp_path / "mine" / "method.py").write_text(method)
        (tmp_path / "mine" / "arithmetic.py").write_text(helper)
        (tmp_path / "mine" / "unused.py").write_text(f"{len(method) + len(helper)}")
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return provenance.code_of(importlib.import_module("mine.method").Mine)

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_code_is_the_behavior_of_the_module_and_its_imports(package):
    first = package()
    assert package(METHOD.replace("may change", "has changed").replace("A method.", "My method.")) == first
    assert package(METHOD.replace("double(3)", "double(4)")).checksum != first.checksum
    assert package(helper=HELPER.replace("2 * x", "3 * x")).checksum != first.checksum, "what it imports counts"
    assert (first.distribution, first.version) == (None, None)


def test_edits_after_the_import_do_not_count(package, tmp_path, caplog):
    first = package()
    mine = sys.modules["mine.method"].Mine
    edited = METHOD.replace("double(3)", "double(44)")
    (tmp_path / "mine" / "method.py").write_text(edited)
    assert provenance.code_of(mine) == first, "as it was when this was first asked"
    provenance._CODE.clear()
    unsure = provenance.code_of(mine)
    assert "method.py was edited after it was imported" in caplog.text
    assert unsure not in (first, package(edited)), "not taken for what the file says now"


def test_modules_belong_to_the_distributions_that_metadata_names():
    """Later Pythons than 3.11 also name compiled modules, which have no source to follow."""
    fast, slow = source_code._distributions.__wrapped__(), metadata.packages_distributions()
    assert {"torch", "PIL", "yaml", "_pytest"} <= fast.keys()
    # metadata names a distribution as often as it is found, which is twice once setuptools has shown its own copies
    assert {name: set(names) for name, names in fast.items()} == {name: set(slow[name]) for name in fast}


def test_loose_modules_beside_it_and_versions_of_others_are_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "loose_method.py").write_text(METHOD.replace("from mine import", "from loose_helpers import"))

    def code(helper, version="1.0"):
        (tmp_path / "loose_helpers.py").write_text(f"import installed_elsewhere\n{helper}")
        monkeypatch.setattr(source_code, "_distributions", lambda: {"installed_elsewhere": ["elsewhere"]})
        monkeypatch.setattr(source_code, "_version", lambda name: version)
        provenance._CODE.clear()
        (tmp_path / "installed_elsewhere.py").write_text(f"{len(helper)}")
        return provenance.code_of(vars(importlib.import_module("loose_method"))["Mine"]).checksum

    class_ = "class arithmetic:\n    double = lambda x: 2 * x\n"
    try:
        first = code(class_)
        assert code(class_) == first != code(class_.replace("2 *", "3 *"))
        assert code(class_, version="2.0") != first
    finally:
        for name in ("loose_method", "loose_helpers", "installed_elsewhere"):
            sys.modules.pop(name, None)
        provenance._CODE.clear()


def _of_notebook(body: str) -> type:
    """A class as a notebook's cells define it: in `__main__`, without a file."""
    cell = (
        "from dataclasses import dataclass\nfrom bench.methods.base import Method\nFACTOR = 2\n"
        f"def scaled(x):\n    return FACTOR * x\n@dataclass\nclass Mine(Method):\n    r: int = 4\n{body}"
    )
    scope = {"__name__": "__main__"}
    exec(compile(cell, "<cell>", "exec", dont_inherit=True), scope)
    return scope["Mine"]


ATTACH = '    def attach(self, model):\n        """Attach."""\n        return scaled(self.r)\n'


def test_a_class_redefined_in_a_notebook_is_another_one():
    first = provenance.code_of(_of_notebook(ATTACH))
    assert provenance.code_of(_of_notebook(ATTACH)) == first, "the same cell run again"
    assert provenance.code_of(_of_notebook(ATTACH.replace("Attach.", "Do it."))) == first
    assert provenance.code_of(_of_notebook(ATTACH.replace('        """Attach."""\n', ""))) == first
    assert provenance.code_of(_of_notebook(ATTACH.replace("self.r)", "self.r + 1)"))).checksum != first.checksum
    redefined = _of_notebook(ATTACH)
    redefined.attach.__globals__["FACTOR"] = 3
    assert provenance.code_of(redefined).checksum != first.checksum, "what its functions use counts"


USES = """
LAYERS, KEYS = [0, 1], {"a": 1}
def factory(n):
    def inner(x):
        return n * x
    return inner
scale = factory(10)
@lru_cache
def cached(x):
    return x + 1
@dataclass
class Mine(Method):
    r: int = 4
    @torch.no_grad()
    def attach(self, model):
        return scale(cached(len(LAYERS) + KEYS["a"])), model in {"bias", "beta", "gamma"}
"""


def _using(body: str = USES) -> str:
    imports = (
        "import torch\nfrom dataclasses import dataclass\nfrom functools import lru_cache\n"
        "from bench.methods.base import Method\n"
    )
    scope = {"__name__": "__main__"}
    exec(compile(imports + body, "<cell>", "exec", dont_inherit=True), scope)
    return provenance.code_of(scope["Mine"]).checksum


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[0, 1]", "[5]"),
        ('{"a": 1}', '{"a": 2}'),
        ("factory(10)", "factory(20)"),
        ("x + 1", "x + 2"),
        ("return scale", "return -scale"),
        ('"gamma"', '"delta"'),
    ],
)
def test_whatever_a_class_of_a_notebook_uses_counts(old, new):
    assert _using() == _using(), "the same cell run again"
    assert _using(USES.replace(old, new)) != _using()


def test_a_class_of_a_script_is_the_same_in_every_process():
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import test_provenance as t; print(t._using())"
    checksums = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(checksums) == 1, "sets have no order"


def test_code_of_this_package_is_compared_without_its_version():
    cola = provenance.code_of(CoLA)
    assert cola.distribution == "crossmodal-bench"
    assert cola.checksum not in (provenance.code_of(LoRA).checksum, provenance.code_of(AVE).checksum)
    spec = make_plan(RunRequest("mini", ["cola"], ["ave"]))[0]
    today = provenance.provenance_of(spec)
    released = dataclasses.replace(cola, version="99.0")
    assert provenance.differences(dataclasses.replace(today, method=released), today) == []
    changed = dataclasses.replace(cola, checksum="0")
    assert provenance.differences(dataclasses.replace(today, method=changed), today) == ["the code of its method"]
    foreign = dataclasses.replace(cola, distribution="bench-bitfit", version="1.0")
    newer = dataclasses.replace(foreign, version="1.1")
    changes = provenance.differences(dataclasses.replace(today, task=foreign), dataclasses.replace(today, task=newer))
    assert changes == ["the code of its task"], "another distribution's version counts"
    assert provenance.differences(None, today) == [], "older records do not say"


def test_the_path_beside_another_method_has_the_code_of_both(package):
    package()
    mine = sys.modules["mine.method"].Mine
    joined = dataclasses.make_dataclass("cola+mine", [], bases=(CrossModal, mine))
    before = provenance.code_of(joined)
    package(helper=HELPER.replace("2 * x", "3 * x"))
    after = dataclasses.make_dataclass("cola+mine", [], bases=(CrossModal, sys.modules["mine.method"].Mine))
    assert provenance.code_of(after).checksum != before.checksum


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors", "tokenizer.json"])
def test_encoders_are_distinguished_by_everything_that_affects_their_output(tmp_path, file):
    folder = tmp_path / "encoder"
    shutil.copytree(WEIGHTS / "text-v2", folder)
    before = encoder_checksum(str(folder))
    (folder / "README.md").write_text("other words")
    assert encoder_checksum(str(folder)) == before == encoder_checksum("embedded:text-v2")
    path = folder / file
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b" ")
    assert encoder_checksum(str(folder)) != before


def test_weights_changed_in_place_are_loaded_again(tmp_path):
    """In one process, as in a notebook."""
    from safetensors.torch import load_file, save_file

    from bench.training.setup import _pretrained

    folder = tmp_path / "encoder"
    shutil.copytree(WEIGHTS / "vision-v2", folder)
    source = {"model": str(folder)}
    before = next(_pretrained(source).parameters())
    path: Path = folder / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    assert not next(_pretrained(source).parameters()).equal(before)
