"""A checkpoint is read as plain values, takes no more room than its file, and is ignored if it is broken."""

from __future__ import annotations

import os
import zipfile

import mocks
import pytest
import torch

from bench.training.checkpoint import Checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    new = Checkpoint(tmp_path / "run.pt", "this code")
    new.save({"weights": torch.arange(3), "seconds": 0.5})
    return new


def test_what_is_kept_is_taken_up_by_the_same_code_only(checkpoint):
    actual = checkpoint.load()
    assert actual.keys() == {"weights", "seconds"} and actual["weights"].tolist() == [0, 1, 2]
    assert Checkpoint(checkpoint.path, "other code").load() is None


def test_one_that_is_cut_short_is_left_aside(checkpoint, caplog):
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-100])
    assert checkpoint.load() is None and "is ignored" in caplog.text


@pytest.mark.parametrize("room", [0, 100_000])  # torch has an error of its own where it can write a part
def test_a_full_disk_is_named_as_such_once_a_run(tmp_path, caplog, room):
    values = 10**6
    new = Checkpoint(tmp_path / "full.pt", "this code")
    for _ in range(3):
        with mocks.full_disk(room):
            new.save({"weights": torch.arange(values)})
    (warning,) = (item.message for item in caplog.records)
    assert warning == f"cannot write a checkpoint to {tmp_path / 'full.pt'}: [Errno 27] File too large"
    assert not list(tmp_path.iterdir())
    new.save({"weights": torch.arange(values)})
    assert new.load(), "there is room again"


def test_no_code_comes_with_it(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"fingerprint": "this code", "state": {"a": Evil()}}, checkpoint.path)
    assert checkpoint.load() is None and not (tmp_path / "made").exists()


def test_an_older_form_is_not_read_since_it_may_ask_for_any_memory(checkpoint):
    state = {"fingerprint": "this code", "state": {}}
    torch.save(state, checkpoint.path, _use_new_zipfile_serialization=False)
    assert checkpoint.load() is None


def test_one_that_grows_when_it_is_unpacked_is_left_aside(checkpoint, caplog):
    with zipfile.ZipFile(checkpoint.path) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(checkpoint.path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("archive/extra", bytes(10**6))
    assert checkpoint.load() is None and "more than the file" in caplog.text
