"""Records in the form of PEFT's own method comparison.

The form is that of the files that PEFT 0.21.0 left in huggingface/peft, method_comparison/MetaMathQA/results, in
September 2026 (commit db7d68a), which its method_comparison/processing.py reads. What it holds of language models only
(templates, generation, tokens) is left out, or null where `preprocess` there asks for the key; so is what is not
measured here. Keys that the form does not have stand beside its own. `load_df` there goes on to cast columns to whole
numbers that can be null here (memory held on average, tokens, file size), which takes its `int` made `Int64`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from bench.recipe import BETA1, Recipe
from bench.report.words import data_title
from bench.schema import Record

_HEAD = "head.safetensors"  # beside a saved adapter, but not of the method


def peft_text(record: Record, results: Path) -> str:
    """One finished record as JSON in PEFT's form.

    Args:
        record: of the run.
        results: the results folder, where its adapter lies if it was saved.
    """
    return json.dumps(peft_result(record, results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def peft_result(record: Record, results: Path) -> dict[str, Any]:
    """One finished record in PEFT's form, as plain values."""
    spec, times, environment = record.spec, record.times, record.environment
    return {
        "run_info": {
            "created_at": record.started,
            "total_time": times.total if times else None,
            "experiment_name": f"{spec['method']}/{spec['task']}-s{spec['seed']}-{record.id}",
            "peft_branch": None,
            "train_config": _train_config(record),
            "peft_config": _peft_config(spec["method"], spec["settings"]),
            "error_msg": "",
            "spec": spec,
        },
        "train_info": _train_info(record, results),
        "meta_info": {
            "model_info": {"sha": None, "created_at": None},
            "dataset_info": {f"{spec['task']}, {data_title(spec['data'])}": {"sha": None, "created_at": None}},
            "package_info": _package_info(environment.versions if environment else {}),
            "system_info": {
                "platform": environment.platform if environment else None,
                "accelerator": environment.device if environment and environment.device != "cpu" else None,
            },
            "pytorch_info": None,
        },
    }


def _train_config(record: Record) -> dict[str, Any]:
    """What of the recipe PEFT's training configuration has a name for; both have AdamW and a cosine after a warm-up."""
    spec, recipe = record.spec, record.spec["recipe"]
    curve = record.scores.validation if record.scores else []
    on_cpu = record.environment is not None and record.environment.device == "cpu"
    return {
        "model_id": " + ".join(source["model"] for source in spec["streams"].values()),
        "dtype": "float32",
        "batch_size": recipe["batch_size"],
        "batch_size_eval": recipe["eval_batch_size"],
        "max_steps": curve[-1].step if curve else None,
        "eval_steps": curve[0].step if curve else None,
        "seed": spec["seed"],
        "grad_norm_clip": recipe["clip"],
        "optimizer_type": "AdamW",
        "optimizer_kwargs": {
            "lr": recipe["lr_adapter"],
            "betas": [BETA1, recipe.get("beta2", Recipe.beta2)],
            "weight_decay": recipe["weight_decay"],
        },
        "lr_scheduler": "cosine",
        # A record does not tell what `auto` took on a GPU.
        "use_amp": {"auto": False if on_cpu else None, "no": False}.get(recipe["precision"], True),
    }


def _peft_config(method: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The method with its settings as they are named here; null is PEFT's form of full fine-tuning.

    A method that PEFT has no name for goes by its own in capitals.
    """
    if method == "full":
        return None
    if method == "dora":
        return {"peft_type": "LORA", "use_dora": True, **settings}
    return {"peft_type": method.removeprefix("peft:").upper(), **settings}


def _train_info(record: Record, results: Path) -> dict[str, Any]:
    """What was measured.

    PEFT's memory is what its allocator on the accelerator has reserved at most; here it is what was allocated, or null
    on a CPU. PEFT's training time has the test in it but no validation, here it has the validation but no test.
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
    """An entry an epoch and, last, the test, of the epoch that was scored; scores as shares, in PEFT's manner."""
    scores = record.scores
    assert scores
    samples = record.data.counts.get("train") if record.data else None
    entries = [
        {
            "step": epoch.step,
            **{f"valid {metric}": _share(value) for metric, value in epoch.scores.items()},
            "train loss": _finite(epoch.train_loss),
            "train samples": epoch.epoch * samples if samples is not None else None,
        }
        for epoch in scores.validation
    ]
    scored = next(
        (entry for entry, epoch in zip(entries, scores.validation, strict=True) if epoch.epoch == scores.best_epoch), {}
    )
    test = {
        "step": scored.get("step"),
        **{f"test {metric}": _share(value) for metric, value in scores.test.items()},
        "train loss": scored.get("train loss"),
        "train samples": scored.get("train samples"),
        "train total tokens": None,
    }
    return [*entries, test]


def _package_info(versions: dict[str, str]) -> dict[str, str | None]:
    """Versions as PEFT names them; of packages that are not used here none is known."""
    packages = ("transformers", "peft", "datasets", "bitsandbytes", "torch")
    found: dict[str, str | None] = {}
    for package in packages:
        found |= {f"{package}-version": versions.get(package), f"{package}-commit-hash": None}
    return found


def _file_size(adapter: Path) -> int | None:
    """Bytes of a saved adapter's weights, without the head's; None where it is gone."""
    sizes = [path.stat().st_size for path in adapter.rglob("*.safetensors") if path.name != _HEAD]
    return sum(sizes) if sizes else None


def _share(percent: float) -> float | None:
    return _finite(percent / 100)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
