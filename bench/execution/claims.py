"""Claims on runs, so that several commands can share a results folder, on one machine or over a network file system.

A command claims a run by creating a file, which succeeds for only one of several that try. It then touches the files
of its claims every few seconds. A claim that is no longer touched, or whose process no longer exists on this machine,
is stale, and another command takes it over. Clocks are never compared: a command watches a claim for a while to see
whether it is touched.

A process that was suspended for so long that its claim was taken over writes nothing more of the run: every such write
goes through `Holder.writing`, during which the claim cannot be taken over.
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
TOUCH_INTERVAL = 10.0  # seconds between two touches of a claim
STALE_AFTER = 60.0  # seconds without a touch after which a claim no longer counts


class ClaimLostError(BenchError):
    """A run that is no longer this command's: another one has taken it over, or the claim's file is gone."""


@dataclass(frozen=True)
class Claim:
    """The process that does a run."""

    token: str
    """An identifier of the command, unique across machines."""
    run: str
    """The run's label."""
    host: str
    """The machine's name."""
    machine: str
    """An identifier of the machine since its last boot, and of the process namespace."""
    pid: int
    """The process's number."""
    process_start: str
    """Time at which the process began, since process numbers are reused."""
    started: str
    """Time at which the run was claimed: UTC, ISO 8601."""


_UNREADABLE = Claim("", "", "", "", 0, "", "")


@dataclass(frozen=True)
class Holder:
    """The command that has claimed a run, for all of its processes that write files of the run.

    Attributes:
        path: The claim's file.
        token: The claim's token, as long as the claim is this command's.
        run: The run's label.
    """

    path: Path
    token: str
    run: str

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the claim from being taken over while a file is written.

        Raises:
            ClaimLostError: The claim was taken over before; nothing more may be written.
        """
        with _opened(self.path) as descriptor:
            if descriptor is not None:
                lock(descriptor, exclusive=False, wait=True)
            claim = read(self.path)
            if claim is None or claim.token != self.token:
                raise ClaimLostError(
                    f"{self._reason_lost(claim)}: this command writes nothing more of the run, unless it can claim it "
                    "again"
                )
            yield

    def _reason_lost(self, claim: Claim | None) -> str:
        """Return why the run is no longer this command's; `claim` is the present content of its file."""
        if claim:
            process = f"process {claim.pid} on {claim.host}"
            return (
                f"{self.run} was taken over by {process}, since this one gave no sign of life for {STALE_AFTER:.0f} s"
            )
        if self.path.exists():
            return f"the claim {self.path} of {self.run} cannot be read any more"
        return (
            f"the claim {self.path} of {self.run} is gone: the results folder was deleted or moved, or another command "
            "took the run over and has finished it"
        )


def holder(results: Path, spec: Spec, token: str) -> Holder:
    """Return the holder of a run's claim, by the token of its command."""
    return Holder(_path(results / FOLDER, spec), token, spec.label)


