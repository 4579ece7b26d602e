"""`python parents.py WHAT FOLDER [watch]`: children write a file each, then work for a minute.

They hold Python's lock meanwhile, as a decoder may, so that only the kernel can end them; but with `watch` they do not,
and it is the kernel that cannot.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bench.system import child_processes


def work(folder: Path, held: bool, *_: object) -> None:
    (folder / str(os.getpid())).touch()
    if held:
        ctypes.PyDLL(None).sleep(60)
    time.sleep(60)


class Samples:
    names = ("a", "b")

    def __init__(self, folder: Path, held: bool) -> None:
        self.folder, self.run_data = folder, held

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        work(self.folder, self.run_data)
        return {"x": np.zeros(1)}


def execute(spec, options, threads):
    work(options.data_root, held=sys.platform == "linux")


def no_kernel(*_: object) -> None:
    raise OSError("not permitted")


def main(action: str, folder: Path, held: bool) -> None:
    if action == "generate":
        with child_processes.process_pool(2) as pool:
            list(pool.map(partial(work, folder, held), range(2)))
    elif action == "decode":
        from bench.data import loader

        loader.decoding_workers = lambda: 2
        list(loader.load(loader.Decoded(Samples(folder, held), [0, 1]), 1))
    else:
        from bench.config.plan import RunRequest, make_plan
        from bench.config.run_options import RunOptions
        from bench.execution import process_pool

        process_pool.execute_run, process_pool.make_data = execute, lambda specs, options: None
        plan = make_plan(RunRequest("mini", ["lora"], ["ave"], [0, 1]))
        take = iter(plan)
        list(process_pool.run_all(lambda: next(take, None), RunOptions(folder), 2, plan))


if "watch" in sys.argv:  # in the children too, which import this file
    child_processes.ctypes = SimpleNamespace(CDLL=no_kernel)
if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), held=sys.platform == "linux" and "watch" not in sys.argv)
