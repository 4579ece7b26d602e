"""What another user could have put in a folder."""

from __future__ import annotations

import grp
import os
import pwd
from types import SimpleNamespace

import pytest

from bench.system import trust
from bench.system.checksums import cached_checksums
from bench.system.trust import writable_by_others


def test_an_own_folder_is_ones_own(tmp_path):
    assert writable_by_others(tmp_path) is None
    assert writable_by_others(tmp_path / "not" / "there") is None


def test_a_folder_is_no_safer_than_those_above_it(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a").chmod(0o777)
    assert writable_by_others(inner) == tmp_path / "a"
    (tmp_path / "a").chmod(0o1777)
    assert writable_by_others(inner) is None, "nobody can rename it there"
    assert writable_by_others(tmp_path / "a") == tmp_path / "a", "but anybody can put something beside it"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert writable_by_others(tmp_path / "link") == tmp_path / "a"


@pytest.mark.parametrize(("name", "members", "safe"), [("me", [], True), ("me", ["you"], False), ("users", [], False)])
def test_a_group_of_ones_own_is_no_other_user(tmp_path, monkeypatch, name, members, safe):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o775)
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name=name, gr_mem=members))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="me"))
    trust._shared.cache_clear()
    assert (writable_by_others(tmp_path / "a") is None) == safe
    trust._shared.cache_clear()


def test_checksums_that_others_could_have_written_are_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("bench.system.checksums._MIN_AGE", -1e9)
    path = tmp_path / "a"
    path.write_text("a")
    with cached_checksums(tmp_path) as checksum:
        right = checksum(path)
    (place,) = (tmp_path / "cache/checksums").iterdir()
    place.write_text(place.read_text().replace(right, "0" * 64))
    with cached_checksums(tmp_path) as checksum:
        assert checksum(path) == "0" * 64, "in the user's own folder they are believed"
    place.parent.chmod(0o777)
    with cached_checksums(tmp_path) as checksum:
        assert checksum(path) == right


def test_a_pipe_has_no_checksum(tmp_path):
    os.mkfifo(tmp_path / "a")
    with cached_checksums(tmp_path) as checksum:
        assert checksum(tmp_path / "a") == "missing"
