"""Reads the worst files of a reader, printing the costs of each as a line of JSON: `python measured.py READER [NAME]`.

Each is read in its own process, forked from one that has read a valid file: so no earlier file hides its memory, and
imports are not counted.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from targets import TARGETS, Target
from worst_files import WORST

from bench.errors import BenchError

MAX_BYTES, MAX_SECONDS = 1_000_000_000, 60
_GUARD = 6 * 2**30, 180  # bytes of address space and seconds that end a reader, to protect the machine


def main(reader: str, name_part: str = "") -> None:
    """Print the costs of the files whose names contain `name_part`."""
    target = TARGETS[reader]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "valid")
        folder.mkdir()
        target.take(folder, target.seeds[0])
        for name, worst in WORST.items():
            if worst.reader == reader and name_part in name:
                folder = Path(scratch, str(len([*Path(scratch).iterdir()])))
                path = folder / target.file
                path.parent.mkdir(parents=True)
                _forked(lambda path=path, worst=worst: path.write_bytes(worst.content()))
                _forked(lambda name=name, folder=folder: _measure(name, target, folder))
                path.unlink()


def _forked(call: Callable[[], object]) -> None:
    """Make a call in a child process, and fail if that does."""
    sys.stdout.flush()
    if (process := os.fork()) == 0:
        try:
            call()
            sys.stdout.flush()
        except BaseException:
            logging.exception("failed")
            os._exit(1)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        sys.exit("a process failed")


def _measure(name: str, target: Target, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_GUARD[0], _GUARD[0]))
    resource.setrlimit(resource.RLIMIT_CPU, (_GUARD[1], _GUARD[1]))
    size = (folder / target.file).stat().st_size
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    resident, started = _memory("VmRSS"), time.process_time()
    message = ""
    try:
        target.read(folder)
    except BenchError as error:
        message = str(error)
    costs: dict[str, Any] = {"name": name, "size": size}
    costs |= {"bytes": _memory("VmHWM") - resident, "seconds": round(time.process_time() - started, 2)}
    print(json.dumps({**costs, "length": len(message), "message": message[:300]}))


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL + 1, stream=sys.stderr)
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
