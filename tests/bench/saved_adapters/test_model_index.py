from __future__ import annotations

import dataclasses
import math
import re

import mocks
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from bench.config.plan import RunRequest, make_plan
from bench.saved_adapters.manifest import Encoder
from bench.saved_adapters.model_card import card
from bench.saved_adapters.model_index import model_index_text


@pytest.fixture
def record(mock_suite):
    (spec,) = make_plan(RunRequest(str(mock_suite), ["cola"], ["avs"], [1]))
    return mocks.record(spec, 71.5)


def of_data(record, **data):
    return dataclasses.replace(record, spec=dataclasses.replace(record.spec, data=data))


def with_splits(record, **splits):
    return dataclasses.replace(record, scores=dataclasses.replace(record.scores, splits=splits))


def test_scores_with_task_data_and_split(record):
    (index,) = yaml.safe_load(model_index_text(record))["model-index"]
    assert index["name"] == "cola on avs, seed 1"
    (result,) = index["results"]
    assert result["task"] == {"type": "image-segmentation", "name": "avs"}
    assert result["dataset"]["split"] == "test"
    assert result["metrics"] == [
        {"type": "miou", "value": 71.5, "name": "miou, in percent", "verified": False},
        {"type": "f_score", "value": 35.75, "name": "f_score, in percent", "verified": False},
    ]


def test_generated_data_is_never_the_benchmarks_own(record):
    (index,) = yaml.safe_load(model_index_text(record))["model-index"]
    assert index["results"][0]["dataset"] == {
        "name": "avs, generated data v3 (world 7), not the benchmark's own",
        "type": "generated-avs",
        "split": "test",
        "args": {"version": 3, "seed": 7},
    }
    official = yaml.safe_load(model_index_text(of_data(record, source="official")))["model-index"][0]
    assert official["results"][0]["dataset"] == {"name": "avs, official data", "type": "avs", "split": "test"}


def test_every_test_split_and_all_together(record):
    splits = {"val": {"miou": 1.0}, "testA": {"miou": 70.0}, "testB": {"miou": 73.0}}
    (index,) = yaml.safe_load(model_index_text(with_splits(record, **splits)))["model-index"]
    results = {
        (result["dataset"]["split"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    assert results == {
        **{("testA", "miou"): 70.0, ("testB", "miou"): 73.0},
        **{("testA+testB", "miou"): 71.5, ("testA+testB", "f_score"): 35.75},
    }
    one = with_splits(record, val={"miou": 1.0}, test=record.scores.test)
    assert model_index_text(one) == model_index_text(record)


@pytest.mark.parametrize("task", ["refcoco:box", "refcoco+refcoco_plus+refcocog", "<script>"])
def test_ids_have_only_characters_that_the_hub_allows(record, task):
    named = dataclasses.replace(record, spec=dataclasses.replace(record.spec, task=task))
    (index,) = yaml.safe_load(model_index_text(named))["model-index"]
    (result,) = index["results"]
    assert re.fullmatch(r"[\w.-]+", result["dataset"]["type"])
    assert result["task"]["name"] == task


def test_a_score_that_is_not_finite_is_left_out(record):
    scores = dataclasses.replace(record.scores, test={"miou": 71.5, "f_score": math.nan})
    (index,) = yaml.safe_load(model_index_text(dataclasses.replace(record, scores=scores)))["model-index"]
    assert [metric["type"] for metric in index["results"][0]["metrics"]] == ["miou"]


def test_huggingface_hub_reads_it(record):
    data = ModelCardData(**yaml.safe_load(model_index_text(record)))
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [
        *(("miou", 71.5), ("f_score", 35.75))
    ]


def test_the_card_of_an_adapter_has_it(record, tmp_path):
    encoders = {
        "vision": Encoder("facebook/dinov2-base", "0" * 40, True, {"model.safetensors": "a" * 64}),
        "audio": Encoder("my-folder", files={"model.safetensors": "b" * 64}),
    }
    data = ModelCard(card(record, tmp_path, encoders)).data
    assert data.model_name == "cola on avs, seed 1"
    assert {result.metric_type: result.metric_value for result in data.eval_results} == record.scores.test
    assert data.eval_results[0].dataset_name.endswith("not the benchmark's own")
    assert (data.library_name, data.base_model) == ("transformers", ["facebook/dinov2-base"])
    assert data.tags == ["crossmodal-bench", "cola", "avs"]
