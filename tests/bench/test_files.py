"""Files and folders are written whole or not at all, whoever else writes them, and killed processes leave nothing."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import files
from bench.files import atomic_file, atomic_folder, remove_leftovers, use_default_permissions, write_text

FORMS = ("file", "folder")


@contextmanager
def writing(form: str, folder: Path, name: str = "it", **options: object):
    """Write a file, or a folder with a file in it; gives what is written to."""
    if form == "file":
        with atomic_file(folder / name, **options) as file:
            yield file
    else:
        with atomic_folder(folder / name, **options) as scratch, (scratch / "inside").open("wb") as file:
            yield file


def content(form: str, folder: Path, name: str = "it") -> bytes:
    return (folder / name if form == "file" else folder / name / "inside").read_bytes()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def another_process(form: str, folder: Path):
    """Yield a process that is in the middle of writing, until it is killed."""
    code = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from test_files import writing\n"
        "with writing(sys.argv[2], Path(sys.argv[3])) as file:\n"
        "    file.write(b'half'); file.flush(); print('writes', flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), form, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writes\n"
        yield process
        process.kill()


@pytest.mark.parametrize("form", FORMS)
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, form):
    with writing(form, tmp_path) as file:
        file.write(b"before")
    replace = {} if form == "file" else {"replace": True}
    with pytest.raises(KeyboardInterrupt), writing(form, tmp_path, **replace) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert content(form, tmp_path) == b"before" and len(list(tmp_path.iterdir())) == 1
    with writing(form, tmp_path, **replace) as file:
        file.write(b"after")
    assert content(form, tmp_path) == b"after" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_leaves_nothing(tmp_path, form):
    """A limit on the size of files stands in for it, which holds for root too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError) as error, writing(form, tmp_path) as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG and not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_a_guard_that_refuses_leaves_nothing(tmp_path, form):
    @contextmanager
    def lost():
        raise RuntimeError("the claim is lost")
        yield

    with pytest.raises(RuntimeError, match="the claim is lost"), writing(form, tmp_path, guard=lost) as file:
        file.write(b"late")
    assert not list(tmp_path.iterdir())


def test_writers_of_equal_process_ids_do_not_disturb_each_other(tmp_path, monkeypatch):
    """As in containers, and on hosts with one file system: each write succeeds, and readers never see half of one."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path, errors, torn = tmp_path / "leaderboard.md", [], []
    texts = {letter * 50_000 for letter in "abc"}
    write_text(path, next(iter(texts)))

    def write(text: str) -> None:
        for _ in range(30):
            try:
                write_text(path, text)
            except OSError as error:
                errors.append(error)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        torn += [] if path.read_text() in texts else [path.stat().st_size]
    assert not errors and not torn and [file.name for file in tmp_path.iterdir()] == ["leaderboard.md"]


@pytest.mark.parametrize("form", FORMS)
def test_a_link_in_place_of_a_temporary_name_is_not_followed(tmp_path, monkeypatch, form):
    victim = tmp_path / "victim"
    victim.write_text("of somebody else")
    results = tmp_path / "results"
    results.mkdir()
    planted = results / ".planted.tmp"
    planted.symlink_to(victim)
    monkeypatch.setattr(files, "scratch_name", lambda folder: planted)
    with pytest.raises(FileExistsError), writing(form, results) as file:
        file.write(b"mine")
    assert victim.read_text() == "of somebody else" and planted.is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions_are_those_of_the_umask(tmp_path, umask):
    """Whatever a library gave the file that it wrote."""
    before = os.umask(umask)
    try:
        with atomic_folder(tmp_path / "folder") as scratch:
            (scratch / "inside").touch(mode=0o600)
        write_text(tmp_path / "file", "text")
        private = tmp_path / "private"
        private.touch(mode=0o600)
        use_default_permissions(private)
    finally:
        os.umask(before)
    folder = tmp_path / "folder"
    assert [mode(path) for path in (folder / "inside", tmp_path / "file", private)] == [0o666 & ~umask] * 3
    assert mode(folder) == 0o777 & ~umask


@pytest.mark.parametrize("form", FORMS)
def test_what_a_killed_process_left_goes_and_what_a_stopped_one_writes_stays(tmp_path, form):
    with another_process(form, tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        write_text(tmp_path / "other", "text")
        remove_leftovers(tmp_path)
        (scratch,) = tmp_path.glob(".*.tmp")
    assert scratch.exists()
    write_text(tmp_path / "another", "text")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["another", "other"]


@pytest.mark.parametrize("form", FORMS)
def test_what_another_machine_left_goes_after_a_day(tmp_path, monkeypatch, form):
    """It may hold a lock that is not seen here, and its clock tells nothing: the file system's own does."""
    with another_process(form, tmp_path):
        pass
    (left,) = tmp_path.glob(".*.tmp")
    monkeypatch.setattr(files, "_machine", lambda: "0123456789ab")
    remove_leftovers(tmp_path)
    assert left.exists()
    at = left.stat().st_mtime - 25 * 3600
    os.utime(left, (at, at))
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_foreign_files_with_names_alike_stay(tmp_path):
    names = {".it.123.tmp", ".tmp", ".0123456789ab-x.tmp", "it.tmp"}
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f".0123456789ab-{'0' * 32}.tmp").symlink_to(tmp_path / "it.tmp")
    remove_leftovers(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} > names


def test_a_folder_that_another_process_has_put_there_stays(tmp_path):
    with atomic_folder(tmp_path / "data") as slow:
        (slow / "whose").write_text("the later one's")
        with atomic_folder(tmp_path / "data") as fast:
            (fast / "whose").write_text("the first one's")
    assert (tmp_path / "data" / "whose").read_text() == "the first one's" and len(list(tmp_path.iterdir())) == 1


def test_a_pipe_or_a_device_is_left_alone(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="exists and is not a regular file"):
        write_text(pipe, "text")
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and list(tmp_path.iterdir()) == [pipe]
