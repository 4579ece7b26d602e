"""Environment variables for the number of torch's threads and how they wait, read when its OpenMP runtime is loaded.

A thread that has finished its part of an operation spins until the next one. On an idle machine this saves the time to
wake it up; on a busy machine it takes CPU time from the very thread that it is waiting for. perf/README.md has the
measurements. Imports nothing heavy.
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
    """Set how OpenMP's threads wait, and their number if this process may not use the whole machine.

    Variables that the user has set are left alone. The settings take effect when torch is loaded. If it is loaded
    already, the waiting is still set, for processes started from here; the number of threads is then up to the program
    that loaded torch.

    Args:
        environ: The environment.
    """
    if "OMP_WAIT_POLICY" not in environ:
        for name, value in WAITING.items():
            environ.setdefault(name, value)
    if "torch" in sys.modules or "OMP_NUM_THREADS" in environ or "MKL_NUM_THREADS" in environ:
        return
    # With the whole machine, the libraries choose better: MKL starts one thread per core, not per hyperthread.
    if (cpus := available_cpus()) < (os.cpu_count() or 1):
        environ["OMP_NUM_THREADS"] = str(cpus)  # MKL and OpenBLAS read it too
