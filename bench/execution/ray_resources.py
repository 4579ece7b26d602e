"""The resources that runs take of a Ray cluster, and how many runs its nodes have resources for. Needs no Ray."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import quantities
from bench.config.spec import Spec
from bench.errors import UsageError
from bench.execution.executor import option

if TYPE_CHECKING:
    from bench.config.run_options import RunOptions

_PROCESS_MEMORY = 1.5e9  # bytes of Python and the libraries, which `bench profile` does not measure

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and the resources that each run takes.

    Attributes:
        address: "auto" for the cluster that runs here or that RAY_ADDRESS names, "local" to start one on this machine
            for these runs only, or its address, for example ray://head:10001.
        gpus: GPUs of a run, also a part of one; None for 1 if the cluster has any and the device may be one, else 0.
        cpus: CPUs of a run, and the number of its threads.
        memory: Bytes of memory that a run takes; None for its memory limit, or else what `bench profile` measured.
    """

    address: str = option(
        "auto",
        "--address",
        "ADDRESS",
        "auto: the cluster that runs here or that RAY_ADDRESS names; local: start one on this machine; ray://HOST:PORT",
        lambda text, flag: text,
    )
    gpus: float | None = option(
        None,
        "--gpus-per-run",
        "N",
        "GPUs of a run, whole or a part of one, e.g. 0.5 (default: 1 if the cluster has GPUs, 0 with --device cpu)",
        quantities.gpus,
    )
    cpus: int = option(1, "--cpus-per-run", "N", "CPUs of a run, and its number of threads", quantities.whole)
    memory: int | None = option(
        None,
        "--memory-per-run",
        "SIZE",
        "memory of a run, e.g. 8GB (default: --memory-limit, or on CPUs what `bench profile` measured)",
        quantities.size,
    )


def check_installed() -> None:
    """Check that Ray is installed.

    Raises:
        UsageError: It is not.
    """
    if not find_spec("ray"):
        raise UsageError('Ray is not installed: pip install "ray[client]"')


def resources_of(
    cluster: Cluster, options: RunOptions, specs: Sequence[Spec], nodes: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return the resources of a run by Ray's names, without those that it does not need."""
    gpus = cluster.gpus
    if gpus is None:
        has_gpus = any(node["Alive"] and node["Resources"].get("GPU") for node in nodes)
        gpus = float(options.device == "cuda" or (options.device == "auto" and has_gpus))
    if options.device == "cuda" and not gpus:
        raise UsageError("--device cuda and --gpus-per-run 0: a run without a GPU needs --device cpu")
    memory = cluster.memory or options.memory_limit
    if memory is None and not gpus and options.results:
        memory = profiled_memory(specs, options.results)
    resources = {"CPU": float(cluster.cpus), "GPU": gpus, "memory": float(memory or 0)}
    return {name: amount for name, amount in resources.items() if amount}


def profiled_memory(specs: Sequence[Spec], results: Path) -> int | None:
    """Return the bytes that the largest run takes on a CPU, from efficiency records; None without any."""
    from bench.profiling.record import read_all

    specs_by_id = {replace(spec, seed=0).id: spec for spec in specs}
    sizes = []
    for measured in read_all(results):
        spec = specs_by_id.get(replace(measured.spec, seed=0).id)
        if spec and measured.environment.device == "cpu":
            batch = spec.recipe.get("micro_batch") or spec.recipe["batch_size"]
            sizes.append(
                measured.memory.resident + measured.memory.step * batch / measured.batch_size + _PROCESS_MEMORY
            )
    return int(max(sizes)) if sizes else None


def places(node: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    """Return the number of runs that a node has resources for."""
    if not node["Alive"]:
        return 0
    return min(int(node["Resources"].get(name, 0) / amount + 1e-6) for name, amount in resources.items())


def check_places(resources: Mapping[str, float], cluster: Cluster, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Report that no node has the resources of a run: an error for a local cluster, a warning for one that may grow."""
    if any(places(node, resources) for node in nodes):
        return
    amounts = ", ".join(f"{name} {amount:g}" for name, amount in resources.items())
    if cluster.address == "local":
        raise UsageError(
            f"this machine does not have the resources of a run ({amounts}): --cpus-per-run, --gpus-per-run, ..."
        )
    _log.warning("no node of the Ray cluster has the resources of a run (%s): waiting for one that does", amounts)
