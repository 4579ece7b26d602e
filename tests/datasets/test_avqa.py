"""The reader of MUSIC-AVQA."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from bench.datasets.avqa import Question, Release, read_questions, seconds_of, spread
from bench.datasets.base import load_dataset
from bench.errors import DataError

ENTRY = {
    "video_id": "00000028",
    "question_id": 7,
    "type": '["Audio-Visual", "Comparative"]',
    "question_content": "Is the <Object> on the <LR> louder than the <Object> on the <LR>?",
    "templ_values": '["acoustic_guitar", "left", "cello", "right"]',
    "question_deleted": 0,
    "anser": "yes",
}
PLAIN = {**ENTRY, "question_content": "Is there a voiceover?", "templ_values": "[]", "anser": "no"}


def write(root: Path, **splits: object) -> Path:
    (root / "json").mkdir()
    for split in ("train", "val", "test"):
        entries = splits.get(split, [ENTRY, PLAIN])
        (root / f"json/avqa-{split}.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return root


def test_placeholders_are_filled_in_in_order(tmp_path):
    release = Release(write(tmp_path), "val")
    text = "Is the acoustic guitar on the left louder than the cello on the right?"
    assert release.questions[0] == Question("00000028", 7, 7, text, "yes")
    assert release.questions[1].text == "Is there a voiceover?"
    assert release.answers == ("no", "yes")


def test_the_folder_above_may_be_named(tmp_path):
    (tmp_path / "MUSIC-AVQA").mkdir()
    write(tmp_path / "MUSIC-AVQA")
    assert Release(tmp_path, "test").questions == Release(tmp_path / "MUSIC-AVQA", "test").questions


def test_a_full_width_question_mark_and_further_spaces_make_no_difference(tmp_path):
    entry = {**PLAIN, "question_content": "Are there  any\uff1f "}
    assert Release(write(tmp_path, val=[entry]), "val").questions[0].text == "Are there any?"


def test_deleted_questions_are_left_out_and_counted(tmp_path):
    deleted = {**ENTRY, "question_deleted": 1, "templ_values": "broken"}
    release = Release(write(tmp_path, train=[deleted, PLAIN], val=[PLAIN]), "train")
    assert [question.text for question in release.questions] == ["Is there a voiceover?"] and release.deleted == 1
    assert release.answers == ("no",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"templ_values": '["cello", "left"]'},
            "question_content .* has 4 placeholders, but templ_values .* has 2 values",
        ),
        (
            {"templ_values": '["a", "b", "c", "d", "e"]'},
            "question_content .* has 4 placeholders, but templ_values .* has 5 values",
        ),
        ({"templ_values": "['a']"}, "templ_values is .*, expected text: a list of texts as JSON"),
        ({"templ_values": "[" * 100_000}, "templ_values is .*, expected text: a list of texts as JSON"),
        ({"templ_values": '["a", 2, "b", "c"]'}, "templ_values is .*, expected text: a list of texts as JSON"),
        ({"templ_values": ["a"]}, "templ_values is a list, expected text: a list of texts as JSON"),
        ({"type": '["Audio", "Location"]'}, r"type is .*, expected one of: \[\"Audio\", \"Counting\"\]"),
        ({"type": '["Audio"]'}, "type is .*, expected one of"),
        ({"type": 3}, "type is 3, expected text: a list of texts"),
        ({"anser": ""}, "anser is '', expected text"),
        ({"anser": 2}, "anser is 2, expected text"),
        ({"anser": "a" * 2000}, r"anser is 'a+\.\.\., expected text"),
        ({"video_id": "../x"}, r"video_id is '\.\./x', expected text without slashes"),
        ({"video_id": 28}, "video_id is 28, expected text"),
        ({"question_id": "7"}, "question_id is '7', expected a whole number"),
        ({"question_id": True}, "question_id is true, expected a whole number"),
        ({"question_content": None}, "question_content is null, expected text"),
        ({"question_content": "\x1b[2J <Object>?"}, r"question_content is '\\x1b.*, expected text"),
        ({"question_deleted": "no"}, "question_deleted is 'no', expected 0 or 1"),
    ],
)
def test_a_wrong_question_is_named_with_its_file_and_key(tmp_path, changes, message):
    write(tmp_path, val=[PLAIN, {**ENTRY, **changes}])
    with pytest.raises(DataError, match=rf"avqa-val\.json: entry 2, video_id .*: {message}") as caught:
        Release(tmp_path, "val")
    assert "\n" not in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 1200
    problems: list[DataError] = []
    release = Release(tmp_path, "val", problems=problems)
    assert [question.answer for question in release.questions] == ["no"]
    assert problems == release.left_out and len(problems) == 1


def test_a_missing_key_and_an_entry_that_is_no_object_are_named(tmp_path):
    write(tmp_path, val=[{key: value for key, value in ENTRY.items() if key != "anser"}], test=[[1]])
    with pytest.raises(DataError, match=r"avqa-val.*entry 1, .*the key anser is missing; it has 'video_id', "):
        Release(tmp_path, "val")
    with pytest.raises(DataError, match=r"avqa-test\.json: entry 1: expected an object with the keys video_id, "):
        Release(tmp_path, "test")


def test_an_answer_that_training_does_not_have_is_named(tmp_path):
    write(tmp_path, test=[PLAIN, {**ENTRY, "anser": "eleven"}])
    message = r"avqa-test\.json: question 7 of video 00000028: anser 'eleven' is not the answer to any question in json"
    with pytest.raises(DataError, match=message):
        Release(tmp_path, "test")
    release = Release(tmp_path, "test", problems=[])
    assert [question.answer for question in release.questions] == ["no"] and len(release.left_out) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "contains no questions"),
        ("{}", "expected a list of questions, found an object"),
        ("[{", "cannot be read as JSON"),
        ("[" * 10**6, "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_list_of_questions_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=rf"a\.json: {message}"):
        read_questions(tmp_path / "a.json")


def test_a_missing_release_names_the_folder_that_was_searched(tmp_path):
    with pytest.raises(DataError, match=r"no json/avqa-train\.json in .*MUSIC-AVQA.*--data-root"):
        Release(tmp_path, "train")


def test_seconds_are_spread_evenly_over_frames_and_sound(tmp_path):
    """Of a minute ten seconds are read, and frame and sound are of the same second."""
    frames = write(tmp_path) / "frames/00000028"
    frames.mkdir(parents=True)
    for number in range(1, 61):
        Image.new("RGB", (8, 8), (number * 4,) * 3).save(frames / f"{number:06d}.jpg", quality=100)
    (tmp_path / "audio").mkdir()
    wave = np.repeat(np.arange(60) / 100, 1000)
    soundfile.write(tmp_path / "audio/00000028.wav", wave, 1000)
    release = Release(tmp_path, "val")
    expected = [3, 9, 15, 21, 27, 33, 39, 45, 51, 57]
    assert spread(60, 10) == expected
    read = release.frames(release.questions[0], 8)
    assert read.shape == (10, 3, 8, 8)
    np.testing.assert_allclose(read.mean((1, 2, 3)), [4 * (second + 1) for second in expected], atol=1.5)
    waves = release.waves(release.questions[0], 1000)
    np.testing.assert_allclose(waves.mean(1), [second / 100 for second in expected], atol=1e-4)
    assert release.waves(release.questions[0], 1000, window_s=2.0).shape == (10, 2000)
    assert {*release.files()} == {
        *(tmp_path / "json").glob("avqa-[tv][ra]*"),
        *frames.iterdir(),
        tmp_path / "audio/00000028.wav",
    }


def test_a_short_recording_is_padded_with_silence(tmp_path):
    (write(tmp_path) / "audio").mkdir()
    soundfile.write(tmp_path / "audio/00000028.wav", np.full(2500, 0.5), 1000)
    release = Release(tmp_path, "val", times=4)
    np.testing.assert_allclose(release.waves(release.questions[0], 1000).mean(1), [0.5, 0.5, 0.25, 0], atol=1e-3)


def test_missing_media_are_named_with_their_question(tmp_path):
    release = Release(write(tmp_path), "val")
    with pytest.raises(DataError, match=r"sample question 7 of video 00000028: no frames .* in .*frames.00000028"):
        release.frames(release.questions[0], 8)
    with pytest.raises(DataError, match=r"sample question 7 of video 00000028: audio .*00000028\.wav is missing"):
        release.waves(release.questions[0], 1000)


def test_floors_need_no_media(tmp_path):
    second = {**PLAIN, "question_content": "Is it?", "anser": "yes"}
    write(tmp_path, train=[PLAIN, PLAIN, second], test=[PLAIN, second, second])
    floors = load_dataset("avqa").floors(tmp_path)
    assert floors["constant answer"] == pytest.approx(100 / 3)
    assert floors["most frequent answer to the text"] == 100


def test_advice_depends_on_whether_videos_are_there(tmp_path):
    assert "bench data describe avqa" in load_dataset("avqa").advice(tmp_path)
    (tmp_path / "video").mkdir()
    assert "bench data prepare avqa --root" in load_dataset("avqa").advice(tmp_path)


def test_at_most_a_minute_is_extracted():
    assert [seconds_of(length) for length in (0.0, 0.4, 9.6, 60.4, 900)] == [1, 1, 10, 60, 60]


def test_the_description_has_every_key_that_is_read():
    from bench.datasets.avqa import KEYS
    from bench.datasets.base import describe

    text = describe(load_dataset("avqa"))
    assert all(re.search(rf"\b{key}\b", text) for key in (*KEYS, "question_deleted"))
