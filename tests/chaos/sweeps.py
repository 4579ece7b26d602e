"""Real sweeps in processes of their own, what is done to them, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Thread

import psutil
from alike import alike

from bench.records import store
from bench.records.store import read

PATIENCE = 300.0  # seconds that a command may take on a machine that does other things too
MARK = "CHAOS_SWEEP"  # environment variable by which the processes of a sweep are recognized
PLAN = ["--methods", "lora,cola", "--tasks", "ave", "--seeds", "0,1", "--set", "ave.epochs=3", "--save-adapters"]
RUNS = 4
_PROGRAM = Path(__file__).with_name("small_bench.py")  # not imported: it makes the data of its process small


@dataclass
class Sweep:
    """Commands that share a folder of results and one of data.

    Attributes:
        root: folder of both, and of what the commands print.
        environ: variables of all commands, besides those of the test.
        commands: those that were started.
    """

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    commands: list[subprocess.Popen] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def printed(self) -> str:
        """Everything that the commands have printed."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("printed-*")))

    def start(self, *more: str, before: Sequence[str] = (), **environ: str) -> subprocess.Popen:
        """Start a command; `before` is a prefix such as `unshare`."""
        places = ["--results", str(self.results), "--data-root", str(self.data)]
        command = [*before, sys.executable, str(_PROGRAM), "run", *PLAN, *places, *more]
        variables = os.environ | {"OMP_NUM_THREADS": "1", MARK: str(self.root)} | self.environ | environ
        with (self.root / f"printed-{len(self.commands)}").open("w") as file:
            process = subprocess.Popen(command, env=variables, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        self.commands.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Return all running processes of the sweep, whatever their parents."""
        alive = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        return alive

    def wait(self) -> None:
        """Wait until all commands and their children have ended."""
        end = time.monotonic() + PATIENCE
        for process in self.commands:
            process.wait(max(0.0, end - time.monotonic()))
        time.sleep(0.1)
        grace = time.monotonic() + 5
        while self.processes() and time.monotonic() < grace:
            time.sleep(0.1)

    def finish(self) -> None:
        """Finish the remaining runs, as a user would after a failure."""
        for _ in range(3):
            process = self.start("--retry-failed")
            if process.wait(PATIENCE) == 0:
                return
        raise AssertionError(f"three more commands did not finish the runs:\n{self.printed}")

    def end(self) -> None:
        """Kill all remaining processes, so that a failed test leaves none."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        for command in self.commands:
            command.wait()


def hurt(sweep: Sweep, chance: Random, times: int, kinds: Sequence[signal.Signals], within: float) -> list[str]:
    """Send signals to random processes of a sweep at random times; stopped processes are continued later.

    Args:
        sweep: its commands run.
        chance: where all is drawn from.
        times: number of signals.
        kinds: of signals.
        within: seconds of which one passes before the next signal.

    Returns:
        What was done.
    """
    events = []
    for _ in range(times):
        time.sleep(chance.uniform(0, within))
        alive = sweep.processes()
        if not alive:
            break
        process, kind = chance.choice(sorted(alive, key=lambda candidate: candidate.pid)), chance.choice(kinds)
        with suppress(psutil.Error):
            events.append(f"{kind.name} to {process.pid} {' '.join(process.cmdline())[-60:]}")
            process.send_signal(kind)
            if kind == signal.SIGSTOP:
                time.sleep(chance.uniform(0.1, 2))
                process.send_signal(signal.SIGCONT)
    return events


class FinishedRuns:
    """A check that a finished run is not done again.

    While it is entered it looks at the records all the time.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.first, self.done_again = sweep, {}, []
        self._end = Event()
        self._watch = Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> FinishedRuns:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._watch.join()
        self._look()

    def _look_on(self) -> None:
        while not self._end.wait(0.05):
            self._look()

    def _look(self) -> None:
        for path in (self.sweep.results / store.FOLDER).glob("*.json"):
            with suppress(OSError, ValueError):
                record = json.loads(path.read_bytes())
                if record["status"] == "ok":
                    first = self.first.setdefault(record["id"], record["finished"])
                    if first != record["finished"]:
                        self.done_again.append(path.name)


def check_whole(sweep: Sweep, reference: Sweep) -> None:
    """Check that a sweep ended like an undisturbed one: with equal scores, the same files, and no processes."""
    left = [f"{process.pid} {process.cmdline()}" for process in sweep.processes()]
    assert not left, f"processes were left behind: {left}"
    records, expected = ({item.id: item for item in store.read_all(folder.results)} for folder in (sweep, reference))
    assert records.keys() == expected.keys() and len(records) == RUNS
    for id_, record in records.items():
        assert record.status == "ok", record.reason
        assert asdict(record.scores) == alike(expected[id_].scores), record.label
        assert record.data == expected[id_].data and record.parameters == expected[id_].parameters
    assert sorted(files(sweep)) == sorted(files(reference)), "files are missing, or were left behind"


def files(sweep: Sweep) -> Iterator[str]:
    """Yield all files and folders below results and data, except locks, which are permanent."""
    for folder in (sweep.results, sweep.data):
        for path in folder.rglob("*"):
            if path.suffix != ".lock":
                yield str(path.relative_to(sweep.root))


def measured_on_disk_or_printed(sweep: Sweep) -> None:
    """Check that every run whose score was shown has a record, in the folder or printed."""
    labels = {read(path).label for path in (sweep.results / store.FOLDER).glob("*.json")}
    shown = set(re.findall(r"^\[\d+/\d+\] (\S+ \S+ seed \d+): ", sweep.printed, re.MULTILINE))
    printed = {label for label in shown if f'"seed": {label.rsplit(" ", 1)[1]}' in sweep.printed}
    assert shown <= labels | printed, f"shown but lost: {shown - labels - printed}"


def with_data(sweep: Sweep, reference: Sweep, chance: Random) -> None:
    """Copy the data of the reference to a sweep: all of it, none, or the generated data without the decoded samples."""
    sweep.root.mkdir(parents=True, exist_ok=True)
    kind = chance.choice(("none", "generated", "decoded"))
    if kind != "none":
        shutil.copytree(reference.data, sweep.data)
    if kind == "generated":
        shutil.rmtree(sweep.data / "prepared")
