from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from bench.datasets.ave import Event, Release
from bench.datasets.verify import verify
from bench.errors import DataError


def write_release(root, lines, newline="\n"):
    folder = root / "AVE_Dataset"
    folder.mkdir()
    for name in ("Annotations", "trainSet", "valSet", "testSet"):
        (folder / f"{name}.txt").write_bytes((newline.join(lines) + newline).encode())
    return folder


@pytest.mark.parametrize("header", [[], ["Category&VideoID&Quality&StartTime&EndTime"]])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reads_the_annotations_in_all_their_forms(tmp_path, header, newline):
    write_release(tmp_path, [*header, "Male speech, man speaking&_aB-&good&2&4", "Bark&xyz&good&0&10"], newline)
    release = Release(tmp_path, "test")
    assert release.categories == ("Bark", "Male speech, man speaking")
    assert release.events == [Event("_aB-", "Male speech, man speaking", 2, 4), Event("xyz", "Bark", 0, 10)]
    assert release.labels(release.events[0]).tolist() == [2, 2, 1, 1, 2, 2, 2, 2, 2, 2]
    assert release.labels(release.events[1]).tolist() == [0] * 10


def test_the_folder_itself_may_be_named(tmp_path):
    folder = write_release(tmp_path, ["Bark&xyz&good&0&10"])
    assert Release(folder, "val").events == Release(tmp_path, "val").events


def test_a_video_with_two_events_is_two_samples(tmp_path):
    write_release(tmp_path, ["Bark&xyz&good&0&3", "Horn&xyz&good&5&9"])
    assert [event.video for event in Release(tmp_path, "train").events] == ["xyz", "xyz"]


@pytest.mark.parametrize("line", ["Bark&xyz&good&0", "Bark&xyz&good&zero&3", "Bark&../x&good&0&3", "Bark&x&good&5&3"])
def test_a_wrong_line_is_named(tmp_path, line):
    write_release(tmp_path, ["Bark&abc&good&0&10", line])
    with pytest.raises(DataError, match=r"Annotations\.txt, line 2"):
        Release(tmp_path, "train")


def test_a_missing_release_names_the_folder_that_was_searched(tmp_path):
    with pytest.raises(DataError, match=r"AVE_Dataset.*--data-root"):
        Release(tmp_path, "train")


def test_frames_are_spread_evenly_over_those_that_exist(tmp_path):
    folder = write_release(tmp_path, ["Bark&xyz&good&0&10"]) / "video_frames" / "xyz"
    folder.mkdir(parents=True)
    for number in range(1, 41):
        Image.new("RGB", (8, 8), (number * 5,) * 3).save(folder / f"{number:04d}.jpg", quality=100)
    release = Release(tmp_path, "train")
    frame_numbers = release.frames(release.events[0], 8)[:, 0, 0, 0] / 5
    np.testing.assert_allclose(frame_numbers, np.arange(10) * 4 + 3, atol=0.5)


def test_reads_generated_media(built):
    release = Release(built["ave"][0], "test")
    event = release.events[0]
    assert release.frames(event, 56).shape == (10, 3, 56, 56)
    sound = release.waves(event, 16_000)
    assert sound.shape == (10, 16_000) and np.isfinite(sound).all()


def test_missing_media_is_named_with_its_sample(built, tmp_path):
    shutil.copytree(built["ave"][0] / "AVE_Dataset", tmp_path / "AVE_Dataset")
    release = Release(tmp_path, "test")
    event = release.events[0]
    (tmp_path / "AVE_Dataset/raw_audio" / f"{event.video}.wav").unlink()
    with pytest.raises(DataError, match=f"sample {event.video}: audio .*{event.video}.wav is missing"):
        release.waves(event, 16_000)


def test_an_event_that_ends_where_it_starts_is_all_background(tmp_path):
    """The release has such a line: Church bell&VWi2ENBuTbw&good&0&0."""
    write_release(tmp_path, ["Bark&xyz&good&0&0", "Bark&abc&good&0&10"])
    release = Release(tmp_path, "train")
    assert release.labels(release.events[0]).tolist() == [1] * 10


def test_wrong_lines_are_left_out_if_problems_are_collected(tmp_path):
    write_release(tmp_path, ["Bark&xyz&good&0&10", "Bark&abc&good&0", "Bark&x&good&5&3"])
    problems: list[DataError] = []
    assert [event.video for event in Release(tmp_path, "train", problems).events] == ["xyz"]
    assert [str(problem).partition(":")[0].rpartition("/")[2] for problem in problems] == [
        "Annotations.txt, line 2",
        "Annotations.txt, line 3",
        "trainSet.txt, line 2",
        "trainSet.txt, line 3",
    ]


REAL = """Category&VideoID&Quality&StartTime&EndTime
Church bell&RUhOCu3LNXM&good&0&10
Church bell&VWi2ENBuTbw&good&0&0
Male speech, man speaking&-9_5_2i4igQ&good&0&3
Bark &-9_5_2i4igQ&good&4&10
 Rodents,  rats, mice&c---zaDCTaE &good& 6 &10
Frying (food)&--abc&good&2&9
Bark&0IklLP7_kBw&good&4&10"""


def test_spaces_around_a_field_are_no_part_of_it(tmp_path):
    """Copies of the release have a category `Bark ` besides `Bark`. The last line has no end."""
    folder = write_release(tmp_path, [])
    for name in ("Annotations", "trainSet", "valSet", "testSet"):
        (folder / f"{name}.txt").write_text(REAL)
    release = Release(tmp_path, "train")
    assert release.categories == (
        *("Bark", "Church bell", "Frying (food)", "Male speech, man speaking", "Rodents, rats, mice"),
    )
    assert release.events[3:5] == [
        Event("-9_5_2i4igQ", "Bark", 4, 10),
        Event("c---zaDCTaE", "Rodents, rats, mice", 6, 10),
    ]
    assert len(release.events) == 7


def test_categories_that_are_not_published_are_named(tmp_path):
    folder = write_release(tmp_path, ["Bark&a&good&0&10", "Barking&b&good&0&10", "Violin, fiddle&c&good&0&3"])
    (folder / "video_frames").mkdir()
    faults = verify("ave", tmp_path, lambda items, *_: items).faults
    (wrong,) = [fault.text for fault in faults if fault.kind == "wrong categories"]
    assert wrong.endswith(
        "Annotations.txt: category 'Barking': is not one of the 28 published ones; did you mean 'Bark'?"
    )
    faults = verify("ave", tmp_path, lambda items, *_: items, published=False).faults
    assert not [fault for fault in faults if fault.kind == "wrong categories"], "generated data has others"
