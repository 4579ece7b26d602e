"""Where runs are done: in this process, or on a Ray cluster."""

from __future__ import annotations

import argparse

from bench.cli.shared_arguments import size, whole
from bench.errors import UsageError, shortened
from bench.execution.ray_resources import Cluster, check_installed


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Adds what does the runs, and what each takes of it."""
    parser.add_argument(
        "--executor",
        choices=("process", "ray"),
        default="process",
        help="process: this one, or as many as --jobs says; ray: a Ray cluster (default: %(default)s)",
    )
    ray = parser.add_argument_group("with --executor ray")
    ray.add_argument(
        "--address",
        metavar="WHERE",
        help="auto: the cluster that runs here, or that RAY_ADDRESS names; local: start one on this machine; or "
        "ray://HOST:PORT (default: auto)",
    )
    ray.add_argument(
        "--gpus-per-run",
        type=_gpus,
        metavar="N",
        help="may be a part of one, as in 0.5 (default: 1 where the cluster has any, and not with --device cpu)",
    )
    ray.add_argument(
        "--cpus-per-run", type=lambda text: whole(text, "--cpus-per-run"), metavar="N", help="and threads (default: 1)"
    )
    ray.add_argument(
        "--memory-per-run",
        type=lambda text: size(text, "--memory-per-run"),
        metavar="SIZE",
        help="as in 8GB (default: --memory-limit; or on CPUs what `bench profile` measured, where RESULTS has it)",
    )


def cluster_of(args: argparse.Namespace) -> Cluster | None:
    """The cluster that a command asks for; None for none.

    Raises:
        UsageError: options that do not go together, or Ray is not installed.
    """
    of_ray = {
        "address": args.address,
        "gpus": args.gpus_per_run,
        "cpus": args.cpus_per_run,
        "memory": args.memory_per_run,
    }
    given = {name: value for name, value in of_ray.items() if value is not None}
    if args.executor != "ray":
        if given:
            names = ", ".join(f"--{name}" if name == "address" else f"--{name}-per-run" for name in given)
            raise UsageError(f"{names}: only with --executor ray")
        return None
    if args.jobs > 1:
        raise UsageError(f"--jobs {args.jobs}: a Ray cluster does as many runs at a time as --cpus-per-run, ... allow")
    check_installed()
    return Cluster(**given)


def _gpus(text: str) -> float:
    """A number of GPUs.

    Raises:
        UsageError: it is neither a whole number nor a part of one.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number <= 1 or (number > 1 and number.is_integer())):
        raise UsageError(f"--gpus-per-run is a whole number or a part of 1, as in 0.5, not {shortened(text)}")
    return number
