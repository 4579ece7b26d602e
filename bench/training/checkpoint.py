"""What a run keeps after each epoch, so that it goes on from there after it was killed, as if it had not been."""

from __future__ import annotations

import hashlib
import inspect
import logging
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bench.errors import wording
from bench.files import Guard, atomic_file

_log = logging.getLogger(__name__)

_PACKAGES = ("bench", "bench.methods", "bench.datasets")


class Checkpoint:
    """One file, in which a run's state is kept from epoch to epoch.

    A state is of nothing but tensors and plain values, and is read as such: no code comes with it.
    """

    def __init__(self, path: Path, fingerprint: str, follows: str = "", guard: Guard = nullcontext) -> None:
        """What a state must be of to be taken up again.

        Args:
            path: the file.
            fingerprint: tells what the state depends on, data and code.
            follows: tells the finished record that the run is done again after; "" where there is none. What was kept
                before that record was written is of an earlier run.
            guard: as for `bench.files.atomic_file`.
        """
        self.path, self.fingerprint, self.follows, self._guard = path, fingerprint, follows, guard
        self._warned = False

    def save(self, state: Mapping[str, Any]) -> None:
        """Keeps a state, whole or not at all, in place of the last. Where that does not work it warns once.

        Raises:
            BenchError: the guard's, where the run is another command's by now.
        """
        try:
            with atomic_file(self.path, self._guard) as file:
                torch.save({"fingerprint": self.fingerprint, "follows": self.follows, "state": dict(state)}, file)
        except (OSError, RuntimeError) as error:  # torch raises the latter where the disk is full
            if not self._warned:
                _log.warning("no checkpoint can be kept in %s: %s", self.path, _cause(error))
            self._warned = True

    def load(self) -> dict[str, Any] | None:
        """The state last kept, on the CPU; None where there is none, or none that this code and data go on from."""
        if not self.path.is_file():
            return None
        try:
            _check(self.path)
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            if found["fingerprint"] != self.fingerprint:
                reason = "the code, the data or a package has changed since"
            elif self.follows and found.get("follows", "") != self.follows:
                reason = "it is of an earlier run, which has a record"
            else:
                return dict(found["state"])
        except Exception as error:  # a broken file can make torch fail in any way
            reason = f"it cannot be read: {wording(error)}"
        _log.warning("the checkpoint %s is left aside and the run begins anew: %s", self.path, reason)
        return None


def _cause(error: BaseException) -> BaseException:
    """The error of the file system behind one that torch raises, where there is one: it says what is wrong."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OSError):
        seen = seen.__cause__ or seen.__context__
    return seen or error


def _check(path: Path) -> None:
    """ValueError for what `save` does not write and would take more memory than the file has bytes."""
    with zipfile.ZipFile(path) as archive:  # torch's older form is none
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"unpacked it has {unpacked:,} bytes, more than the file")


def fingerprint(classes: Iterable[type], *others: object) -> str:
    """A checksum of what decides how a run goes on: this project's source, that of `classes`, and `others`."""
    files = {file for name in _PACKAGES for folder in _folders(name) for file in folder.rglob("*.py")}
    for cls in classes:
        for base in cls.__mro__:
            try:
                files.add(Path(inspect.getsourcefile(base) or ""))
            except (OSError, TypeError):  # built in, or made while the program runs
                continue
    digest = hashlib.sha256(repr((torch.__version__, *others)).encode())
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or () if spec else ())]
