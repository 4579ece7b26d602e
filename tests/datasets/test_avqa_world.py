"""The generated questions: balanced, and answered only by sight, sound and words together."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from bench.datasets.avqa import Release
from bench.datasets.avqa_types import TYPES
from bench.datasets.build import build
from bench.datasets.mini import avqa_floors, avqa_world
from bench.datasets.mini.avqa_questions import TEMPLATES, Template, chances, questions
from bench.datasets.mini.avqa_world import Act, Performance, random_performance, stage

KNOWN = Performance(
    (
        Act(2, "Cross", False, ("Disc", None)),
        Act(1, "Disc", True, ("Disc", "Crescent")),
        Act(2, "Crescent", False, (None, "Star, five points")),
    )
)


def template(text: str) -> Template:
    (chosen,) = [candidate for candidate in TEMPLATES if candidate.text == text]
    return chosen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is there a <Object> sound?", {"crescent": "yes", "cross": "yes", "disc": "yes", "star": "no"}),
        ("Is the <Object> sound the loudest?", {"cross": "no", "disc": "yes", "crescent": "no"}),
        ("Is there a <Object> in the video?", {"crescent": "yes", "cross": "no", "disc": "yes", "star": "yes"}),
        ("Where is the <Object>?", {"crescent": "right", "disc": "left", "star": "right"}),
        ("Is the <Object> visible while it sounds?", {"disc": "yes", "crescent": "no"}),
        ("How many things are there with the <Object> sound?", {"cross": "one", "disc": "two", "crescent": "one"}),
        ("Where is the thing with the <Object> sound?", {"cross": "left", "crescent": "right"}),
        ("What is there with the <Object> sound?", {"cross": "disc", "crescent": "star"}),
        ("Is the sound with the <Object> the loudest?", {"crescent": "yes", "star": "no"}),
        ("What sounds at the time of the <Object>?", {"crescent": "disc", "star": "crescent"}),
    ],
)
def test_answers_by_hand(text, expected):
    choices = dict(template(text).choices(KNOWN))
    assert choices == {(name,): answer for name, answer in expected.items()}
    probable = {values: chance for values, _, chance in chances(KNOWN, template(text))}
    answers = [*expected.values()]
    for (name,), chance in probable.items():
        options = template(text).options
        share = options.count(expected[name]) / len(options)
        assert chance == pytest.approx(share / answers.count(expected[name]))


def test_what_sight_or_sound_alone_would_tell_is_not_asked():
    act = Act(2, "Disc", True, ("Star, five points", None))
    alike = Performance((act, Act(3, "Cross", False, ("Star, five points", None))))
    for text in (
        "How many things are there with the <Object> sound?",
        "Where is the thing with the <Object> sound?",
        "What is there with the <Object> sound?",
        "What sounds at the time of the <Object>?",
        "Is the <Object> visible while it sounds?",
    ):
        assert dict(template(text).choices(alike)) == {}


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(1)
    performances = [random_performance(rng) for _ in range(600)]
    return [(question, performance) for performance in performances for question in questions(rng, performance)]


def test_all_nine_types_occur_and_much_of_the_questions_needs_both_senses(many):
    kinds = Counter(question.template.kind for question, _ in many)
    assert {*kinds} == {*TYPES} and min(kinds.values()) > 0.02 * len(many)
    assert sum(count for (about, _), count in kinds.items() if about == "Audio-Visual") > 0.6 * len(many)


def test_no_answer_is_much_more_frequent_than_another_to_the_same_words(many):
    for candidate in TEMPLATES:
        answers = Counter(question.answer for question, _ in many if question.template is candidate)
        assert max(answers.values()) < 1.5 * sum(answers.values()) / len({*candidate.options}), (
            candidate.text,
            answers,
        )


def test_oracles_with_all_senses_know_every_answer_and_those_without_one_do_not(many):
    def accuracy(senses, about):
        return avqa_floors.accuracy([entry for entry in many[:900] if entry[0].template.kind[0] == about], senses)

    for about in ("Audio", "Visual", "Audio-Visual"):
        assert accuracy(("reads", "sees", "hears"), about) == 100
        assert accuracy(("reads",), about) < 60
    assert accuracy(("reads", "hears"), "Audio") == accuracy(("reads", "sees"), "Visual") == 100
    for senses in (("reads", "hears"), ("reads", "sees"), ("sees", "hears")):
        assert accuracy(senses, "Audio-Visual") < 56


def test_a_video_shows_and_plays_its_performance():
    video = stage(np.random.default_rng(0), KNOWN)
    assert len(video.moments) == avqa_world.SECONDS
    assert [moment.audible for moment in video.moments] == [("Cross",)] * 4 + [("Disc",)] * 2 + [("Crescent",)] * 4
    shapes = [[thing.shape for thing in moment.things] for moment in video.moments]
    assert shapes == [["disc"]] * 4 + [["disc", "crescent"]] * 2 + [["star"]] * 4
    assert all(moment.things[0].x < 0.4 for moment in video.moments[:6])
    assert all(moment.things[-1].x > 0.6 for moment in video.moments[4:])
    loudness = [moment.sources[0].loudness for moment in video.moments]
    assert min(loudness[4:6]) > 0.13 and max(loudness[:4] + loudness[6:]) < 0.05


def test_acts_fill_the_video_and_none_repeats_a_sound(many):
    for _, performance in many:
        assert sum(act.beats for act in performance.acts) == avqa_world.BEATS
        assert len({act.sound for act in performance.acts}) == len(performance.acts)
        assert sum(act.loud for act in performance.acts) == 1 and all(act.things for act in performance.acts)


def test_generated_questions_are_read_as_they_are_meant(tmp_path):
    manifest = build(tmp_path, "avqa", 0, counts={"train": 9, "val": 1, "test": 2}, workers=1)
    release = Release(tmp_path, "train")
    entries = json.loads((tmp_path / "json/avqa-train.json").read_text())
    assert len(release.questions) == len(entries) and "<" not in "".join(q.text for q in release.questions)
    assert len(release.videos()) == 9 and len(release.frame_paths(release.questions[0])) == 10
    assert release.waves(release.questions[0], 16_000).shape == (10, 16_000)
    assert {*manifest.floors} == {avqa_floors.CONSTANT, *avqa_floors.ORACLES}
