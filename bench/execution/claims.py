"""Who does which run: several commands may share a results folder, on one machine or over a network file system.

A run is claimed by creating a file, which a file system does for one of several that try. Whoever holds claims touches
their files every few seconds. A claim that is not touched any more, or whose process is gone from this machine, is
stale and is taken over. Clocks are never compared: a claim is watched for a while to see whether it is touched.

Whoever was stopped for so long that its claim was taken over writes nothing more that belongs to the run: every such
write goes through `Holder.writing`, during which the claim cannot be taken over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from bench.config.spec import Spec
from bench.errors import BenchError
from bench.files import MEBIBYTE, create_text, lock, read_json, scratch_name
from bench.records import schema

FOLDER = "claims"
BEAT = 10.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a claim counts for nothing


class ClaimLostError(BenchError):
    """A run is no longer this command's: another one has taken it over, or the claim's file is gone."""


@dataclass(frozen=True)
class Claim:
    """Who does a run."""

    token: str
    """Unlike that of any other command."""
    run: str
    """The run in a few words."""
    host: str
    """Name of the machine."""
    machine: str
    """What tells it, and the processes that it knows by number, from others."""
    pid: int
    """Number of the process."""
    process_start: str
    """When that process began: numbers come again."""
    started: str
    """When the run was claimed: UTC, ISO 8601."""


_UNREADABLE = Claim("", "", "", "", 0, "", "")


@dataclass(frozen=True)
class Holder:
    """The command that has claimed a run, for all of its processes that write what belongs to the run.

    Attributes:
        path: the claim's file.
        token: what the claim holds as long as it is this command's.
        run: the run in a few words.
    """

    path: Path
    token: str
    run: str

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the claim from being taken over while something is written.

        Raises:
            ClaimLostError: it was taken over before; nothing may be written any more.
        """
        with _opened(self.path) as descriptor:
            if descriptor is not None:
                lock(descriptor, exclusive=False, wait=True)
            claim = read(self.path)
            if claim is None or claim.token != self.token:
                raise ClaimLostError(
                    f"{self._how_lost(claim)}: this command writes nothing more of the run, unless it can claim it anew"
                )
            yield

    def _how_lost(self, claim: Claim | None) -> str:
        """Why the run is no longer this command's, given what its claim's file holds now."""
        if claim:
            other = f"process {claim.pid} on {claim.host}"
            return f"{self.run} was taken over by {other}, since this one gave no sign of life for {STALE:.0f} s"
        if self.path.exists():
            return f"the claim {self.path} of {self.run} cannot be read any more"
        return (
            f"the claim {self.path} of {self.run} is gone: the results folder was deleted or moved, or another command "
            "took the run over and has done it"
        )


def holder(results: Path, spec: Spec, token: str) -> Holder:
    """Return who holds a run's claim where it has the token of a command."""
    return Holder(_path(results / FOLDER, spec), token, spec.label)


class Claims:
    """The claims of this process in one results folder, touched from a thread until it is left.

    Attributes:
        token: what they hold, unlike that of any other command.

    Raises:
        BenchError: the folder cannot be written.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self.token = uuid.uuid4().hex
        self._own: set[Path] = set()
        # By file and token: when a claim was touched last, and since when it is so.
        self._seen: dict[tuple[Path, str], tuple[int, float]] = {}
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claims:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob("*.json"):  # those of processes that are gone, whichever runs they are of
                if (claim := read(path)) and _is_gone(claim):
                    self._put_aside(path, claim)
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
        path = _path(self.folder, spec)
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
        claim = read(_path(self.folder, spec))
        return claim is not None and claim.token == self.token

    def holder(self, spec: Spec) -> Holder:
        """Return what the processes of this command need to write what belongs to a run."""
        return Holder(_path(self.folder, spec), self.token, spec.label)

    def other(self, spec: Spec) -> Claim | None:
        """Return the claim that another command has on a run; without a token where it cannot be read."""
        path = _path(self.folder, spec)
        return read(path) or (_UNREADABLE if path.exists() else None)

    def release(self, spec: Spec) -> None:
        """Lets go of a run."""
        self._let_go(_path(self.folder, spec))

    def _create(self, path: Path, spec: Spec) -> bool:
        host, start = socket.gethostname(), _process_start(os.getpid())
        claim = Claim(self.token, spec.label, host, _machine(), os.getpid(), start or "", schema.now())
        try:
            create_text(path, json.dumps(asdict(claim)))
        except FileExistsError:
            return False
        except FileNotFoundError:  # another process has just let go of the last claim, and of the folder
            return self._create(path, spec)
        with self._lock:
            self._own.add(path)
        return True

    def _stale(self, path: Path) -> Claim | None:
        """The claim in a file, if it is stale; one that is cut short has no token, and is watched like others."""
        claim = read(path) or _UNREADABLE
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if _is_gone(claim):
            return claim
        key = path, claim.token
        last, since = self._seen.get(key, (None, 0.0))
        if touched != last:
            self._seen[key] = touched, time.monotonic()
            return None
        return claim if time.monotonic() - since > STALE else None

    def _put_aside(self, path: Path, stale: Claim) -> bool:
        """Takes a stale claim away; False where another process was faster, or the claim's holder is writing."""
        aside = scratch_name(path.parent)
        with _opened(path) as descriptor:
            if descriptor is None or lock(descriptor, exclusive=True, wait=False) is False:
                return False
            try:
                path.rename(aside)  # one of several that try succeeds
            except FileNotFoundError:
                return False
            now = read(aside) or _UNREADABLE
            if now.token != stale.token:  # it was taken over since, and this is the new one: put it back
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink(missing_ok=True)
        return now.token == stale.token

    def _let_go(self, path: Path) -> None:
        with self._lock:
            self._own.discard(path)
        claim = read(path)
        if claim is not None and claim.token == self.token:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with self._lock:
                own = list(self._own)
            for path in own:
                claim = read(path)
                if claim is not None and claim.token == self.token:  # another's is not kept alive
                    with suppress(OSError):  # the file system is away for a moment
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


def _path(folder: Path, spec: Spec) -> Path:
    return folder / f"{schema.stem(spec)}.json"


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """A descriptor of a claim's file; None where it cannot be opened."""
    descriptor = None
    for access in (os.O_RDWR, os.O_RDONLY):  # network file systems want the former for an exclusive lock
        with suppress(OSError):
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            break
    if descriptor is None:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _machine() -> str:
    """What tells the machine from others, since it was started, and the part of it whose processes this one can see."""

    def content(path: str, read_it: Callable[[str], str]) -> str:
        try:
            return read_it(path).strip()
        except OSError:
            return ""

    boot = content("/proc/sys/kernel/random/boot_id", lambda path: Path(path).read_text(encoding="utf-8"))
    return " ".join((socket.gethostname(), boot, content("/proc/self/ns/pid", os.readlink)))


def _process_start(pid: int) -> str | None:
    """When a process began, by a clock that nobody sets where there is one; "" if it is gone, None if that is unknown.

    Linux tells it in ticks since the machine was started; psutil makes a time of day of them, which moves with the
    clock.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else f"{fields[18]} ticks"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None if _exists(pid) else ""  # those of other users may be hidden
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.0f} s"
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the latter where no process can have such a number
        return ""
    except psutil.Error:
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def _is_gone(claim: Claim) -> bool:
    """Whether the process of a claim is known to be gone: it was one of this machine's."""
    return claim.machine == _machine() and _process_start(claim.pid) not in (claim.process_start, None)
