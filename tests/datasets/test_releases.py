from __future__ import annotations

import re

import pytest
from official import NAMES, write_official

from bench import registry
from bench.config.instantiate import datasets_of
from bench.datasets import ave, coco_instances, refer_keys
from bench.datasets.avsbench import MultiRelease, Release
from bench.datasets.base import MEDIA, describe, load_dataset
from bench.datasets.refcoco import DATASETS as REFCOCO

DATASETS = {name: load_dataset(name) for name in registry.names("datasets")}
RELEASES = {name: dataset.card for name, dataset in DATASETS.items() if dataset.card and name != MEDIA}


def test_all_are_known():
    assert {*RELEASES} == {*NAMES, "refcocog_google"}


@pytest.mark.parametrize("name", RELEASES)
def test_counts_add_up(name):
    counts = RELEASES[name].counts
    kind = next(iter(counts["train"]))
    assert sum(kinds[kind] for split, kinds in counts.items() if split != "all") == counts["all"][kind]


@pytest.mark.parametrize("name", REFCOCO)
def test_the_cards_of_grounding_have_the_splits_that_are_read(name):
    split_by, splits = next(iter(REFCOCO[name].splits.items()))
    assert [*RELEASES[name].counts] == [*splits, "all"]
    assert f"refs({split_by}).p" in RELEASES[name].layout


@pytest.mark.parametrize("name", [*RELEASES, MEDIA])
def test_a_description_has_all_that_one_needs(name):
    card, text = DATASETS[name].card, describe(load_dataset(name))
    assert card.paper in text and card.license in text and all(page in text for page in card.pages)
    assert all(f"    {line}" in text for line in card.layout.splitlines())
    assert all(f"{count:,}" in text for kinds in card.counts.values() for count in kinds.values())


def test_missing_files_are_named(tmp_path):
    assert RELEASES["ave"].missing(tmp_path) == [places[0] for places in RELEASES["ave"].required]
    for name in ("avs", "refcocog"):
        root = write_official(tmp_path / name, name)
        assert RELEASES[name].missing(root) == []
    assert RELEASES["avs"].missing(tmp_path / "avs/Single-source") == [], "the folder itself may be named"
    (tmp_path / "refcocog/refcocog/refs(umd).p").unlink()
    assert RELEASES["refcocog"].missing(tmp_path / "refcocog") == ["refcocog/refs(umd).p"]


def test_a_task_stands_for_its_releases():
    assert layouts("ave") == ["ave"] and layouts("refcoco_plus:mask") == ["refcoco_plus"]
    assert layouts("refcoco+refcoco_plus+refcocog") == ["refcoco", "refcoco_plus", "refcocog"]


def layouts(task):
    return [dataset.name for dataset in datasets_of(task)]


@pytest.mark.parametrize("name", REFCOCO)
def test_a_description_lists_every_key_that_is_read(name):
    text = describe(load_dataset(name))
    keys = {*coco_instances.OPTIONAL, *refer_keys.REF, *refer_keys.SENTENCE, *refer_keys.TEXT}
    keys |= {key for needed in coco_instances._REQUIRED.values() for key in needed}
    assert all(re.search(rf"\b{key}\b", text) for key in keys)
    assert "COCO_train2014_000000581857.jpg" in text
    assert "web.archive.org/web/2022" in text and f"/{REFCOCO[name].folder}.zip" in text


def test_a_description_lists_every_column_that_is_read():
    for name, release in (("avs", Release), ("avs_ms3", MultiRelease)):
        columns = {column for names in release.columns for column in names} | {"split"}
        (line,) = [line for line in describe(load_dataset(name)).splitlines() if release.table_name in line]
        assert all(re.search(rf"\b{column}\b", line) for column in columns)
        assert release.media_name in describe(load_dataset(name))
    text = describe(load_dataset("ave"))
    assert "category&video id&quality&start&end" in text and all(file in text for file in ave.SPLITS.values())
    assert all(f"{folder}/" in text for folder in (ave.FRAMES, ave.SOUNDS, ave.VIDEOS, ave.TIMINGS))
