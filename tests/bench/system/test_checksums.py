"""Checksums of files, which are read again only once they have changed."""

from __future__ import annotations

import hashlib
import os

import pytest

from bench.system import checksums


@pytest.fixture
def reads(monkeypatch):
    """The files that are read."""
    read = []
    of_content = checksums.file_checksum
    monkeypatch.setattr(checksums, "file_checksum", lambda path: read.append(path.name) or of_content(path))
    return read


def checksum_of(folder, *names):
    with checksums.cached_checksums(folder) as checksum:
        return [checksum(folder / name) for name in names]


def old(path):
    """Make a file look as if it was written an hour ago: what is new is not cached_checksums."""
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def test_a_file_is_read_once_until_it_changes(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(checksums, "_MIN_AGE", 0.0)
    path = tmp_path / "labels.txt"
    path.write_text("dog&0&5")
    digest = hashlib.sha256(b"dog&0&5").hexdigest()
    assert checksum_of(tmp_path, "labels.txt") == checksum_of(tmp_path, "labels.txt") == [digest]
    assert reads == ["labels.txt"]
    times = path.stat()
    path.write_text("dog&0&6")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp --preserve` leaves it: of equal size and time
    assert checksum_of(tmp_path, "labels.txt") == [hashlib.sha256(b"dog&0&6").hexdigest()]


def test_what_has_just_been_written_is_read_again(tmp_path, reads):
    (tmp_path / "new.txt").write_text("a")
    assert checksum_of(tmp_path, "new.txt") == checksum_of(tmp_path, "new.txt")
    assert len(reads) == 2, "within one tick of the clock it could change unseen"


def test_a_missing_file_has_a_checksum_of_its_own(tmp_path):
    assert checksum_of(tmp_path, "gone.txt") == [checksums.MISSING]


def test_a_broken_memory_is_no_harm(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    first = checksum_of(tmp_path, "a.txt")
    for path in (checksums.user_cache() / "checksums").iterdir():
        path.write_text("[1, {]")
    assert checksum_of(tmp_path, "a.txt") == first
