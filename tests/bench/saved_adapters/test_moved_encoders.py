"""Saved adapters whose encoders lie elsewhere than in training, or are others; and adapters that were edited."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from alike import alike
from peft import PeftModel
from safetensors.torch import load_file, save_file

from bench import cli, load_adapter
from bench.config.plan import RunRequest, make_plan
from bench.errors import BenchError, UsageError
from bench.execution.single_run import execute
from bench.records import schema, store
from bench.saved_adapters.evaluate import evaluate
from bench.streams.encoder_names import encoder_name, name_in_text
from bench.streams.load import load_stream
from bench.streams.sources import WEIGHTS

COMMIT, OTHER_COMMIT = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"
HUB_NAME = "someone/sounds"


def snapshot(cache: Path, commit: str = COMMIT, *, main: bool = True) -> Path:
    """Put the embedded encoder of sounds into the cache, as `hf download` does."""
    repository = cache / f"models--{HUB_NAME.replace('/', '--')}"
    folder = repository / "snapshots" / commit
    shutil.copytree(WEIGHTS / "audio-v1", folder)
    if main:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)
    return folder


def with_other_weights(folder: Path) -> Path:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors[min(tensors)] += 1
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory) -> SimpleNamespace:
    """LoRA on an encoder in a folder and one of the hub; then both are gone from where they lay."""
    place = tmp_path_factory.mktemp("trained")
    vision = place / "home of someone" / "my-vision"
    shutil.copytree(WEIGHTS / "vision-v2", vision)
    changes = [f"vision.model={vision}", f"audio.model={HUB_NAME}", "avs.batch_size=3", "avs.epochs=1"]
    (spec,) = make_plan(RunRequest("mini", ["lora"], ["avs"], [0], changes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place / "hub"))
        snapshot(place / "hub")
        record = execute(spec, replace(options, results=place, save_adapters=True))
    assert record.status == "ok" and record.adapter, record.traceback
    moved = vision.rename(place / "moved")
    shutil.rmtree(place / "hub")
    return SimpleNamespace(record=record, folder=place / record.adapter, was=vision, moved=moved)


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained.folder, tmp_path / "copy"))


def test_an_adapter_names_the_encoders_it_was_trained_on(trained):
    manifest = json.loads((trained.folder / "manifest.json").read_text())
    vision, audio = (manifest["encoders"][name] for name in ("vision", "audio"))
    assert (vision["name"], vision["revision"], vision["on_hub"]) == ("my-vision", None, False)
    assert (audio["name"], audio["revision"], audio["on_hub"]) == (HUB_NAME, COMMIT, True)
    card = (trained.folder / "README.md").read_text()
    for encoder in (vision, audio):
        assert set(encoder["files"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
        assert encoder["files"]["model.safetensors"] in card
    assert f"| {HUB_NAME} " in card and COMMIT in card
    assert 'load_adapter("THIS_FOLDER", encoders={"vision": "DIR"})' in card
    assert "bench eval THIS_FOLDER --task avs --set vision.model=DIR\n" in card
    config = {
        name: json.loads((trained.folder / name / "adapter_config.json").read_text()) for name in ("vision", "audio")
    }
    assert (config["audio"]["base_model_name_or_path"], config["audio"]["revision"]) == (HUB_NAME, COMMIT)
    assert (config["vision"]["base_model_name_or_path"], config["vision"]["revision"]) == ("my-vision", None)
    for name in ("README.md", "manifest.json", "method.json", "vision/adapter_config.json"):
        assert "home of someone" not in (trained.folder / name).read_text(), name


def test_it_is_scored_with_encoders_in_other_folders(trained, cache, options, capsys):
    """One in another folder, the other in another cache, of which the main revision is another by now."""
    snapshot(cache, main=False)
    with_other_weights(snapshot(cache, OTHER_COMMIT))
    evaluation = evaluate(trained.folder, options, encoders={"vision": trained.moved})
    assert evaluation.scores["test"] == alike(trained.record.scores.test) and evaluation.changed == []
    place = ["--data-root", str(options.data_root), "--device", "cpu", "--split", "val"]
    assert cli.main(["eval", str(trained.folder), "--set", f"vision.model={trained.moved}", *place]) == 0
    assert "val" in capsys.readouterr().out
    encoders = {"vision": trained.moved, "audio": WEIGHTS / "audio-v1"}
    loaded = load_adapter(trained.folder, {"vision": trained.moved})
    reloaded = load_adapter(trained.folder, encoders=encoders)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in reloaded.state_dict().items())


def test_missing_encoders_are_reported_with_a_remedy(trained, cache, capsys, monkeypatch):
    monkeypatch.setattr("bench.saved_adapters.evaluate.set_up", lambda *_: pytest.fail("something was loaded"))
    assert cli.main(["eval", str(trained.folder)]) == 2
    vision, audio = (line for line in capsys.readouterr().err.splitlines() if "encoder" in line)
    sha = {name: checksum(trained.folder, name)[:12] for name in ("vision", "audio")}
    assert f"no folder {trained.was} to load an encoder from" in vision
    assert f"(my-vision, weights with SHA-256 {sha['vision']})" in vision and "--set vision.model=DIR" in vision
    assert f"hf download {HUB_NAME} --revision {COMMIT}" in audio and "--set audio.model=DIR" in audio
    assert f"weights with SHA-256 {sha['audio']}" in audio and 'encoders={"audio": DIR}' in audio
    with pytest.raises(UsageError, match=r"--set vision\.model=DIR"):
        load_adapter(trained.folder)


def checksum(folder: Path, stream: str) -> str:
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest["encoders"][stream]["files"]["model.safetensors"]


def test_an_encoder_with_other_weights_is_refused(trained, tmp_path, options, capsys):
    altered = with_other_weights(Path(shutil.copytree(trained.moved, tmp_path / "other")))
    arguments = ["eval", str(trained.folder), "--set", f"vision.model={altered}", "audio.model=embedded:audio-v1"]
    arguments += ["--data-root", str(options.data_root), "--device", "cpu", "--split", "val"]
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    match = re.search(r"model.safetensors has SHA-256 (\w+), not (\w+)\.", message)
    assert match and checksum(trained.folder, "vision").startswith(match[2]) and match[1] != match[2]
    assert f"the encoder of vision, {altered}, is not the one" in message and "--other-encoders" in message
    assert "audio" not in message
    places = {"vision": altered, "audio": WEIGHTS / "audio-v1"}
    with pytest.raises(UsageError, match="is not the one"):
        load_adapter(trained.folder, places)
    changed = evaluate(trained.folder, options, encoders=places, split="val", other_encoders=True).changed
    assert changed == ["the encoder of vision"]
    load_adapter(trained.folder, places, other_encoders=True)
    cli.main([*arguments, "--other-encoders"])
    assert "val" in capsys.readouterr().out


def test_an_encoder_of_another_modality_is_no_other_encoder(trained, options):
    places = {"vision": "embedded:text-v2", "audio": "embedded:audio-v1"}
    with pytest.raises(UsageError, match="it reads text, but vision of avs is images"):
        evaluate(trained.folder, options, encoders=places, other_encoders=True)


def test_equal_weights_with_another_preprocessor_are_refused_too(trained, tmp_path, options):
    changed = Path(shutil.copytree(trained.moved, tmp_path / "other"))
    path = changed / "preprocessor_config.json"
    path.write_text(path.read_text().replace("image_mean", "image_mean "))
    encoders = {"vision": changed, "audio": "embedded:audio-v1"}
    with pytest.raises(
        UsageError, match=r"preprocessor_config.json has SHA-256 \w+, not \w+; the weights are the same"
    ):
        evaluate(trained.folder, options, encoders=encoders)
    (trained.moved / "tokenizer.json").write_text("{}")  # which no encoder of images reads
    load_adapter(trained.folder, {**encoders, "vision": trained.moved})
    (trained.moved / "tokenizer.json").unlink()


def test_an_older_adapter_is_held_against_its_record(trained, copied, tmp_path):
    (copied / "manifest.json").unlink()
    places = {"vision": trained.moved, "audio": "embedded:audio-v1"}
    load_adapter(copied, places)
    changed = with_other_weights(Path(shutil.copytree(trained.moved, tmp_path / "other")))
    recorded = trained.record.provenance.encoders["vision"]
    with pytest.raises(UsageError, match=f"its files together have SHA-256 .*, not {recorded[:12]}"):
        load_adapter(copied, {**places, "vision": changed})
    older = replace(store.read(copied / "record.json"), provenance=None)
    (copied / "record.json").write_text(schema.dumps(older))
    load_adapter(copied, {**places, "vision": changed})


EDITED = ["vision/adapter_config.json", "method.json", "record.json", "head.safetensors"]


@pytest.mark.parametrize("file", EDITED)
@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_an_adapter_that_was_edited_is_refused(trained, copied, options, file, how, monkeypatch):
    path = copied / file
    path.write_bytes(path.read_bytes() + b"\n") if how == "edited" else path.unlink()
    (copied / "README.md").write_text("mine")
    monkeypatch.setattr("bench.saved_adapters.evaluate.set_up", lambda *_: pytest.fail("something was loaded"))
    if file == "record.json" and how == "deleted":
        expected = "contains no saved adapter"
    else:
        about = r"has SHA-256 \w+, not \w+" if how == "edited" else "is missing"
        expected = rf"{copied} is not as it was saved: {path} {about}\. .* delete its manifest.json"
    for read in (evaluate, lambda folder, _: load_adapter(folder)):
        with pytest.raises(BenchError, match=expected):
            read(copied, options)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"files": {}}', '{"files": {"../x": 3}, "encoders": {}}', "[" * 100_000]
)
def test_a_broken_manifest_is_reported(trained, copied, options, content):
    (copied / "manifest.json").write_text(content)
    with pytest.raises(BenchError, match=r"cannot read the manifest of the saved adapter, .*manifest\.json"):
        evaluate(copied, options)


@pytest.mark.parametrize("change", ["cola.r=8", "vision.model", "vision.size=32", "model=x", "vision.model="])
def test_only_folders_of_encoders_can_be_set(trained, change, capsys):
    assert cli.main(["eval", str(trained.folder), "--set", change]) == 2
    assert "--set STREAM.model=DIR" in capsys.readouterr().err


def test_an_unknown_stream_is_reported(trained, options):
    with pytest.raises(UsageError, match="the adapter has no stream visoin: did you mean vision"):
        evaluate(trained.folder, options, encoders={"visoin": trained.moved})


def test_the_data_may_have_moved(trained, options, tmp_path):
    moved = Path(shutil.copytree(options.data_root, tmp_path / "data"))
    places = {"vision": trained.moved, "audio": "embedded:audio-v1"}
    evaluation = evaluate(trained.folder, replace(options, data_root=moved), split="val", encoders=places)
    assert evaluation.scores["val"] == alike(evaluation.recorded("val")) and evaluation.changed == []


def test_peft_finds_the_base_model_of_the_hub(trained, cache, tmp_path):
    stream = load_stream(str(WEIGHTS / "audio-v1"))
    assert (
        PeftModel.from_pretrained(stream.encoder, str(trained.folder / "audio")).peft_config["default"].revision
        == COMMIT
    )


def test_the_name_of_an_encoder(cache, tmp_path, monkeypatch):
    copy = snapshot(cache)
    for model in (HUB_NAME, str(copy)):
        assert str(encoder_name(model)) == f"{HUB_NAME} at {COMMIT}"
        assert name_in_text(model) == HUB_NAME
    folder = tmp_path / "mine"
    shutil.copytree(copy, folder)
    assert str(encoder_name(str(folder))) == "mine" == name_in_text(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_name_or_path": HUB_NAME}))
    assert str(encoder_name(str(folder))) == f"{HUB_NAME} at {COMMIT}"
    with_other_weights(folder)  # fine-tuned from it, which is not it
    assert str(encoder_name(str(folder))) == "mine"
    monkeypatch.chdir(tmp_path)
    assert str(encoder_name("mine")) == "mine" == name_in_text("mine")
    assert str(encoder_name("embedded:audio-v1")) == "embedded:audio-v1" == name_in_text("embedded:audio-v1")


def test_a_revision_that_was_fetched_by_its_commit_is_found(cache):
    copy = snapshot(cache, main=False)
    assert load_stream(HUB_NAME).encoder.name_or_path == HUB_NAME
    assert str(encoder_name(HUB_NAME)) == f"{HUB_NAME} at {copy.name}"
