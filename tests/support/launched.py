"""`python launched.py RESULTS SUITE FOLDER COUNT`: two processes as a launcher starts them and one alone, at a time.

Each does the same made-up runs, and leaves a file in the folder for each that it does, with the seed and who did it.
Nobody's first run ends before the others have begun one. The processes are forked, as importing all takes long.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from pathlib import Path

import mocks

from bench import registry
from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.execution import single_run
from bench.execution.sweep import sweep
from bench.system import distributed

ALONE = "alone"


def main(results: Path, suite: str, folder: Path, count: int) -> int:
    """Do the sweep, and return how many processes failed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launched = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = []
    for rank in ("0", "1", None):
        if not (child := os.fork()):
            os.environ |= {**launched, "RANK": rank, "LOCAL_RANK": rank} if rank else {}
            status = 1
            try:
                do(results, suite, folder, count, rank or ALONE)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def do(results: Path, suite: str, folder: Path, count: int, who: str) -> None:
    """Do the part of one process."""

    def execute(spec, options):
        (folder / f"{spec.seed}-{who}").write_text("")
        end = time.monotonic() + 60
        while len({path.name.endswith(ALONE) for path in folder.iterdir()}) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.05)
        return mocks.record(spec)

    registry.entry_points = lambda group: mocks.ENTRY_POINTS[group]
    single_run.execute = execute
    plan = make_plan(RunRequest(suite, ["lora"], ["ave"], range(count)))
    records = list(sweep(plan, results, RunOptions(device="cpu")))
    assert not distributed.is_main() or {record.id for record in records} == {spec.id for spec in plan}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
