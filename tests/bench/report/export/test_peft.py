from __future__ import annotations

import dataclasses
import itertools
import json

import mocks
import pandas as pd
import pytest

from bench import registry
from bench.config.plan import RunRequest, make_plan
from bench.records.schema import Epoch
from bench.report.export.peft import peft_result, peft_text

# Where huggingface/peft, method_comparison/processing.py (commit 5d602fd) finds the columns of its table of the task
# MetaMathQA in a result's file, and their types. `Int64` stands for its `int`, which cannot be null.
COLUMNS = {
    "experiment_name": ("run_info.experiment_name", "string"),
    "model_id": ("run_info.train_config.model_id", "string"),
    "train_config": ("run_info.train_config", "string"),
    "peft_config": ("run_info.peft_config", "string"),
    "accelerator_memory_reserved_avg": ("train_info.accelerator_memory_reserved_avg", "Int64"),
    "accelerator_memory_max": ("train_info.accelerator_memory_max", "Int64"),
    "accelerator_memory_reserved_99th": ("train_info.accelerator_memory_reserved_99th", "Int64"),
    "total_time": ("run_info.total_time", float),
    "train_time": ("train_info.train_time", float),
    "file_size": ("train_info.file_size", "Int64"),
    "num_trainable_params": ("train_info.num_trainable_params", "Int64"),
    "train_loss": ("last.train loss", float),
    "train_samples": ("last.train samples", "Int64"),
    "test_accuracy": ("last.test accuracy", float),
    "train_total_tokens": ("last.train total tokens", "Int64"),
    "peft_version": ("meta_info.package_info.peft-version", "string"),
    "peft_branch": ("run_info.peft_branch", "string"),
    "transformers_version": ("meta_info.package_info.transformers-version", "string"),
    "datasets_version": ("meta_info.package_info.datasets-version", "string"),
    "torch_version": ("meta_info.package_info.torch-version", "string"),
    "bitsandbytes_version": ("meta_info.package_info.bitsandbytes-version", "string"),
    "package_info": ("meta_info.package_info", "string"),
    "system_info": ("meta_info.system_info", "string"),
    "created_at": ("run_info.created_at", "string"),
}


def peft_table(texts):
    """Results as PEFT's comparison reads them: each key must be there, but for `forgetting`, which is else 123."""
    rows = []
    for result in map(json.loads, texts):
        if result["train_info"]["status"] != "success":
            continue
        result["last"] = result["train_info"]["metrics"][-1]
        row = {}
        for name, (path, _) in COLUMNS.items():
            value = result
            for key in path.split("."):
                value = value[key]
            row[name] = json.dumps(value) if isinstance(value, dict) else value
        config = result["run_info"]["peft_config"]
        row["peft_type"] = config["peft_type"] if config else "full-finetuning"
        rows.append({**row, "forgetting*": result["last"].get("forgetting", 123)})
    frame = pd.DataFrame(rows).astype({name: dtype for name, (_, dtype) in COLUMNS.items()} | {"forgetting*": float})
    frame["created_at"] = pd.to_datetime(frame["created_at"])
    return frame


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1]))


def renamed(record, method):
    return dataclasses.replace(record, spec=dataclasses.replace(record.spec, method=method))


def test_it_is_read_as_peft_reads_its_own(plan, tmp_path):
    frame = peft_table([peft_text(mocks.record(spec, 70.0 + spec.seed), tmp_path) for spec in plan])
    assert list(frame["peft_type"]) == ["LORA", "COLA"] * 2
    assert list(frame["test_accuracy"]) == pytest.approx([0.70, 0.70, 0.71, 0.71])
    assert frame["experiment_name"].nunique() == 4
    row = frame.iloc[0]
    assert row["experiment_name"] == f"lora/ave-s0-{plan[0].id}"
    assert row["model_id"] == "embedded:vision-v2 + embedded:audio-v1"
    assert (row["train_time"], row["total_time"], row["train_loss"]) == (50.0, 55.5, 0.5)
    assert (row["num_trainable_params"], row["train_samples"]) == (18_500, 90)
    assert (row["peft_version"], row["torch_version"]) == ("0.21.2", "2.13.0")
    assert row["created_at"] == pd.Timestamp("2026-01-01T00:00:00+00:00")


