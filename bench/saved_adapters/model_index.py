"""Records as Hugging Face's `model-index`: the evaluation results in the metadata of a model card.

The format is described in modelcard.md of huggingface/hub-docs; huggingface_hub writes it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump

from bench import registry
from bench.config.describe import data_title
from bench.config.spec import Spec, without_path
from bench.errors import BenchError
from bench.records.schema import Record
from bench.tasks.base import Task
from bench.text import escape


def model_index_text(record: Record) -> str:
    """Return the `model-index` of one finished record, as a card's metadata in YAML."""
    return metadata(card_data(record)) + "\n"


def metadata(card: ModelCardData) -> str:
    """Return a card's metadata as YAML, with each text on one line."""
    return yaml_dump(escape.values(card.to_dict()), sort_keys=False).strip()


def card_data(record: Record, **arguments: Any) -> ModelCardData:
    """Return a card's metadata with the `model-index` of one finished record.

    Args:
        record: The record of the run.
        **arguments: Further arguments of `ModelCardData`.
    """
    spec = record.spec
    name = f"{spec.method} on {spec.task}, seed {spec.seed}"
    return ModelCardData(model_name=name, eval_results=eval_results(record), **arguments)


def eval_results(record: Record) -> list[EvalResult]:
    """Return the test scores of a finished record, one result per split and metric.

    Several splits are followed by the scores over all of their samples. Generated data has a type and a name of its
    own, never the benchmark's. Scores that are not finite are left out.
    """
    spec, scores = record.spec, record.scores
    assert scores
    splits = {name: split_scores for name, split_scores in (scores.splits or {}).items() if name != "val"}
    if len(splits) != 1:
        splits["+".join(splits) or "test"] = scores.test
    task, data = spec.task, spec.data
    return [
        EvalResult(
            task_type=_task_type(task),
            task_name=task,
            dataset_type=_dataset_id(task if data["source"] == "official" else f"{data['source']}-{_data_name(spec)}"),
            dataset_name=f"{task}, {data_title(data)}",
            dataset_split=split,
            dataset_args={key: value for key, value in without_path(data).items() if key != "source"} or None,
            metric_type=metric,
            metric_name=f"{metric}, in percent",
            metric_value=value,
            verified=False,
        )
        for split, split_scores in splits.items()
        for metric, value in split_scores.items()
        if math.isfinite(value)
    ]


def _task_type(task: str) -> str:
    """Return the hub's name of the kind of task; "other" for a task that is not installed."""
    try:
        return getattr(registry.load("tasks", task), "task_type", Task.task_type)
    except BenchError:
        return Task.task_type


def _data_name(spec: Spec) -> str:
    """Return the name of a user's own file or folder, without the folders above it; else that of the task."""
    return Path(spec.data["path"]).stem if spec.data.get("path") else spec.task


def _dataset_id(name: str) -> str:
    """Return a name with only the characters that the hub allows in a dataset's id."""
    return re.sub(r"[^\w.-]+", "-", name)