class Claims:
    """The claims of this process in one results folder; a thread touches them until the context is left.

    Attributes:
        folder: The folder of the claims.
        token: The token of these claims, unique across machines.

    Raises:
        BenchError: The folder cannot be written.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self.token = uuid.uuid4().hex
        self._paths: set[Path] = set()
        # By file and token of a foreign claim: the time of its last touch, and when this process first saw that time.
        self._last_touches: dict[tuple[Path, str], tuple[int, float]] = {}
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._toucher = threading.Thread(target=self._touch_until_end, daemon=True)

    def __enter__(self) -> Claims:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob("*.json"):  # claims of ended processes, also on runs of other plans
                if (claim := read(path)) and _is_gone(claim):
                    self._remove_stale(path, claim)
        except OSError as error:
            raise BenchError(f"claims cannot be written to {self.folder}: {error}") from error
        self._toucher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._toucher.join()
        for path in list(self._paths):
            self._release(path)
        with suppress(OSError):  # the folder has claims of other commands
            self.folder.rmdir()

    def take(self, spec: Spec) -> bool:
        """Claim a run; return False if another process does it.

        Raises:
            BenchError: The folder cannot be written.
        """
        path = _path(self.folder, spec)
        try:
            if self._create(path, spec):
                return True
            if (stale := self._stale(path)) and self._remove_stale(path, stale):
                return self._create(path, spec)
        except OSError as error:
            raise BenchError(f"the claim {path} cannot be created: {error}") from error
        return False

    def holder(self, spec: Spec) -> Holder:
        """Return what the processes of this command need to write files of a run."""
        return Holder(_path(self.folder, spec), self.token, spec.label)

    def claim_on(self, spec: Spec) -> Claim | None:
        """Return the claim on a run, if there is one; it has an empty token if its file cannot be read."""
        path = _path(self.folder, spec)
        return read(path) or (_UNREADABLE if path.exists() else None)

    def release(self, spec: Spec) -> None:
        """Give up the claim on a run."""
        self._release(_path(self.folder, spec))

    def _create(self, path: Path, spec: Spec) -> bool:
        host, start = socket.gethostname(), _process_start(os.getpid())
        claim = Claim(self.token, spec.label, host, _machine(), os.getpid(), start or "", schema.now())
        try:
            create_text(path, json.dumps(asdict(claim)))
        except FileExistsError:
            return False
        except FileNotFoundError:  # another process has just released the last claim and removed the folder
            return self._create(path, spec)
        with self._lock:
            self._paths.add(path)
        return True

    def _stale(self, path: Path) -> Claim | None:
        """Return the claim in a file if it is stale; a truncated one has no token, and is watched like any other."""
        claim = read(path) or _UNREADABLE
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if _is_gone(claim):
            return claim
        key = path, claim.token
        last_touched, first_observed = self._last_touches.get(key, (None, 0.0))
        if touched != last_touched:
            self._last_touches[key] = touched, time.monotonic()
            return None
        return claim if time.monotonic() - first_observed > STALE_AFTER else None

    def _remove_stale(self, path: Path, stale: Claim) -> bool:
        """Remove a stale claim; return False if another process was faster, or the claim's holder is writing."""
        renamed = scratch_name(path.parent)
        with _opened(path) as descriptor:
            if descriptor is None or lock(descriptor, exclusive=True, wait=False) is False:
                return False
            try:
                path.rename(renamed)  # succeeds for one of several that try
            except FileNotFoundError:
                return False
            claim = read(renamed) or _UNREADABLE
            if claim.token != stale.token:  # the stale claim was taken over in between: put the new one back
                with suppress(OSError):
                    os.link(renamed, path)
            renamed.unlink(missing_ok=True)
        return claim.token == stale.token

    def _release(self, path: Path) -> None:
        with self._lock:
            self._paths.discard(path)
        claim = read(path)
        if claim is not None and claim.token == self.token:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _touch_until_end(self) -> None:
        while not self._end.wait(TOUCH_INTERVAL):
            with self._lock:
                paths = list(self._paths)
            for path in paths:
                claim = read(path)
                if claim is not None and claim.token == self.token:  # another command may have taken it over
                    with suppress(OSError):  # the file system is unavailable for a moment
                        os.utime(path)


def read(path: Path) -> Claim | None:
    """Return the claim in a file; None if there is no file, or it is truncated or not a claim."""
    try:
        return msgspec.convert(read_json(path, MEBIBYTE), Claim)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def read_all(results: Path) -> dict[str, tuple[Claim, float]]:
    """Return every claim in a results folder, with the seconds since its last touch by this machine's clock.

    The keys are the names of the runs' files: see `bench.records.schema.stem`.
    """
    claims = {}
    for path in sorted((results / FOLDER).glob("*.json")):
        claim = read(path)
        with suppress(OSError):
            if claim:
                claims[path.stem] = claim, max(0.0, time.time() - path.stat().st_mtime)
    return claims


def _path(folder: Path, spec: Spec) -> Path:
    return folder / f"{schema.stem(spec)}.json"


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Yield a descriptor of a claim's file; None if it cannot be opened."""
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
    """Return an identifier of this machine since its last boot, and of the process namespace of this process."""

    def content(path: str, reader: Callable[[str], str]) -> str:
        try:
            return reader(path).strip()
        except OSError:
            return ""

    boot = content("/proc/sys/kernel/random/boot_id", lambda path: Path(path).read_text(encoding="utf-8"))
    return " ".join((socket.gethostname(), boot, content("/proc/self/ns/pid", os.readlink)))


def _process_start(pid: int) -> str | None:
    """Return when a process began; "" if there is no such process, None if that cannot be determined.

    Linux counts the time in ticks since the machine was booted. psutil converts them to a time of day, which changes
    when the clock is set, so it serves only where there is no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else f"{fields[18]} ticks"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None if _exists(pid) else ""  # processes of other users may be hidden
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.0f} s"
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the latter two if no process can have such a number
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
    """Return whether a claim's process was one of this machine and no longer exists."""
    return claim.machine == _machine() and _process_start(claim.pid) not in (claim.process_start, None)