def test_what_was_not_measured_is_null(plan, tmp_path):
    row = peft_table([peft_text(mocks.record(plan[0]), tmp_path)]).iloc[0]
    assert {name for name, value in row.items() if pd.isna(value)} == {
        *("accelerator_memory_reserved_avg", "accelerator_memory_max", "accelerator_memory_reserved_99th"),
        *("file_size", "train_total_tokens", "forgetting*", "peft_branch"),
        *("transformers_version", "datasets_version", "bitsandbytes_version"),
    }


def test_memory_of_a_gpu_is_its_peak(plan, tmp_path):
    record = mocks.record(plan[0])
    memory = dataclasses.replace(record.memory, kind="cuda allocator")
    environment = dataclasses.replace(record.environment, device="NVIDIA H100")
    result = peft_result(dataclasses.replace(record, memory=memory, environment=environment), tmp_path)
    assert result["train_info"]["accelerator_memory_max"] == 812_000_000
    assert result["train_info"]["memory_kind"] == "cuda allocator"
    assert result["meta_info"]["system_info"]["accelerator"] == "NVIDIA H100"
    assert result["run_info"]["train_config"]["use_amp"] is None  # `auto`: what it took is not recorded


def test_the_curve_and_the_epoch_that_was_scored(plan, tmp_path):
    record = mocks.record(plan[0], 80.0)
    curve = [Epoch(e, 10 * e, 1.0 / e, {"accuracy": score}) for e, score in ((1, 60.0), (2, 75.0), (3, 70.0))]
    record = dataclasses.replace(
        record, scores=dataclasses.replace(record.scores, validation=curve, best_epoch=2, test={"accuracy": 80.0})
    )
    result = peft_result(record, tmp_path)
    *epochs, test = result["train_info"]["metrics"]
    assert [(entry["step"], entry["valid accuracy"], entry["train samples"]) for entry in epochs] == [
        *((10, 0.6, 90), (20, 0.75, 180), (30, 0.7, 270))
    ]
    expected = {"step": 20, "test accuracy": 0.8, "train loss": 0.5, "train samples": 180}
    assert test == {**expected, "train total tokens": None, "forgetting": None}
    config = result["run_info"]["train_config"]
    assert (config["max_steps"], config["eval_steps"], config["optimizer_kwargs"]["lr"]) == (40, 10, 1e-3)
    assert config["optimizer_kwargs"]["betas"] == [0.9, 0.999]
    record.spec.recipe["beta2"] = 0.95
    assert peft_result(record, tmp_path)["run_info"]["train_config"]["optimizer_kwargs"]["betas"] == [0.9, 0.95]


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("lora", {"peft_type": "LORA"}),
        ("dora", {"peft_type": "LORA", "use_dora": True}),
        ("peft:vera", {"peft_type": "VERA"}),
        ("head", {"peft_type": "HEAD"}),
        ("cola+peft:ia3", {"peft_type": "COLA+PEFT:IA3"}),
        ("full", None),
    ],
)
def test_methods_by_their_names(plan, tmp_path, method, config):
    peft_config = peft_result(renamed(mocks.record(plan[0]), method), tmp_path)["run_info"]["peft_config"]
    assert peft_config == (config and {**config, **plan[0].settings})


def test_the_size_of_a_saved_adapter_without_its_head(plan, tmp_path):
    record = dataclasses.replace(mocks.record(plan[0]), adapter="adapters/x")
    assert peft_result(record, tmp_path)["train_info"]["file_size"] is None  # it is gone
    for name, size in (("vision/adapter_model.safetensors", 10), ("audio/adapter_model.safetensors", 20)):
        path = tmp_path / "adapters" / "x" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0" * size)
    (tmp_path / "adapters" / "x" / "head.safetensors").write_bytes(b"0" * 99)
    assert peft_result(record, tmp_path)["train_info"]["file_size"] == 30


def test_generated_data_is_named_so(plan, tmp_path):
    result = peft_result(mocks.record(plan[0]), tmp_path)
    (name,) = result["meta_info"]["dataset_info"]
    assert name == "ave, generated data v3 (world 7), not the benchmark's own"
    assert result["run_info"]["spec"] == dataclasses.asdict(plan[0])


# Keys that `int` takes, which is what PEFT's `load_df` casts to, only where they are not null.
NEVER_KNOWN = {
    *("accelerator_memory_reserved_avg", "accelerator_memory_max", "accelerator_memory_reserved_99th"),
    *("file_size", "train_total_tokens"),
}
METHODS = ("lora", "head", "full", "dora", "cola", "cola-adalora", "peft:vera", "cola+peft:ia3")
PRECISIONS = ("no", "bf16", "fp16")
ON_GPU = dataclasses.replace(mocks.ENVIRONMENT, device="NVIDIA H100")


