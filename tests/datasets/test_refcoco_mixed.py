"""Data sets that are trained together."""

from __future__ import annotations

import pytest
from refer_files import annotation, ref, write_release

from bench.datasets import refer_entries
from bench.datasets.refcoco import mixed
from bench.errors import DataError

JOINED = ("refcoco", "refcoco_plus", "refcocog")


@pytest.fixture(autouse=True)
def _nothing_remembered():
    refer_entries._read.cache_clear()


def test_mixed_training_leaves_out_every_test_image(tmp_path):
    write_release(tmp_path, [ref(1), ref(2), ref(3, "testB")], "refcoco")
    write_release(tmp_path, [ref(1), ref(3), ref(2, "val")], "refcoco+", annotations=[annotation(n) for n in (1, 2, 3)])
    write_release(tmp_path, [ref(2), ref(3), ref(1, "test")], "refcocog", "refs(umd).p")

    def images(*names):
        return [(expression.dataset, expression.image_id) for expression in mixed(tmp_path, names).expressions]

    assert images("refcoco") == [("refcoco", 1), ("refcoco", 2)]
    assert images("refcoco", "refcoco_plus") == [("refcoco", 1), ("refcoco", 2), ("refcoco_plus", 1)]
    assert images(*JOINED) == [("refcoco", 2), ("refcocog", 2)]
    both = mixed(tmp_path, JOINED)
    for expression in both.expressions:
        assert both.image(expression).shape == (30, 40, 3) and both.mask(expression).sum() == 150


def test_mixed_samples_come_from_their_own_data_set(tmp_path):
    write_release(tmp_path, [ref(1)], "refcoco")
    whole = [[0, 0, 40, 0, 40, 30, 0, 30]]
    write_release(tmp_path, [ref(1)], "refcoco+", annotations=[annotation(1, segmentation=whole)])
    both = mixed(tmp_path, ["refcoco", "refcoco_plus"])
    assert [both.mask(entry).sum() for entry in both.expressions] == [150, 1200]


def test_mixed_training_with_nothing_left_is_an_error(tmp_path):
    write_release(tmp_path, [ref(1), ref(2, "testA")], "refcoco")
    write_release(tmp_path, [ref(2), ref(1, "testA")], "refcoco+")
    with pytest.raises(DataError, match="every training image of refcoco, refcoco_plus is in a test split"):
        mixed(tmp_path, ["refcoco", "refcoco_plus"])
