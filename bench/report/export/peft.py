"""Records in the format of PEFT's own method comparison.

The format is that of the files in huggingface/peft, method_comparison/MetaMathQA/results, which
method_comparison/processing.py reads (commit 5d602fd, August 2026) as its task `MetaMathQA`, since it knows no task of
this benchmark. Its `preprocess` reads every completed run. Additional keys are stored beside those of the format.
Values that cannot be given honestly are null:

- `test accuracy` if the task has no accuracy: masks have an IoU, which is stored under its own name, as all scores are.
  Grounding has `accuracy@0.5`, the fraction of boxes with an IoU above 0.5.
- `train total tokens` and `forgetting`, which apply to language models; templates and generation are left out.
- `accelerator_memory_reserved_avg` and `_99th`, which are not measured, and `accelerator_memory_max` on a CPU.
- `file_size` if the adapter is not saved.
- Versions of packages that are not used here, and commits of packages, models and datasets.

PEFT's `load_df` casts five of these (the three memory values, tokens and file size) to `int`, which cannot be null; it
works with `Int64` instead. A number in their place would be ranked as a measurement.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.config.describe import data_title
from bench.config.recipe import BETA1, complete
from bench.records.schema import Record, plain
from bench.streams.encoder_names import name_in_text
from bench.text import escape

_HEAD = "head.safetensors"  # stored beside an adapter, but not part of the method
_TYPES = {"bf16": "bfloat16", "fp16": "float16"}
_ACCURACIES = ("accuracy", "accuracy@0.5")


def peft_text(record: Record, results: Path) -> str:
    """Return the record of a completed run as JSON in PEFT's format.

    Args:
        record: The record.
        results: The results folder, which contains the adapter, if saved.
    """
    text = json.dumps(plain(peft_result(record, results)), indent=2, ensure_ascii=False, allow_nan=False)
    return escape.json_text(text) + "\n"


def peft_result(record: Record, results: Path) -> dict[str, Any]:
    """Return the record of a completed run in PEFT's format, in JSON types."""
    spec, times, environment, data = record.spec, record.times, record.environment, record.data
    return {
        "run_info": {
            "created_at": record.started,
            "total_time": times.total if times else None,
            "experiment_name": f"{spec.method}/{spec.task}-s{spec.seed}-{record.id}",
            "peft_branch": None,
            "train_config": _train_config(record),
            "peft_config": _peft_config(spec.method, spec.settings),
            "error_msg": "",
            "spec": asdict(spec),
        },
        "train_info": _train_info(record, results),
        "meta_info": {
            "model_info": {"sha": None, "created_at": None},
            "dataset_info": {
                f"{spec.task}, {data_title(spec.data)}": {
                    "sha": None,
                    "created_at": None,
                    "fingerprint": data.fingerprint if data else None,
                    "skipped": data.skipped if data else None,
                }
            },
            "package_info": _package_info(environment.versions if environment else {}),
            "system_info": {
                "platform": environment.platform if environment else None,
                "accelerator": environment.device if environment and environment.device != "cpu" else None,
            },
            "pytorch_info": None,
        },
    }


def _train_config(record: Record) -> dict[str, Any]:
    """Return the recipe as far as PEFT's training configuration has keys for it.

    `max_steps` is the number of steps planned by the schedule; fewer are taken if `patience` ends training. Schedules
    have their names from the recipe, and follow a warm-up over the fraction `warmup` of all steps; PEFT's own are
    `cosine` and null, which is constant. `dtype` is that of frozen linear and convolution layers; adapters are always
    float32.
    """
    spec, recipe, precision = record.spec, complete(record.spec.recipe), _precision(record)
    head_alone = record.parameters is not None and record.parameters.adapter == 0
    epochs = recipe["head_first"] + recipe["head_factor"] * recipe["epochs"] if head_alone else recipe["epochs"]
    curve = record.scores.validation if record.scores else []
    return {
        "model_id": " + ".join(name_in_text(source["model"]) for source in spec.streams.values()),
        "dtype": _dtype(record),
        "batch_size": recipe["batch_size"],
        "batch_size_eval": recipe["eval_batch_size"],
        "max_steps": curve[0].step * epochs if curve else None,
        "eval_steps": curve[0].step if curve else None,
        "compile": recipe["compile"],
        "use_gc": recipe["gradient_checkpointing"],
        "seed": spec.seed,
        "grad_norm_clip": recipe["clip"],
        "optimizer_type": "AdamW",
        "optimizer_kwargs": {
            "lr": recipe["lr_head" if head_alone else "lr_adapter"],
            "betas": [BETA1, recipe["beta2"]],
            "weight_decay": recipe["weight_decay"],
        },
        "lr_head": recipe["lr_head"],
        "lr_scheduler": recipe["schedule"],
        "warmup": recipe["warmup"],
        "use_amp": None if precision is None else precision != "no",
        "precision": precision,
    }


