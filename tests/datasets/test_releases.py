from __future__ import annotations

import pytest
from official import NAMES, write_official

from bench.datasets.refcoco import DATASETS
from bench.datasets.releases import RELEASES, describe, parts


def test_all_six_are_known():
    assert tuple(RELEASES) == NAMES


@pytest.mark.parametrize("name", RELEASES)
def test_counts_add_up(name):
    counts = RELEASES[name].counts
    kind = next(iter(counts["train"]))
    assert sum(its[kind] for split, its in counts.items() if split != "all") == counts["all"][kind]


@pytest.mark.parametrize("name", DATASETS)
def test_the_cards_of_grounding_have_the_splits_that_are_read(name):
    split_by, splits = next(iter(DATASETS[name].splits.items()))
    assert [*RELEASES[name].counts] == [*splits, "all"]
    assert f"refs({split_by}).p" in RELEASES[name].layout


@pytest.mark.parametrize("name", RELEASES)
def test_a_description_has_all_that_one_needs(name):
    card, text = RELEASES[name], describe(name)
    assert card.paper in text and card.licence in text and all(page in text for page in card.pages)
    assert all(f"    {line}" in text for line in card.layout.splitlines())
    assert all(f"{count:,}" in text for its in card.counts.values() for count in its.values())


def test_what_is_missing_is_named(tmp_path):
    assert RELEASES["ave"].missing(tmp_path) == [places[0] for places in RELEASES["ave"].needs]
    for name in ("avs", "refcocog"):
        root = write_official(tmp_path / name, name)
        assert RELEASES[name].missing(root) == []
    assert RELEASES["avs"].missing(tmp_path / "avs/Single-source") == [], "the folder itself may be named"
    (tmp_path / "refcocog/refcocog/refs(umd).p").unlink()
    assert RELEASES["refcocog"].missing(tmp_path / "refcocog") == ["refcocog/refs(umd).p"]


def test_a_task_stands_for_its_releases():
    assert parts("ave") == ["ave"] and parts("refcoco_plus:mask") == ["refcoco_plus"]
    assert parts("refcoco+refcoco_plus+refcocog") == ["refcoco", "refcoco_plus", "refcocog"]
