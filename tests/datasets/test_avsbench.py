from __future__ import annotations

import numpy as np
import pytest

from bench.datasets.avsbench import Release
from bench.errors import DataError


def test_reads_generated_videos(built):
    root, _ = built["avs"]
    for split, count, annotated in (("train", 3, 1), ("val", 1, 5), ("test", 2, 5)):
        release = Release(root, split)
        assert len(release.videos) == count
        video = release.videos[0]
        assert release.frames(video, 56).shape == (annotated, 3, 56, 56)
        assert release.masks(video).shape == (annotated, 224, 224)
        assert release.log_mels(video, 16_000, 128, 98).shape == (annotated, 98, 128)
        assert 0.01 < release.masks(video).mean() < 0.3


def test_sound_belongs_to_the_frame_of_its_second(built):
    root, _ = built["avs"]
    release = Release(root, "test")
    seconds = release.log_mels(release.videos[0], 16_000, 128, 98)
    assert all(np.abs(seconds[0] - other).max() > 1e-3 for other in seconds[1:])


@pytest.mark.parametrize("row", ["a,b,elsewhere", "../a,b,train", "a,../b,train", ",b,train"])
def test_a_wrong_row_is_named(tmp_path, row):
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/s4_meta_data.csv").write_text(f"name,category,split\nok,dog,train\n{row}\n")
    with pytest.raises(DataError, match=r"s4_meta_data\.csv, line 3"):
        Release(tmp_path, "train")
