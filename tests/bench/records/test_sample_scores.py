from __future__ import annotations

import numpy as np
import pytest

from bench.errors import BenchError
from bench.records import sample_scores


def test_saved_scores_are_loaded_by_metric(tmp_path):
    scores = {split: {"miou": np.arange(n) / 7, "precision@0.5": np.zeros(n)} for split, n in (("a/b", 3), ("test", 2))}
    path = sample_scores.save(scores, tmp_path, "ave-lora-s0-id")
    assert path == tmp_path / "records" / "ave-lora-s0-id.npz"
    loaded, groups = sample_scores.load(tmp_path, "ave-lora-s0-id", "miou")
    assert loaded.dtype == np.float32
    assert loaded == pytest.approx(np.array([0, 1, 2, 0, 1]) / 7)
    assert groups.tolist() == [0, 1, 2, 3, 4]


def test_groups_of_samples_are_kept_apart_by_split(tmp_path):
    split = {"miou": np.zeros(4), sample_scores.GROUP: np.array([0, 1, 0, 1])}
    sample_scores.save({"testA": split, "testB": split}, tmp_path, "ave")
    _, groups = sample_scores.load(tmp_path, "ave", "miou")
    assert groups.tolist() == [0, 1, 0, 1, 2, 3, 2, 3]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_reported(tmp_path, number):
    path = sample_scores.save({"test": {"miou": np.array([1.0, number])}}, tmp_path, "ave")
    with pytest.raises(BenchError, match=rf"per-sample scores from .*{path.name}: a score is not finite"):
        sample_scores.load(tmp_path, "ave", "miou")


def test_no_scores_were_saved(tmp_path):
    assert sample_scores.load(tmp_path, "ave", "miou") is None
    sample_scores.save({"test": {"miou": np.zeros(3)}}, tmp_path, "ave")
    assert sample_scores.load(tmp_path, "ave", "oiou") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', }"])
def test_a_broken_file_is_named(tmp_path, content):
    path = sample_scores.save({"test": {"miou": np.zeros(3)}}, tmp_path, "ave")
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"per-sample scores from .*ave\.npz"):
        sample_scores.load(tmp_path, "ave", "miou")


def test_no_pickle_is_loaded(tmp_path):
    path = sample_scores.save({}, tmp_path, "ave")
    np.savez(path, **{"test/miou": np.array([{"an": "object"}], dtype=object)}, allow_pickle=True)
    with pytest.raises(BenchError, match="cannot read per-sample scores"):
        sample_scores.load(tmp_path, "ave", "miou")
