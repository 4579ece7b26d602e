"""Who does which run: several commands may share a results folder, on one machine or over a network file system.

A run is claimed by creating a file, which a file system does for one of several that try. Whoever holds claims touches
their files every few seconds. A claim that is not touched any more, or whose process is gone from this machine, is
stale and is taken over. Clocks are never compared: a claim is watched for a while to see whether it is touched.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from bench import schema
from bench.errors import BenchError
from bench.files import MEBIBYTE, read_json
from bench.plan import Spec

FOLDER = "claims"
BEAT = 10.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a claim counts for nothing


@dataclass(frozen=True)
class Claim:
    """Who does a run."""

    token: str
    """Unlike that of any other claim."""
    run: str
    """The run in a few words."""
    host: str
    """Name of the machine."""
    machine: str
    """What tells it, and the processes that it knows by number, from others."""
    pid: int
    """Number of the process."""
    began: float
    """When that process began, by the machine's own clock: numbers come again."""
    started: str
    """When the run was claimed: UTC, ISO 8601."""


class Claims:
    """The claims of this process in one results folder, touched from a thread until it is left.

    Raises:
        BenchError: the folder cannot be written.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self._own: dict[Path, str] = {}
        self._seen: dict[
            str, tuple[int, float]
        ] = {}  # by token: when a claim was touched last, and since when it is so
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claims:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(f"claims cannot be kept in {self.folder}: {error}") from error
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._beating.join()
        for path in list(self._own):
            self._let_go(path)
        with suppress(OSError):  # others hold claims
            self.folder.rmdir()

    def take(self, spec: Spec) -> bool:
        """Claims a run; False where another process does it.

        Raises:
            BenchError: the folder cannot be written.
        """
        path = self._path(spec)
        try:
            if self._create(path, spec):
                return True
            if (stale := self._stale(path)) and self._put_aside(path, stale):
                return self._create(path, spec)
        except OSError as error:
            raise BenchError(f"the claim {path} cannot be made: {error}") from error
        return False

    def holds(self, spec: Spec) -> bool:
        """Whether this process has claimed the run and nobody has taken it over, as while the process was asleep."""
        path = self._path(spec)
        found = read(path)
        return found is not None and found.token == self._own.get(path)

    def release(self, spec: Spec) -> None:
        """Lets go of a run."""
        self._let_go(self._path(spec))

    def _path(self, spec: Spec) -> Path:
        return self.folder / f"{schema.stem(spec)}.json"

    def _create(self, path: Path, spec: Spec) -> bool:
        claim = Claim(
            uuid.uuid4().hex, spec.label, socket.gethostname(), _machine(), os.getpid(), _began(), schema.now()
        )
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(claim)))
        except FileExistsError:
            return False
        except FileNotFoundError:  # another process has just let go of the last claim, and of the folder
            self.folder.mkdir(parents=True, exist_ok=True)
            return self._create(path, spec)
        with self._lock:
            self._own[path] = claim.token
        return True

    def _stale(self, path: Path) -> Claim | None:
        """The claim in a file, if it is stale; one that is cut short has no token, and is watched like others."""
        found = read(path) or Claim("", "", "", "", 0, 0.0, "")
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if found.machine == _machine() and not _lives(found):
            return found
        key = found.token or str(path)
        last, since = self._seen.get(key, (None, 0.0))
        if touched != last:
            self._seen[key] = touched, time.monotonic()
            return None
        return found if time.monotonic() - since > STALE else None

    def _put_aside(self, path: Path, stale: Claim) -> bool:
        """Takes a stale claim away; False where another process has been faster."""
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.stale")
        try:
            path.rename(aside)  # one of several that try succeeds
        except FileNotFoundError:
            return False
        now = read(aside) or Claim("", "", "", "", 0, 0.0, "")
        if now.token != stale.token:  # it was taken over since, and this is the new one: put it back
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink(missing_ok=True)
        return now.token == stale.token

    def _let_go(self, path: Path) -> None:
        with self._lock:
            token = self._own.pop(path, None)
        found = read(path)
        if found is not None and found.token == token:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with self._lock:
                own = list(self._own)
            for path in own:
                with suppress(OSError):  # taken over, or the file system is away for a moment
                    os.utime(path)


def read(path: Path) -> Claim | None:
    """The claim in a file; None where there is none, or it is not written to its end, or else is none."""
    try:
        return msgspec.convert(read_json(path, MEBIBYTE), Claim)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def all_of(results: Path) -> list[tuple[Claim, float]]:
    """Every claim in a results folder, with the seconds since its last touch by this machine's clock."""
    found = []
    for path in sorted((results / FOLDER).glob("*.json")):
        claim = read(path)
        with suppress(OSError):
            if claim:
                found.append((claim, max(0.0, time.time() - path.stat().st_mtime)))
    return found


def _machine() -> str:
    """What tells the machine from others, since it was started, and the part of it whose processes this one can see."""

    def told(path: str, read_it: Any) -> str:
        try:
            return str(read_it(path)).strip()
        except OSError:
            return ""

    boot = told("/proc/sys/kernel/random/boot_id", lambda path: Path(path).read_text(encoding="utf-8"))
    return " ".join((socket.gethostname(), boot, told("/proc/self/ns/pid", os.readlink)))


def _began(pid: int | None = None) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def _lives(claim: Claim) -> bool:
    import psutil

    try:
        return abs(_began(claim.pid) - claim.began) < 1
    except (psutil.NoSuchProcess, ValueError):  # the latter where no process can have such a number
        return False
    except psutil.Error:
        return True
