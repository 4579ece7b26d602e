"""How torch's threads wait, and how many there are: variables that its OpenMP runtime reads as it is loaded.

A thread that has done its part of an operation spins while it waits for the next one. Alone that saves waking it up; on
a machine that does something else too it takes the time that the thread it waits for would need. perf/README.md has the
measurements. Needs no heavy import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

from bench.system.cpus import available_cpus

WAITING = {
    "GOMP_SPINCOUNT": "1000",  # GNU's libgomp, in torch's wheels for Linux: tries; by default 300,000
    "KMP_BLOCKTIME": "1",  # LLVM's libomp and Intel's libiomp5, macOS and Windows: milliseconds; by default 200
}


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Sets how OpenMP's threads wait, and how many there are where this process may not use the whole machine.

    What the user has set stays. It counts from when torch is loaded. Where torch is there already the waiting is set
    all the same, for processes that are started from here; the number of threads is then that program's affair.

    Args:
        environ: the environment.
    """
    if "OMP_WAIT_POLICY" not in environ:
        for name, value in WAITING.items():
            environ.setdefault(name, value)
    if "torch" in sys.modules or "OMP_NUM_THREADS" in environ or "MKL_NUM_THREADS" in environ:
        return
    # On a whole machine the libraries count for themselves: MKL takes one thread a core, not one a hyperthread.
    if (cpus := available_cpus()) < (os.cpu_count() or 1):
        environ["OMP_NUM_THREADS"] = str(cpus)  # MKL and OpenBLAS follow it too
