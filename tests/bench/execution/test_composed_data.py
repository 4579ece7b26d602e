"""A run on data that is composed from drawn media, with the embedded encoders."""

from __future__ import annotations

import pytest
from small_runs import spec

from bench.config.describe import data_title
from bench.config.preflight import check_composed
from bench.config.run_options import RunOptions
from bench.data import release
from bench.datasets.natural import things
from bench.errors import DataError, UsageError
from bench.execution.finished_runs import _Present
from bench.execution.single_run import execute
from bench.report.terminal import run_table

COMPOSED = ("data.source=composed", "data.version=4")


def test_a_run_on_composed_data(tmp_path, monkeypatch):
    from natural_media import write_media

    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("bench.datasets.natural.write._VIDEOS", {"train": 3, "val": 1, "test": 1})
    media = write_media(tmp_path / "media")
    run = spec("avs", "lora", *COMPOSED, "avs.epochs=1")
    record = execute(run, RunOptions(media, "cpu"))
    assert record.status == "ok", record.traceback
    assert record.data.source == "composed" and record.data.counts == {"train": 3, "val": 1, "test": 1}
    assert "sees all, hears nothing" in record.scores.floors
    title = "composed from natural pictures and sounds v4 (world 0), not the benchmark's own"
    assert data_title(run.data) == title and title in run_table([record])
    named = data_title({**run.data, "sounds": "names"})
    assert named == "composed from natural pictures and spoken names v4 (world 0), not the benchmark's own"
    assert not _Present(media).changes(run, record)
    check_composed([run], None)  # it is composed already
    with pytest.raises(UsageError, match=r"--data-root .*elsewhere is not a folder; without it, .* composed already"):
        check_composed([run, spec("avs", "cola", *COMPOSED)], tmp_path / "elsewhere")
    place = release.locate(_task(), run.data, media)
    assert place == tmp_path / "cache/natural-v4-seed0/avs", "the cache, not the folder of the media"
    assert {path.name for path in media.iterdir()} == {"stamps", "templates"}


def test_media_that_are_not_all_there_are_told_before_data_is_composed(tmp_path, monkeypatch, caplog):
    from natural_media import write_media

    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("bench.datasets.natural.write._VIDEOS", {"train": 1, "val": 1, "test": 1})
    media, data = write_media(tmp_path / "media"), spec("avs", "lora", *COMPOSED).data
    place = release.locate(_task(), data, media)
    messages = [record.getMessage() for record in caplog.records]
    assert f"{place} is composed from the media, once" in messages[0]
    assert (
        "not all of the published media: 18 things of 212, 5 with a call of 28, 5 named of 28, 8 background"
        in messages[1]
    )
    caplog.clear()
    release.locate(_task(), data, media)
    assert not caplog.records, "it is composed already"
    (media / "stamps/animals/birds/dove.ogg").write_bytes(b"OggS")
    things._recording.cache_clear()
    things.catalogue.cache_clear()
    with pytest.raises(DataError, match=r"dove.*; `bench data verify natural --root DIR` shows all such files"):
        release.locate(_task(), {**data, "seed": 1}, media)


def _task():
    from bench.tasks.avs import AVS

    return AVS()
