"""The expected exports of a watched run, from its training loop if possible, otherwise from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import pytest
import torch
from watched import Ran

from bench.config.recipe import Recipe
from bench.streams.load import load_stream


def leaves(value: Any, *path: Any) -> dict[tuple[Any, ...], Any]:
    """Return the leaves of nested tables and lists, by path; empty ones are leaves too."""
    if isinstance(value, Mapping | list | tuple) and value:
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {place: leaf for key, inner in pairs for place, leaf in leaves(inner, *path, key).items()}
    return {path: value}


def assert_same(exported: Any, expected: Any) -> None:
    """Check that exactly the expected fields exist, with the expected values."""
    exported, expected = leaves(exported), leaves(expected)
    missing, more = expected.keys() - exported.keys(), exported.keys() - expected.keys()
    assert not (missing or more), f"missing: {missing}; not expected: {more}"
    wrong = {
        place: (exported[place], value)
        for place, value in expected.items()
        if exported[place] != (pytest.approx(value, rel=1e-5, abs=1e-9) if isinstance(value, float) else value)
        or isinstance(exported[place], bool) != isinstance(value, bool)
    }
    assert not wrong, f"found and expected: {wrong}"


def expected_peft(ran: Ran) -> dict[str, Any]:
    record, scores, spec, recipe = ran.record, ran.record.scores, ran.record.spec, ran.setup.recipe
    accuracy = {"accuracy": "accuracy", "accuracy@0.5": "accuracy@0.5"}.get(scores.metric)
    test = {
        "step": ran.best["step"],
        "test accuracy": scores.test[accuracy] / 100 if accuracy else None,
        **{f"test {name}": value / 100 for name, value in scores.test.items()},
        "train loss": ran.best["loss"],
        "train samples": ran.best["samples"],
        "train total tokens": None,
        "forgetting": None,
    }
    epochs = [
        {
            "step": did["step"],
            **{f"valid {name}": value / 100 for name, value in entry.scores.items()},
            "train loss": did["loss"],
            "train samples": did["samples"],
        }
        for did, entry in zip(ran.epochs, scores.validation, strict=True)
    ]
    saved = [p for p in (ran.results / record.adapter).rglob("*.safetensors") if p.name != "head.safetensors"]
    versions = record.environment.versions
    title = f"{spec.task}, generated data v{spec.data['version']} (world {spec.data['seed']}), not the "
    return {
        "run_info": {
            "created_at": record.started,
            "total_time": record.times.total,
            "experiment_name": f"{spec.method}/{spec.task}-s0-{record.id}",
            "peft_branch": None,
            "train_config": {
                "model_id": " + ".join(stream["model"] for stream in spec.streams.values()),
                "dtype": ran.frozen_type,
                "batch_size": max(sum(step.parts) for step in ran.loop.did),
                "batch_size_eval": recipe.eval_batch_size,
                "max_steps": ran.loop.steps,
                "eval_steps": ran.in_epoch,
                "compile": False,
                "use_gc": ran.setup.model.streams.gradient_checkpointing,
                "seed": 0,
                "grad_norm_clip": recipe.clip,
                "optimizer_type": type(ran.loop.optimizer.optimizer).__name__,
                "optimizer_kwargs": {"lr": ran.peaks[0], **ran.adam},
                "lr_head": ran.peaks[-1],
                "lr_scheduler": recipe.schedule,
                "warmup": recipe.warmup,
                "use_amp": ran.precision != "no",
                "precision": ran.precision,
            },
            "peft_config": peft_config(ran),
            "error_msg": "",
            "spec": asdict(spec),
        },
        "train_info": {
            "accelerator_memory_reserved_avg": None,
            "accelerator_memory_max": None,
            "accelerator_memory_reserved_99th": None,
            "memory_kind": record.memory.kind,
            "memory_train_peak": record.memory.train_peak,
            "memory_score_peak": record.memory.score_peak,
            "train_time": record.times.train,
            "file_size": sum(path.stat().st_size for path in saved) or None,
            "num_trainable_params": sum(ran.trained.values()),
            "num_adapter_params": ran.trained["adapter"],
            "num_total_params": sum(p.numel() for p in ran.setup.model.parameters()),
            "status": "success",
            "metrics": [*epochs, test],
        },
        "meta_info": {
            "model_info": {"sha": None, "created_at": None},
            "dataset_info": {
                f"{title}benchmark's own": {
                    "sha": None,
                    "created_at": None,
                    "fingerprint": ran.setup.data.fingerprint,
                    "skipped": ran.setup.data.skipped,
                }
            },
            "package_info": {
                f"{package}-{part}": versions.get(package) if part == "version" else None
                for package in ("transformers", "peft", "datasets", "bitsandbytes", "torch")
                for part in ("version", "commit-hash")
            },
            "system_info": {"platform": record.environment.platform, "accelerator": None},
            "pytorch_info": None,
        },
    }


def peft_config(ran: Ran) -> dict[str, Any] | None:
    method = ran.record.spec.method
    if method == "full":
        return None
    named = {"dora": {"peft_type": "LORA", "use_dora": True}, "peft:ia3": {"peft_type": "IA3"}}
    return {**named.get(method, {"peft_type": method.upper()}), **ran.setup.method.to_config()}


def expected_row(ran: Ran) -> dict[str, Any]:
    record, spec, setup = ran.record, ran.record.spec, ran.setup
    environment, scores, trained = record.environment, record.scores, ran.trained
    encoders = sum(p.numel() for source in spec.streams.values() for p in load_stream(**source).parameters())
    data = f"generated data v{spec.data['version']} (world {spec.data['seed']}), not the benchmark's own"
    return {
        **{"condition": f"suite {spec.suite}, {data}", "label": spec.method},
        **{key: getattr(spec, key) for key in ("suite", "task", "method", "seed")},
        **{"id": record.id, "status": "ok", "reason": None, "started": record.started, "tuned": "tuned.toml"},
        **{"metric": setup.task.metric, "score": scores.test[setup.task.metric], "best_epoch": scores.best_epoch},
        **{"epochs": len(ran.epochs), "steps": len(ran.loop.did)},
        **{f"test.{name}": scores.test[name] for name in setup.task.metrics},
        "parameters.adapter": trained["adapter"],
        "parameters.head": trained["head"],
        "parameters.trainable": sum(trained.values()),
        "parameters.total": sum(p.numel() for p in setup.model.parameters()),
        "parameters.streams": encoders,
        "parameters.percent": 100 * trained["adapter"] / encoders,
        "parameters.active": setup.method.active_parameters(),
        "parameters.no_gradient": ran.loop.no_gradient(),
        **{f"memory.{name}": value for name, value in asdict(record.memory).items()},
        **{f"throughput.{name}": value for name, value in asdict(record.throughput).items()},
        **{f"times.{name}": value for name, value in asdict(record.times).items()},
        **{"environment.device": "cpu", "environment.precision": ran.precision},
        **{"environment.threads": torch.get_num_threads(), "environment.jobs": 3, "environment.processes": 1},
        **{"environment.commit": environment.commit, "environment.dirty": environment.dirty},
        **{f"data.{key}": value for key, value in spec.data.items()},
        **{"data.fingerprint": setup.data.fingerprint, "data.skipped": setup.data.skipped},
        **{f"setting.{name}": getattr(setup.method, name) for name in setup.method.to_config()},
        **{f"task_setting.{name}": getattr(setup.task, name) for name in spec.task_settings},
        **{f"recipe.{recipe_field.name}": getattr(setup.recipe, recipe_field.name) for recipe_field in fields(Recipe)},
        **{f"stream.{name}": source["model"] for name, source in spec.streams.items()},
    }
