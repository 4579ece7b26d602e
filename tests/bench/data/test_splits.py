"""Which samples a run is trained on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from small_runs import spec

from bench.data.splits import subset
from bench.training.setup import set_up


class Split(SimpleNamespace):
    def __len__(self):
        return len(self.names)


@given(
    st.lists(st.text(max_size=3), min_size=1), st.floats(0.01, 1), st.floats(0.01, 1), st.randoms(use_true_random=False)
)
def test_a_share_keeps_samples_of_one_picture_together(pictures, share_a, share_b, chance):
    less, more = sorted((share_a, share_b))
    split = Split(names=[str(number) for number in range(len(pictures))], groups=pictures)
    indices = subset(split, less)
    assert indices and list(indices) == sorted(set(indices))
    of = {pictures[index] for index in indices}
    assert {index for index, picture in enumerate(pictures) if picture in of} == set(indices)
    assert len(of) == max(1, round(less * len(set(pictures))))
    assert of <= {pictures[index] for index in subset(split, more)}, "a larger one has all of it"
    moved = chance.sample(pictures, len(pictures))
    assert {moved[index] for index in subset(Split(names=split.names, groups=moved), less)} == of


@given(st.text(max_size=3), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_of_a_draw_has_all_of_a_smaller_one(draw, share_a, share_b):
    less, more = sorted((share_a, share_b))
    split = Split(names=[f"video {number}" for number in range(40)])
    assert set(subset(split, less, draw)) <= set(subset(split, more, draw))
    assert subset(split, 0.5, draw + "!") != subset(split, 0.5, draw + "?")


def test_samples_that_share_nothing_are_drawn_one_by_one():
    split = Split(names=[f"video {number}" for number in range(40)])
    assert len(subset(split, 0.25)) == 10 and list(subset(split, 1)) == list(range(40))


def test_a_run_is_trained_on_its_share_of_training_samples_only(options):
    whole = set_up(spec("refcoco", "cola", "refcoco.train_share=1"), options).data
    less = set_up(spec("refcoco", "cola", "refcoco.train_share=0.5"), options).data
    assert 0 < less.counts["train"] < whole.counts["train"]
    assert {**less.counts, "train": 0} == {**whole.counts, "train": 0}
    pictures = whole.samples["train"].groups
    chosen = subset(whole.samples["train"], 0.5)
    assert len({pictures[index] for index in chosen}) == round(0.5 * len(set(pictures)))
    for at, index in enumerate(chosen):
        sample, original = less.datasets["train"][at], whole.datasets["train"][index]
        assert all(sample[name].equal(original[name]) for name in original)


def test_seeds_draw_their_own_training_samples_if_the_recipe_says_so(options):
    def trained_on(method, seed, draw):
        changes = ("refcoco.train_share=0.5", f"refcoco.train_draw={draw}")
        data = set_up(replace(spec("refcoco", method, *changes), seed=seed), options).data
        return [tuple(row.sum().item() for row in sample.values()) for sample in data.datasets["train"]], data.checksums

    zero, checksums = trained_on("cola", 0, "seed")
    assert trained_on("lora", 0, "seed") == (zero, checksums), "all methods of a seed have the same"
    one, of_one = trained_on("cola", 1, "seed")
    assert one != zero and of_one["train"] != checksums["train"]
    assert {**of_one, "train": ""} == {**checksums, "train": ""}, "validation and tests are those of every seed"
    assert trained_on("cola", 0, "fixed") == trained_on("cola", 1, "fixed")
