"""The generated questions: balanced, and answered only by sight, sound and words together."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from bench.datasets.avqa import TYPES, Release
from bench.datasets.mini import avqa_floors, avqa_world
from bench.datasets.mini.avqa_questions import TEMPLATES, Template, questions
from bench.datasets.mini.avqa_world import Part, Performance, random_performance, stage
from bench.datasets.mini.build import build

KNOWN = Performance(("Disc", "Cross"), (Part("Cross", 0, 2, 1), Part("Disc", 2, 5, 0)))


def template(text: str) -> Template:
    (chosen,) = [candidate for candidate in TEMPLATES if candidate.text == text]
    return chosen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is there a <Object> sound?", {("disc",): "yes", ("cross",): "yes", ("star",): "no", ("crescent",): "no"}),
        ("How many sounds are there?", {(): "two"}),
        ("Is the <Object> louder than the <Object>?", {("disc", "cross"): "yes", ("cross", "disc"): "no"}),
        ("How many things are there?", {(): "two"}),
        ("What is on the <LR>?", {("left",): "disc", ("right",): "cross"}),
        ("Is the thing on the <LR> sounding?", {("left",): "yes", ("right",): "yes"}),
        ("How many things are sounding?", {(): "two"}),
        ("Where is the <LL> thing?", {("loudest",): "left", ("lowest",): "right"}),
        ("Is the <FL> sound of a thing in the video?", {("first",): "yes", ("last",): "yes"}),
        ("Is the <LR> thing louder than the <LR> thing?", {("left", "right"): "yes", ("right", "left"): "no"}),
        ("Where is the <FL> sounding thing?", {("first",): "right", ("last",): "left"}),
    ],
)
def test_answers_by_hand(text, expected):
    assert dict(template(text).choices(KNOWN)) == expected


def test_what_is_hidden_or_silent_has_no_side():
    single = Performance((None, "Disc"), (Part("Star, five points", 0, 5, 0),))
    assert dict(template("Is the thing on the <LR> sounding?").choices(single)) == {("right",): "no"}
    assert dict(template("How many things are sounding?").choices(single)) == {(): "zero"}
    for text in ("Where is the <LL> thing?", "Where is the <FL> sounding thing?"):
        assert dict(template(text).choices(single)) == {}


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(1)
    performances = [random_performance(rng) for _ in range(600)]
    return [(question, performance) for performance in performances for question in questions(rng, performance)]


def test_all_nine_types_occur_and_much_of_the_questions_needs_both_senses(many):
    kinds = Counter(question.template.kind for question, _ in many)
    assert {*kinds} == {*TYPES} and min(kinds.values()) > 0.02 * len(many)
    assert sum(count for (about, _), count in kinds.items() if about == "Audio-Visual") > 0.38 * len(many)


def test_no_answer_is_much_more_frequent_than_another_to_the_same_words(many):
    for candidate in TEMPLATES:
        answers = Counter(question.answer for question, _ in many if question.template is candidate)
        assert max(answers.values()) < 1.5 * sum(answers.values()) / len({*candidate.options}), (
            candidate.text,
            answers,
        )


def test_oracles_with_all_senses_know_every_answer_and_those_without_one_do_not(many):
    rehearsed = avqa_floors.rehearsals(1200)

    def accuracy(senses, about):
        chosen = [entry for entry in many if entry[0].template.kind[0] == about]
        return avqa_floors.accuracy(rehearsed, chosen, senses)

    for about in ("Audio", "Visual", "Audio-Visual"):
        assert accuracy(("reads", "sees", "hears"), about) > 97
        assert accuracy(("reads",), about) < 56
    assert accuracy(("reads", "hears"), "Audio") == accuracy(("reads", "sees"), "Visual") == 100
    for senses in (("reads", "hears"), ("reads", "sees"), ("sees", "hears")):
        assert accuracy(senses, "Audio-Visual") < 62


def test_a_video_shows_and_plays_its_performance():
    video = stage(np.random.default_rng(0), KNOWN)
    assert len(video.moments) == avqa_world.SECONDS
    assert [moment.audible for moment in video.moments] == [("Cross",)] * 4 + [("Disc",)] * 6
    for moment in video.moments:
        left, right = moment.things
        assert (left.shape, right.shape) == ("disc", "cross") and left.x < 0.4 and right.x > 0.6
    assert max(moment.sources[0].loudness for moment in video.moments[:4]) < 0.05
    assert min(moment.sources[0].loudness for moment in video.moments[4:]) > 0.13


def test_generated_questions_are_read_as_they_are_meant(tmp_path):
    manifest = build(tmp_path, "avqa", 0, counts={"train": 9, "val": 1, "test": 2}, workers=1)
    release = Release(tmp_path, "train")
    entries = json.loads((tmp_path / "json/avqa-train.json").read_text())
    assert len(release.questions) == len(entries) and "<" not in "".join(q.text for q in release.questions)
    assert len(release.videos()) == 9 and len(release.frame_paths(release.questions[0])) == 10
    assert release.waves(release.questions[0], 16_000).shape == (10, 16_000)
    assert {*manifest.floors} == {avqa_floors.CONSTANT, *avqa_floors.ORACLES}
