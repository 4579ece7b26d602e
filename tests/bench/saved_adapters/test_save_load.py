"""Saved adapters, from runs on a few generated videos: what is in the folder, and what comes back out of it."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from alike import alike
from safetensors import SafetensorError
from safetensors.torch import load_file
from unusual_methods import CentredMethod, Forgetful, Unfaithful

from bench import cli, registry
from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec
from bench.errors import BenchError, UsageError
from bench.execution.finished_runs import look_up
from bench.execution.single_run import execute
from bench.records import schema, store
from bench.saved_adapters import save_load
from bench.saved_adapters.evaluate import evaluate
from bench.saved_adapters.save_load import load_adapter

METHODS = ("lora", "cola-adalora", "full", "head", "peft:vera", "centred")
RECIPE = ["avs.batch_size=3", "avs.epochs=2"]
HEADLESS = {"README.md", "record.json", "method.json", "head.safetensors", "manifest.json"}


@pytest.fixture(autouse=True, scope="module")
def registered():
    """They have names, as those of an installed package have."""
    with pytest.MonkeyPatch.context() as patch:
        for name, method in {"centred": CentredMethod, "forgetful": Forgetful, "other": Unfaithful}.items():
            patch.setitem(registry._added["methods"], name, method)
        yield


def spec(method: str, *changes: str) -> Spec:
    (one,) = make_plan(RunRequest("mini", [method], ["avs"], [0], [*RECIPE, *changes]))
    return one


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory):
    """Train and saves a method, once; what it returns has the record, the folder, the model and the method."""
    results = tmp_path_factory.mktemp("results")
    runs: dict[str, SimpleNamespace] = {}
    save = save_load.save

    def run(name):
        def noted(folder, record, model, method, *guard):
            runs[name] = SimpleNamespace(record=record, folder=folder, model=model, method=method)
            save(folder, record, model, method, *guard)

        if name not in runs:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(save_load, "save", noted)
                record = execute(spec(name), replace(options, results=results, save_adapters=True))
            assert record == runs[name].record and record.status == "ok", record.traceback
            assert runs[name].folder == results / record.adapter
        return runs[name]

    return run


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of a saved adapter, to be broken."""
    return lambda name: Path(shutil.copytree(trained(name).folder, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lora", {"vision", "audio"}),
        ("peft:vera", {"vision", "audio"}),
        ("cola-adalora", {"vision", "audio", "inter_modal"}),
        ("full", {"adapter.safetensors"}),
        ("head", set()),
        ("centred", {"adapter.safetensors"}),
    ],
)
def test_a_folder_contains_card_record_head_and_adapters(trained, name, parts):
    run = trained(name)
    assert {path.name for path in run.folder.iterdir()} == HEADLESS | parts
    for part in parts - {"adapter.safetensors"}:
        assert {path.name for path in (run.folder / part).iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
    assert store.read(run.folder / "record.json") == run.record
    assert run.record.adapter == f"adapters/{schema.stem(spec(name))}"
    saved = load_file(run.folder / "head.safetensors")
    assert saved.keys() == run.model.head.state_dict().keys()
    assert json.loads((run.folder / "method.json").read_text())["settings"] == run.record.spec.settings
    assert not list(run.folder.parent.glob(".*")), "what it was written into is left over"


@pytest.mark.parametrize("name", METHODS)
def test_the_recorded_scores_come_back(trained, options, name):
    run = trained(name)
    evaluation = evaluate(run.folder, options)
    assert evaluation.scores["test"] == alike(run.record.scores.test)
    assert evaluation.recorded("test") == run.record.scores.test
    assert evaluation.record == run.record


def test_the_split_that_chose_the_epoch(trained, options):
    run = trained("lora")
    best = run.record.scores.validation[run.record.scores.best_epoch - 1]
    assert evaluate(run.folder, options, task="avs", split="val").scores == {"val": alike(best.scores)}


@pytest.mark.parametrize("name", METHODS)
def test_the_adapter_comes_back_as_it_was_trained(trained, name):
    run = trained(name)
    state = torch.get_rng_state()
    streams = load_adapter(run.folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in streams.modules())
    expected = run.model.streams.state_dict()
    loaded_state = streams.state_dict()
    assert loaded_state.keys() == expected.keys()
    assert all(torch.equal(loaded_state[key], expected[key]) for key in expected)
    generator = torch.Generator().manual_seed(1)
    vision, audio = (streams.streams[key].input for key in ("vision", "audio"))
    shapes = {"vision": (2, 3, vision.size, vision.size), "audio": (2, audio.frames, audio.mel_bins)}
    inputs = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    run.model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(streams(inputs), run.model.streams(inputs))


def test_the_saved_parameters_were_trained(trained):
    """The tests above would hold for adapters that nothing was done to."""
    lora = load_file(trained("lora").folder / "vision" / "adapter_model.safetensors")
    assert all(tensor.any() for key, tensor in lora.items() if "lora_B" in key)
    inter = load_file(trained("cola-adalora").folder / "inter_modal" / "adapter_model.safetensors")
    assert all(tensor.any() for key, tensor in inter.items() if key.endswith(".B"))


def test_a_second_save_replaces_the_first_or_leaves_it(trained, copied, monkeypatch):
    run, folder = trained("lora"), copied("lora")
    before = contents(folder)
    (folder / "stale.txt").write_text("of the first")
    save_load.save(folder, run.record, run.model, run.method)
    assert contents(folder) == before

    def full(*args):
        raise SafetensorError("I/O error: no space left on device")

    monkeypatch.setattr(save_load, "write_tensors", full)
    with pytest.raises(SafetensorError):
        save_load.save(folder, run.record, run.model, run.method)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["copy"]


BROKEN = [
    ("lora", "head.safetensors"),
    ("lora", "method.json"),
    ("lora", "vision/adapter_model.safetensors"),
    ("cola-adalora", "inter_modal/adapter_model.safetensors"),
    ("full", "adapter.safetensors"),
]


@pytest.mark.parametrize(("name", "file"), BROKEN)
@pytest.mark.parametrize("how", ["missing", "truncated", "of something else"])
def test_broken_files_are_reported(trained, copied, name, file, how):
    run, folder = trained(name), copied(name)
    path = folder / file
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif path.suffix == ".json":
        path.write_text("[]")
    else:
        source = trained("peft:vera").folder / "audio" / "adapter_model.safetensors"
        path.write_bytes(source.read_bytes())
    before = {key: tensor.clone() for key, tensor in run.model.state_dict().items()}
    with pytest.raises(BenchError) as raised:
        save_load.load(folder, run.model, run.method)
    message = str(raised.value)
    assert str(path if how != "of something else" or path.suffix == ".json" else path.parent) in message
    assert "\n" not in message
    if file != "head.safetensors":  # the adapters are read before the head
        assert all(torch.equal(tensor, before[key]) for key, tensor in run.model.state_dict().items())


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("record.json", None, "contains no saved adapter: there is no"),
        ("record.json", '{"schema": 1, "id"', "is not a readable record"),
        ("record.json", "[]", "is not a readable record"),
    ],
)
def test_a_folder_without_a_record_is_reported(copied, options, capsys, file, text, message):
    folder = copied("lora")
    (folder / "manifest.json").unlink()
    (folder / file).unlink()
    if text:
        (folder / file).write_text(text)
    for read in (lambda: evaluate(folder, options), lambda: load_adapter(folder)):
        with pytest.raises(BenchError, match=message):
            read()
    assert cli.main(["eval", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("bench: ") and str(folder / file) in err and len(err.splitlines()) == 1


def test_another_task_or_split_is_reported(trained, options):
    folder = trained("lora").folder
    with pytest.raises(UsageError, match=f"{folder} was trained for avs and has the head of that task, not of ave"):
        evaluate(folder, options, task="ave")
    with pytest.raises(UsageError, match="unknown split tset: did you mean test"):
        evaluate(folder, options, split="tset")


def test_the_command_line_shows_the_scores_beside_the_recorded_ones(trained, options, capsys):
    run = trained("lora")
    arguments = ["eval", str(run.folder), "--data-root", str(options.data_root), "--device", "cpu"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "avs lora seed 0, suite mini"
    shown = {line.split()[1]: line.split()[2:] for line in lines if line.startswith("test ")}
    expected = run.record.scores.test
    assert shown == {metric: [f"{value:.2f}"] * 2 for metric, value in expected.items()}
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == alike(expected)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        (
            "forgetful",
            r"Forgetful.save writes cannot be loaded: .* lacks trained parameters, .*: streams.vision.*q_proj.*bias",
        ),
        (
            "other",
            r"Unfaithful.save writes does not restore the trained model: streams.audio.*layernorm.weight would differ",
        ),
    ],
)
def test_a_method_that_does_not_save_its_changes_is_refused(options, tmp_path, caplog, name, named):
    with caplog.at_level(logging.ERROR, logger="bench"):
        record = execute(spec(name), replace(options, results=tmp_path, save_adapters=True))
    assert record.status == "ok" and record.adapter is None
    assert re.search(f"cannot be saved: what {named}", caplog.text)
    assert not list((tmp_path / "adapters").iterdir())


def test_an_adapter_that_lacks_trained_parameters_is_reported(trained, copied, monkeypatch):
    run, folder = trained("lora"), copied("lora")
    before = {key: tensor.clone() for key, tensor in run.model.state_dict().items()}
    monkeypatch.setattr(run.method, "load", lambda folder: None)
    with pytest.raises(
        BenchError, match=r"lacks trained parameters, or has NaN in them: streams\.\S+, .* and \d+ more"
    ):
        save_load.load(folder, run.model, run.method)
    assert all(torch.equal(tensor, before[key]) for key, tensor in run.model.state_dict().items())


def test_buffers_are_those_of_the_best_epoch(options, monkeypatch):
    monkeypatch.setattr("bench.training.trainer.best_epoch", lambda curve, metric: 1)
    record = execute(spec("centred", "avs.lr_adapter=0.1"), options)
    assert record.status == "ok", record.traceback
    assert record.scores.validation[0].scores != record.scores.validation[1].scores
    assert record.scores.repeated == pytest.approx(0, abs=1e-6)


def altered(folder: Path, points: float, **environment) -> list[str]:
    """Move the scores in an adapter's record, and says where it was made; returns the arguments that evaluate it.

    Without its manifest, as an older one: else it would be refused.
    """
    (folder / "manifest.json").unlink()
    record = store.read(folder / "record.json")
    scores = record.scores
    moved = replace(
        scores,
        test={name: value + points for name, value in scores.test.items()},
        splits={split: {name: value + points for name, value in one.items()} for split, one in scores.splits.items()},
    )
    other_environment = replace(record.environment, **environment)
    (folder / "record.json").write_text(schema.dumps(replace(record, scores=moved, environment=other_environment)))
    return ["eval", str(folder), "--device", "cpu", "--data-root"]


ELSEWHERE = {"processor": "Another CPU"}
UNKNOWN = {"processor": None, "instructions": None, "variables": None, "precision": None}


@pytest.mark.parametrize(
    ("points", "environment", "message"),
    [
        (0.001, {}, "(allowed: 0.0001 points)"),
        (30.0, ELSEWHERE, None),  # of three videos one
        (30.0, UNKNOWN, None),
        (40.0, ELSEWHERE, "(allowed: 33.4 points)"),
        (40.0, {"threads": 99}, "(allowed: 33.4 points)"),
    ],
)
def test_scores_that_are_not_the_recorded_ones_fail(copied, options, capsys, points, environment, message):
    folder = copied("lora")
    arguments = [*altered(folder, points, **environment), str(options.data_root)]
    assert cli.main(arguments) == (1 if message else 0)
    out, err = capsys.readouterr()
    assert re.search(r"test +miou +\d", out), "the scores are shown all the same"
    if message:
        assert re.search(r"test miou is \S+, not \S+ \(", err) and message in err
        assert "Since then the adapter, its record, an encoder, the code or the data has changed" in err
        assert len(err.splitlines()) == 1
    else:
        assert err == ""


def test_a_split_is_compared_if_it_was_recorded(copied, options, capsys):
    arguments = [*altered(copied("lora"), 0.001), str(options.data_root), "--json"]
    assert cli.main([*arguments, "--split", "val"]) == 1
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["val"] and "val miou is" in err
    assert cli.main([*arguments, "--split", "train"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [OSError("no space left on device"), SafetensorError("I/O error: no space left")])
def test_an_adapter_that_cannot_be_saved_does_not_lose_the_record(options, tmp_path, monkeypatch, caplog, error):
    def full(*args):
        raise error

    monkeypatch.setattr(save_load, "write_tensors", full)
    with caplog.at_level(logging.ERROR, logger="bench"):
        record = execute(spec("head"), replace(options, results=tmp_path, save_adapters=True))
    assert record.status == "ok" and record.scores is not None
    assert record.adapter is None
    assert f"the adapter of avs head seed 0 cannot be saved: {error}" in caplog.text
    assert not (tmp_path / "adapters" / schema.stem(spec("head"))).exists()


def test_a_finished_run_without_adapter_is_repeated_if_adapters_are_requested(trained, tmp_path):
    run = trained("lora")
    plan = [spec("lora")]
    without = replace(run.record, adapter=None)
    store.write(without, tmp_path)
    assert look_up(plan, tmp_path).finished == {run.record.id: without}
    assert look_up(plan, tmp_path, with_adapters=True).finished == {}
    store.write(run.record, tmp_path)
    assert look_up(plan, tmp_path, with_adapters=True).finished == {}, "the record names a folder that is gone"
    shutil.copytree(run.folder, tmp_path / run.record.adapter)
    assert look_up(plan, tmp_path, with_adapters=True).finished == {run.record.id: run.record}
    failed = replace(without, status="failed", reason="the loss is not finite", scores=None)
    store.write(failed, tmp_path)
    assert look_up(plan, tmp_path, with_adapters=True).finished == {run.record.id: failed}


@pytest.mark.parametrize(("name", "of_peft"), [("lora", True), ("cola-adalora", True), ("full", False)])
def test_the_card_has_scores_specification_and_loading_code(trained, name, of_peft):
    run = trained(name)
    card = (run.folder / "README.md").read_text()
    assert card.startswith(f"---\nlibrary_name: {'peft' if of_peft else 'transformers'}\ntags:\n")
    assert f"# {name} on avs, seed 0" in card
    assert f"the run {run.record.id} of" in card and "not the benchmark's own" in card
    for metric, value in run.record.scores.test.items():
        assert any(metric in line and f"{value:.4f}" in line for line in card.splitlines())
    assert f"{run.record.parameters.adapter:,} in the adapters" in card
    assert json.dumps(asdict(run.record.spec), indent=2) in card
    assert 'load_adapter("THIS_FOLDER")' in card and "bench eval THIS_FOLDER --task avs" in card
    assert ("`inter_modal`" in card) == (name == "cola-adalora")
    blocks = re.findall("```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 1 + of_peft
    for code in blocks:
        exec(code.replace("THIS_FOLDER", str(run.folder)), {})
