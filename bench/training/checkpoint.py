"""Checkpoints, written after each epoch, so that a run that was killed continues as if it had not been."""

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
    """One file with the state of a run after its last finished epoch.

    A state consists of tensors and plain values only and is read as such, so a file cannot contain code.

    Attributes:
        path: The file.
        fingerprint: What the state depends on, data and code.
        follows: The finished record after which the run is done again, or "".
    """

    def __init__(self, path: Path, fingerprint: str, follows: str = "", guard: Guard = nullcontext) -> None:
        """Describe the states that may be resumed.

        Args:
            path: The file.
            fingerprint: What the state depends on, data and code, as `fingerprint` returns it.
            follows: Identifies the finished record after which the run is done again; "" if there is none. A state
                saved before that record was written belongs to an earlier run.
            guard: As for `bench.files.atomic_file`.
        """
        self.path, self.fingerprint, self.follows, self._guard = path, fingerprint, follows, guard
        self._warned = False

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file with a state, atomically. If that fails, warn once.

        Raises:
            BenchError: The guard's, if another command has taken over the run.
        """
        try:
            with atomic_file(self.path, self._guard) as file:
                torch.save({"fingerprint": self.fingerprint, "follows": self.follows, "state": dict(state)}, file)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk is full
            if not self._warned:
                _log.warning("cannot write a checkpoint to %s: %s", self.path, _cause(error))
            self._warned = True

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state, on the CPU; None if there is none that this code and data can resume."""
        if not self.path.is_file():
            return None
        try:
            _check(self.path)
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            if content["fingerprint"] != self.fingerprint:
                reason = "the code, the data or a package has changed since"
            elif self.follows and content.get("follows", "") != self.follows:
                reason = "it belongs to an earlier run, which has a record"
            else:
                return dict(content["state"])
        except Exception as error:  # a broken file can make torch fail in any way
            reason = f"it cannot be read: {wording(error)}"
        _log.warning("the checkpoint %s is ignored and the run starts from the beginning: %s", self.path, reason)
        return None


def _cause(error: BaseException) -> BaseException:
    """Return the error of the file system that caused an error of torch, if there is one, else the error itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return cause or error


def _check(path: Path) -> None:
    """Raise ValueError if a file could not have been written by `save` and would unpack to more bytes than it has."""
    with zipfile.ZipFile(path) as archive:  # torch's older format is not a zip file
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, more than the file has")


def fingerprint(classes: Iterable[type], *values: object) -> str:
    """Return a checksum of everything that determines how a run continues.

    Args:
        classes: Classes whose source code counts, in addition to this project's.
        values: Other values that count.
    """
    files = {file for name in _PACKAGES for folder in _folders(name) for file in folder.rglob("*.py")}
    for cls in classes:
        for base in cls.__mro__:
            try:
                files.add(Path(inspect.getsourcefile(base) or ""))
            except (OSError, TypeError):  # built in, or defined at run time
                continue
    digest = hashlib.sha256(repr((torch.__version__, *values)).encode())
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or () if spec else ())]