def _precision(record: Record) -> str | None:
    """Return the mixed precision of a run; None if an older record does not say what `auto` selected."""
    environment, precision = record.environment, record.spec.recipe["precision"]
    if environment and environment.precision:
        return environment.precision
    if precision == "auto":
        return "no" if environment and environment.device == "cpu" else None
    return str(precision)


def _dtype(record: Record) -> str | None:
    """Return the type of most frozen weights."""
    parameters, precision = record.parameters, _precision(record)
    all_trained = parameters is not None and parameters.trainable == parameters.total
    if all_trained or not record.spec.recipe.get("low_precision_frozen"):
        return "float32"
    return None if precision is None else _TYPES.get(precision, "float32")


def _peft_config(method: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the method with its settings under this package's names; None, as in PEFT, for full fine-tuning.

    Methods that PEFT has no name for have their own name in capitals.
    """
    if method == "full":
        return None
    if method == "dora":
        return {"peft_type": "LORA", "use_dora": True, **settings}
    return {"peft_type": method.removeprefix("peft:").upper(), **settings}


def _train_info(record: Record, results: Path) -> dict[str, Any]:
    """Return the measurements.

    PEFT reports the peak of memory reserved by the accelerator's allocator; here it is the peak of memory allocated, or
    null on a CPU. PEFT's training time includes the test but no validation; here it includes validation but no test.
    """
    parameters, memory, times = record.parameters, record.memory, record.times
    on_cuda = memory is not None and memory.kind == "cuda allocator"
    return {
        "accelerator_memory_reserved_avg": None,
        "accelerator_memory_max": max(memory.train_peak, memory.score_peak) if memory and on_cuda else None,
        "accelerator_memory_reserved_99th": None,
        "memory_kind": memory.kind if memory else None,
        "memory_train_peak": memory.train_peak if memory else None,
        "memory_score_peak": memory.score_peak if memory else None,
        "train_time": times.train if times else None,
        "file_size": _file_size(results / record.adapter) if record.adapter else None,
        "num_trainable_params": parameters.trainable if parameters else None,
        "num_adapter_params": parameters.adapter if parameters else None,
        "num_total_params": parameters.total if parameters else None,
        "status": "success",
        "metrics": _metrics(record),
    }


def _metrics(record: Record) -> list[dict[str, Any]]:
    """Return one entry per epoch and a last one with the test scores; scores are fractions, as in PEFT.

    Steps and samples are those of the validation curve, without epochs that only train the head (`head_first`).
    """
    scores = record.scores
    assert scores
    samples = record.data.counts.get("train") if record.data else None
    in_epoch = None if samples is None else samples * complete(record.spec.recipe)["passes"]
    entries = [
        {
            "step": epoch.step,
            **{f"valid {metric}": _share(value) for metric, value in epoch.scores.items()},
            "train loss": _finite(epoch.train_loss),
            "train samples": None if in_epoch is None else epoch.epoch * in_epoch,
        }
        for epoch in scores.validation
    ]
    scored = next(
        (entry for entry, epoch in zip(entries, scores.validation, strict=True) if epoch.epoch == scores.best_epoch), {}
    )
    accuracy = next((scores.test[name] for name in _ACCURACIES if name in scores.test), math.nan)
    test = {
        "step": scored.get("step"),
        "test accuracy": _share(accuracy),
        **{f"test {metric}": _share(value) for metric, value in scores.test.items()},
        "train loss": scored.get("train loss"),
        "train samples": scored.get("train samples"),
        "train total tokens": None,
        "forgetting": None,  # if the key is missing, PEFT's table shows 123
    }
    return [*entries, test]


def _package_info(versions: dict[str, str]) -> dict[str, str | None]:
    """Return versions of packages under PEFT's keys; None for packages that are not used here."""
    packages = ("transformers", "peft", "datasets", "bitsandbytes", "torch")
    info: dict[str, str | None] = {}
    for package in packages:
        info |= {f"{package}-version": versions.get(package), f"{package}-commit-hash": None}
    return info


def _file_size(adapter: Path) -> int | None:
    """Return the size of a saved adapter's weights in bytes, without the head; None if it no longer exists."""
    sizes = [path.stat().st_size for path in adapter.rglob("*.safetensors") if path.name != _HEAD]
    return sum(sizes) if sizes else None


def _share(percent: float) -> float | None:
    return _finite(percent / 100)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
