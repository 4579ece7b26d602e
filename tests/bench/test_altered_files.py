"""Files that bench itself wrote and somebody altered or cut short: each is told of in one message, or made anew."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import mocks
import numpy as np
import pytest
import tomlkit
from safetensors.numpy import save_file

from bench import cli
from bench.check import baseline
from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec
from bench.config.suite import load_suite
from bench.data import decoded_cache
from bench.datasets.build import Manifest, read_manifest
from bench.errors import BenchError, DataError, UsageError
from bench.records import predictions, sample_scores, schema, store
from bench.records.schema import Record
from bench.records.specification import specification
from bench.streams.load import load_stream, outline_stream
from bench.streams.sources import WEIGHTS, find_encoder
from bench.text import escape

REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "tests/data/records_v1/records"
WRONG = [
    ({"recipe": {"epochs": 4}}, "spec.recipe.lr_adapter is missing"),
    ({"recipe": {"epochs": "many"}}, "spec.recipe.epochs must be a whole number"),
    ({"recipe": {**mocks.RECIPE, "speed": 3}}, "unknown key spec.recipe.speed"),
    ({"data": {"source": "elsewhere"}}, "spec.data.source must be one of"),
    ({"streams": {"vision": {"model": "embedded:vision-v2", "trust_remote_code": True}}}, "trust_remote_code"),
    ({"streams": {"vision": {}}}, "spec.streams.vision.model is missing"),
    ({"seed": -1}, "spec.seed must be from 0"),
]


@pytest.fixture
def spec() -> Spec:
    (planned,) = make_plan(RunRequest("mini", ["head"], ["ave"]))
    return planned


def altered(spec: Spec, changes: dict) -> Record:
    return Record.failed(replace(spec, **changes), "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(("changes", "explanation"), WRONG)
def test_a_record_with_altered_keys_is_reported_when_its_model_is_rebuilt(spec, tmp_path, capsys, changes, explanation):
    record = altered(spec, changes)
    with pytest.raises(BenchError, match=f"a.json: the record was altered.*{explanation}"):
        specification(record, "a.json")
    (tmp_path / "record.json").write_text(schema.dumps(record))
    assert cli.main(["eval", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "record.json" in message and explanation in message
    store.write(record, tmp_path)
    assert cli.main(["show", "--run", record.id, "--results", str(tmp_path)]) in (1, 2)
    message = capsys.readouterr().err
    assert f"{record.stem}.json" in message or "no run matches" in message


def test_an_unaltered_specification_is_accepted(spec):
    assert specification(altered(spec, {}), "a.json") == spec


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{", b"null", b'{"schema": 1}'])
def test_files_that_are_not_records_or_baselines_are_reported(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    for read in (store.read, baseline.read):
        with pytest.raises(BenchError, match=r"a\.json"):
            read(tmp_path / "a.json")


def test_a_baseline_has_no_numbers_that_pass_every_comparison(tmp_path):
    for number in ("NaN", "Infinity", "1e999"):
        (tmp_path / "a.json").write_text(f'{{"schema": 1, "suite": {number}}}')
        with pytest.raises(BenchError, match=r"a\.json is not a readable baseline: .*(malformed|out of range)"):
            baseline.read(tmp_path / "a.json")


def test_records_that_reports_cannot_use_are_left_out(spec, tmp_path, caplog):
    store.write(altered(spec, {"recipe": {"epochs": 3}}), tmp_path)
    assert store.read_all(tmp_path) == []
    assert "spec.recipe.lr_adapter is missing" in caplog.text


def test_numbers_that_cannot_have_been_measured_are_reported(tmp_path, caplog):
    document = json.loads((RECORDS / "ave-cola-s0-503f0d467b6d.json").read_bytes())
    document["scores"]["test"]["f1"] = 1e308
    (tmp_path / "records").mkdir()
    (tmp_path / "records/a.json").write_text(json.dumps(document))
    assert (
        store.read_all(tmp_path) == []
        and "a.json is not a readable record: scores.test.f1 is 1e+308, which cannot have been measured" in caplog.text
    )
    for part, number in (("scores", 1e308), ("memory", 0)):
        document = json.loads((REPOSITORY / "results/mini/baseline.json").read_bytes())
        next(iter(document["tasks"]["ave"]["methods"]["lora"][part].values()))[0] = number
        (tmp_path / "b.json").write_text(json.dumps(document))
        with pytest.raises(BenchError, match=rf"lora\.{part}\..* cannot have been measured"):
            baseline.read(tmp_path / "b.json")


def test_a_suite_that_goes_too_deep_or_is_huge_is_reported(tmp_path):
    path = tmp_path / "a.toml"
    for text, message in (("a = " + "[" * 5000, "too deep"), ("#" * 2**21, "2,097,152 bytes, more than the 262,144")):
        path.write_text(text)
        with pytest.raises(UsageError, match=rf"a\.toml is not a readable TOML file: .*{message}"):
            load_suite(str(path))


def test_a_number_too_large_for_a_float_is_reported(tmp_path):
    document = tomlkit.parse((WEIGHTS.parent / "suites/mini.toml").read_text())
    document["train"]["lr_head"] = 10**400
    (tmp_path / "a.toml").write_text(tomlkit.dumps(document))
    with pytest.raises(UsageError, match=r"train\.lr_head must be a finite number") as caught:
        load_suite(str(tmp_path / "a.toml"))
    assert len(str(caught.value)) < 500


def test_messages_contain_no_terminal_control_characters():
    assert str(DataError("a\x1b[2J\ud800é\nb\0")) == "a\\x1b[2J\\ud800é\nb\\x00"
    assert UsageError(["a\rb"]).problems == ["a\\rb"] and escape.terminal("plain") == "plain"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"test/accuracy": np.array([{}], dtype=object)}, "allow_pickle"),
        ({"test/accuracy": np.ones((2, 2), np.float32)}, "not one score and one group per sample"),
        ({"test/accuracy": np.array(["a"])}, "not one score and one group per sample"),
        (
            {"test/accuracy": np.ones(3, np.float32), "test/group": np.zeros(2, np.int32)},
            "not one score and one group per sample",
        ),
    ],
)
def test_other_arrays_than_scores_are_reported(tmp_path, arrays, message):
    (tmp_path / "records").mkdir()
    np.savez(tmp_path / "records/a.npz", **arrays)
    with pytest.raises(BenchError, match=rf"per-sample scores from .*a\.npz: .*{message}.*--rerun"):
        sample_scores.load(tmp_path, "a", "accuracy")


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_scores, "_MAX_ARRAY_BYTES", 2**20)
    (tmp_path / "records").mkdir()
    np.savez_compressed(tmp_path / "records/a.npz", **{"test/accuracy": np.zeros(2**19, np.float32)})
    assert (tmp_path / "records/a.npz").stat().st_size < 10_000
    with pytest.raises(BenchError, match="unpacked, it has more than 1,048,576 bytes"):
        sample_scores.load(tmp_path, "a", "accuracy")


def test_an_array_that_claims_to_be_huge_is_reported(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    (tmp_path / "records").mkdir()
    with zipfile.ZipFile(tmp_path / "records/a.npz", "w") as archive:
        archive.writestr("test/accuracy.npy", header.getvalue())
    with pytest.raises(BenchError, match=r"per-sample scores from .*a\.npz"):
        sample_scores.load(tmp_path, "a", "accuracy")


@pytest.mark.parametrize(
    "arrays",
    [{"index": np.array([0.0, np.nan])}, {"index": np.arange(9), "output": np.ones(3)}, {"output": np.ones(3)}],
)
def test_invalid_predictions_are_reported(spec, tmp_path, arrays):
    path = tmp_path / "predictions" / f"{schema.stem(spec)}.safetensors"
    path.parent.mkdir()
    save_file(arrays, path)
    with pytest.raises(BenchError, match=r"cannot read the predictions .*--rerun makes them again"):
        predictions.load(tmp_path, spec, "test", is_first=True)


class Numbers:
    names = ("one", "two", "three")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"value": np.full(50, index, dtype=np.float32)}


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def renamed_array(folder, name):
    """Let the manifest call the array by another name, under which its file is there too."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["arrays"] = {name: manifest["arrays"].pop("value")}
    path.write_text(json.dumps(manifest))
    (folder / f"{name}.npy").write_bytes((folder / "value.npy").read_bytes())


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: halved(folder / "value.npy"),
        lambda folder: (folder / "value.npy").write_bytes(b""),
        lambda folder: (folder / "value.npy").unlink(),
        lambda folder: np.save(folder / "value.npy", np.zeros((2, 50), np.float32)),
        lambda folder: np.save(folder / "value.npy", np.array([{}] * 3, dtype=object)),
        lambda folder: np.save(folder / "value.npy", np.array(["a"] * 3)),
        lambda folder: np.save(folder / "value.npy", np.ones((3, 50), np.float32)),
        lambda folder: halved(folder / "manifest.json"),
        lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
        lambda folder: renamed_array(folder, "../value"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text("3"),
    ],
)
def test_decoded_samples_that_are_broken_are_decoded_again(tmp_path, caplog, harm):
    def prepare():
        return decoded_cache.prepare(Numbers(), range(3), ("task",), tmp_path, lambda batches: batches)

    caplog.set_level(logging.WARNING)
    first = prepare().columns["value"].clone()
    (folder,) = (path for path in (tmp_path / "prepared").iterdir() if path.is_dir())
    harm(folder)
    assert (prepare().columns["value"] == first).all()
    assert caplog.text.count("are damaged or were changed: decoding them again") == 1
    prepare()
    assert caplog.text.count("are damaged or were changed: decoding them again") == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"benchmark": 3}', "[" * 100_000])
def test_a_broken_manifest_of_generated_data_is_reported(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json: cannot be read: .* generated again"):
        read_manifest(tmp_path)
    manifest = Manifest("ave", 1, 0, "abc", {"train": 1}, {"constant answer": 3.5})
    path.write_text(json.dumps(asdict(manifest)))
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("model", ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "\ud800"])
def test_impossible_models_are_reported(model):
    with pytest.raises(UsageError, match=r"encoder"):
        find_encoder(model)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"a":' * 100_000, '{"model_type": []}', '{"size": "x"}', "\x00"]
)
def test_an_encoder_with_a_broken_configuration_is_reported(tmp_path, file, content):
    for path in (WEIGHTS / "vision-v2").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_text(content)
    with pytest.raises(BenchError, match=r"cannot load the encoder|has no|are not supported"):
        outline_stream(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\xff" * 8 + b"{}", b"\x02" + bytes(7) + b"[]", b"\x00" * 100])
def test_an_encoder_with_broken_weights_is_reported(tmp_path, content):
    for path in (WEIGHTS / "vision-v2").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(BenchError, match=r"model\.safetensors is (truncated|not a readable)"):
        load_stream(str(tmp_path))
