"""Runs on a Ray cluster. Imports nothing heavy, as it is imported to parse command lines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.config.spec import Spec
from bench.execution.ray_resources import Cluster, check_installed

if TYPE_CHECKING:
    from bench.config.run_options import RunOptions
    from bench.records.schema import Record


@dataclass(frozen=True)
class RayExecutor(Cluster):
    """A Ray cluster: each run is a Ray task with the CPUs, GPUs and memory it needs. Requires Ray.

    `bench.execution.ray_resources.Cluster` describes the attributes.
    """

    def check(self) -> None:
        """Check that Ray is installed.

        Raises:
            UsageError: It is not.
        """
        check_installed()

    def execute(
        self, take: Callable[[], Spec | None], options: RunOptions, specs: Sequence[Spec]
    ) -> Generator[Record, None, None]:
        """Do the runs; see `bench.execution.executor.Executor.execute`, and `run_all` for what a cluster must share."""
        from bench.execution.ray_runs import run_all

        return run_all(take, options, self, specs)