@pytest.mark.parametrize(
    "task",
    [
        *(name for name in registry.names("tasks") if "<" not in name and not name.startswith("own-")),  # in no suite
        "refcoco+refcocog:box",
    ],
)
def test_peft_reads_every_task_method_schedule_and_precision(tmp_path, task):
    metrics = registry.load("tasks", task).metrics
    texts, combinations = [], []
    changes = ["data.source=official"]
    for schedule, precision in itertools.product(("cosine", "constant", "poly"), PRECISIONS):
        recipe = [f"train.schedule={schedule}", "train.precision=auto"]
        for spec in make_plan(RunRequest("full", METHODS, [task], [0], [*changes, *recipe])):
            record = mocks.record(spec, environment=dataclasses.replace(ON_GPU, precision=precision))
            test = {name: 60.0 + place for place, name in enumerate(metrics)}
            record = dataclasses.replace(record, scores=dataclasses.replace(record.scores, test=test))
            texts.append(peft_text(record, tmp_path))
            combinations.append((spec.method, schedule, precision))
    frame = peft_table(texts)
    configs = [json.loads(text) for text in frame["train_config"]]
    assert [(config["lr_scheduler"], config["precision"]) for config in configs] == [
        combination[1:] for combination in combinations
    ]
    assert [config["use_amp"] for config in configs] == [combination[2] != "no" for combination in combinations]
    types = dict.fromkeys(METHODS, "LORA") | {"full": "full-finetuning", "cola+peft:ia3": "COLA+PEFT:IA3"}
    types |= {"head": "HEAD", "cola": "COLA", "cola-adalora": "COLA-ADALORA", "peft:vera": "VERA"}
    assert list(frame["peft_type"]) == [types[method] for method, *_ in combinations]
    accuracy = {"accuracy", "accuracy@0.5"} & metrics.keys()
    assert frame["test_accuracy"].isna().all() if not accuracy else set(frame["test_accuracy"]) == {0.6}
    whole = {name for name, (_, dtype) in COLUMNS.items() if dtype == "Int64"}
    assert {name for name in whole if frame[name].isna().any()} == NEVER_KNOWN
    assert frame["forgetting*"].isna().all()


@pytest.mark.parametrize(
    ("precision", "environment", "use_amp", "dtype"),
    [
        ("no", mocks.ENVIRONMENT, False, "float32"),
        ("bf16", mocks.ENVIRONMENT, True, "bfloat16"),
        ("auto", mocks.ENVIRONMENT, False, "float32"),
        ("auto", ON_GPU, None, None),  # an older record does not tell what `auto` took
        ("auto", dataclasses.replace(ON_GPU, precision="bf16"), True, "bfloat16"),
        ("auto", dataclasses.replace(ON_GPU, precision="no"), False, "float32"),
        ("fp16", ON_GPU, True, "float16"),
    ],
)
def test_the_precision_that_was_used_and_the_type_of_frozen_weights(
    plan, tmp_path, precision, environment, use_amp, dtype
):
    spec = plan[0]
    plain = dataclasses.replace(spec, recipe={**spec.recipe, "precision": precision})
    lowered = dataclasses.replace(plain, recipe={**plain.recipe, "low_precision_frozen": True})
    for variant, weights in ((plain, "float32"), (lowered, dtype)):
        train_config = peft_result(mocks.record(variant, environment=environment), tmp_path)["run_info"]["train_config"]
        assert (train_config["use_amp"], train_config["dtype"]) == (use_amp, weights)


def test_samples_of_every_pass_count(plan, tmp_path):
    spec = dataclasses.replace(plan[0], recipe={**plan[0].recipe, "passes": 3})
    assert peft_result(mocks.record(spec), tmp_path)["train_info"]["metrics"][-1]["train samples"] == 270


def test_the_head_alone_has_its_own_rate_and_epochs(plan, tmp_path):
    record = renamed(mocks.record(plan[0]), "head")
    record.spec.recipe.update(head_factor=5, head_first=2)
    record = dataclasses.replace(record, parameters=dataclasses.replace(record.parameters, adapter=0))
    config = peft_result(record, tmp_path)["run_info"]["train_config"]
    assert (config["optimizer_kwargs"]["lr"], config["lr_head"]) == (2e-3, 2e-3)
    assert config["max_steps"] == (2 + 5 * 4) * 10
