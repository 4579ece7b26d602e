from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from official import write_official

from bench.datasets import media
from bench.datasets.avsbench import MultiRelease, Release, Video
from bench.errors import DataError
from bench.streams.inputs import AudioInput, ImageInput
from bench.streams.inputs.log_mel import log_mel
from bench.tasks.avs import AVS, AVSMulti


def test_reads_generated_videos(built):
    root, _ = built["avs"]
    for split, count, annotated in (("train", 3, 1), ("val", 1, 5), ("test", 2, 5)):
        release = Release(root, split)
        assert len(release.videos) == count
        video = release.videos[0]
        assert release.frames(video, 56).shape == (annotated, 3, 56, 56)
        assert release.masks(video).shape == (annotated, 224, 224)
        assert release.waves(video, 16_000).shape == (annotated, 16_000)
        assert 0.01 < release.masks(video).mean() < 0.3


def test_sound_belongs_to_the_frame_of_its_second(built):
    root, _ = built["avs"]
    release = Release(root, "test")
    seconds = release.waves(release.videos[0], 16_000)
    assert all(np.abs(seconds[0] - second).max() > 1e-3 for second in seconds[1:])


def test_windows_of_sound_overlap_and_are_filled_up(built):
    """The task's samples are what the stream's input asks for."""
    root, _ = built["avs"]
    image, sound = ImageInput(56, (0.5,) * 3, (0.5,) * 3), AudioInput(16_000, 128, 200, -5.0, 3.5, "mean", 1.95)
    audio = AVS().samples(root, "test", {"vision": image, "audio": sound})[0]["audio"]
    assert audio.shape == (5, 200, 128)
    assert (audio[:, 193:] == -5.0).all() and (audio[:, 192] != -5.0).any()
    release = Release(root, "test")
    whole = log_mel(media.read_audio(release.sound_path(release.videos[0]), "", 16_000)[None], 16_000, 128, 498)
    np.testing.assert_allclose(audio[0, :193], whole[0, :193], atol=1e-3)
    plain = AVS().samples(root, "test", {"vision": image, "audio": replace(sound, window_s=None, pad="zeros")})[0]
    assert (plain["audio"][:, 98:] == 0).all() and (plain["audio"][:, 97] != 0).any()


@pytest.mark.parametrize("row", ["a,b,elsewhere", "../a,b,train", "a,../b,train", ",b,train"])
def test_a_wrong_row_is_named(tmp_path, row):
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/s4_meta_data.csv").write_text(f"name,category,split\nok,dog,train\n{row}\n")
    with pytest.raises(DataError, match=r"s4_meta_data\.csv, line 3"):
        Release(tmp_path, "train")


def test_reads_the_multi_source_set(tmp_path):
    write_official(tmp_path / "ms3", "avs_ms3")
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        release = MultiRelease(tmp_path / "ms3", split)
        assert [video.name for video in release.videos] == [f"{split}{index:06d}" for index in range(count)]
        video = release.videos[0]
        assert release.frames(video, 56).shape == (5, 3, 56, 56)
        assert release.masks(video).shape == (5, 224, 224)
        assert release.waves(video, 16_000).shape == (5, 16_000)
        assert release.masks(video)[0].mean() > 0.02
        assert release.frame_paths(video)[4].name == f"{video.name}.mp4_5.png"


def test_the_task_of_the_multi_source_set_has_five_masks_for_training(tmp_path):
    write_official(tmp_path, "avs_ms3")
    inputs = {"vision": ImageInput(56, (0.5,) * 3, (0.5,) * 3), "audio": AudioInput(16_000, 128, 98, 0.0, 1.0)}
    task = AVSMulti()
    sample = task.samples(tmp_path, "train", inputs)[0]
    assert {name: array.shape[0] for name, array in sample.items()} == {"vision": 5, "audio": 5, "mask": 5}
    masks = torch.from_numpy(sample["mask"])[None]
    perfect = task.score(40.0 * masks - 20.0, {"mask": masks})
    assert perfect["miou"].item() == pytest.approx(100)


def test_wrong_rows_are_left_out_if_problems_are_collected(tmp_path):
    (tmp_path / "Multi-sources").mkdir()
    (tmp_path / "Multi-sources/ms3_meta_data.csv").write_text("name,split\n../a,train\nb,train\nc,elsewhere\n")
    problems: list[DataError] = []
    assert [video.name for video in MultiRelease(tmp_path, "train", problems).videos] == ["b"]
    assert [", line 2" in str(problems[0]), ", line 4" in str(problems[1])] == [True, True]
    with pytest.raises(DataError, match="line 2: expected columns name or video_id without slashes"):
        MultiRelease(tmp_path, "train")


def test_spaces_in_the_table_are_no_part_of_a_name(tmp_path):
    (tmp_path / "s4_meta_data.csv").write_text(
        " name ,category, split\n a ,dog barking ,train \n,,\n\nb, dog barking,val\n"
    )
    assert Release(tmp_path, "train").videos == [Video("a", "dog barking")]
    assert Release(tmp_path, "val").videos == [Video("b", "dog barking")]


def test_missing_columns_are_named_at_once(tmp_path):
    (tmp_path / "s4_meta_data.csv").write_text("id,category\n" + "a,dog\n" * 100)
    with pytest.raises(
        DataError, match=r"s4_meta_data\.csv: column name, split is missing: the first line has id, category"
    ):
        Release(tmp_path, "train", [])
    (tmp_path / "ms3_meta_data.csv").write_text("id\na\n")
    with pytest.raises(DataError, match="column name or video_id, split is missing"):
        MultiRelease(tmp_path, "train", [])
