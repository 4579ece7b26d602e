"""Readers of foreign files on damaged ones: each is read, or refused with one message that names the file."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from targets import TARGETS, Target

from bench.errors import BenchError

ROOM = 2**30  # bytes of address space that reading a damaged file may take beyond what the process has


@contextmanager
def little_memory() -> Iterator[None]:
    """Raise a MemoryError in the block if it takes more than `ROOM`, on systems that have such a limit."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def check(target: Target, folder: Path, content: bytes) -> None:
    """Read a damaged file, and check the message, the warnings and the time."""
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            target.take(folder, content)
        except BenchError as error:
            message = str(error)
            assert target.named in message
            assert len(message) < 8000 and message.replace("\n", "").isprintable()
            assert "MemoryError" not in message
    assert len([warning for warning in warned if warning.category is not DeprecationWarning]) < 10
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read(name, tmp_path):
    for content in TARGETS[name].seeds:
        TARGETS[name].take(tmp_path, content)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "device"])
def test_special_files_do_not_block(name, kind, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    target = TARGETS[name]
    target.take(tmp_path, target.seeds[0])
    path = tmp_path / target.file
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)  # a released claim deletes its folder
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "link to itself" else "/dev/zero")
    with little_memory(), at_most(20):
        try:
            target.read(tmp_path)
        except BenchError as error:
            assert len(str(error)) < 8000 and "MemoryError" not in str(error)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise a TimeoutError in the block if it takes longer."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused(name, tmp_path, caplog):
    """The profile of hypothesis sets the number of files, and whether they are always the same."""
    target, profile = TARGETS[name], settings()
    caplog.set_level(logging.CRITICAL)  # thousands of records are left out with a warning each
    target.take(tmp_path, target.seeds[0])  # imports are not counted
    drawn = "" if profile.derandomize else secrets.token_hex(4)
    with little_memory():
        for number in range(profile.max_examples):
            content = target.damaged(Random(f"{name} {number} {drawn}"))
            try:
                check(target, tmp_path, content)
            except Exception as error:
                location = f"file {number} of {profile.max_examples} {drawn}, stored in {tmp_path}"
                raise AssertionError(f"{location}: {content[:2000]!r}") from error
