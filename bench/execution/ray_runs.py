"""The runs of `bench.execution.ray_executor`: each is a Ray task with the resources it needs, and returns a record."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.spec import Spec
from bench.errors import BenchError, Terminated
from bench.execution import process_pool
from bench.execution.process_pool import Execute
from bench.execution.ray_resources import Cluster, check_installed, check_places, places, resources_of
from bench.progress import set_quiet
from bench.records import schema
from bench.records.schema import Record
from bench.system import cpus

if TYPE_CHECKING:
    from bench.config.run_options import RunOptions

_QUEUED = 2  # runs submitted beyond the cluster's capacity, so that free resources are used at once and it can scale
_POLL_INTERVAL = 1.0  # seconds between two checks of the cluster's resources
_RETRIES = 3  # of a run that was lost with its node or its process
_GRACE_PERIOD = 10.0  # seconds between asking a run to end and killing its process


def run_all(
    take: Callable[[], Spec | None], options: RunOptions, cluster: Cluster, specs: Sequence[Spec]
) -> Generator[Record, None, None]:
    """Do the runs that `take` returns on a Ray cluster, and yield each record as it arrives.

    As many runs are submitted as the cluster has resources for, and two more. A run lost with its node is repeated. A
    run whose process keeps dying, or that raises an unexpected error, is recorded as failed, and the others go on.
    Whatever ends the generator cancels the submitted runs.

    The caller writes the records. A run writes predictions, adapters and checkpoints to the results folder, and reads
    the data: both folders, and those of encoders, must be on a file system that all nodes share, under the same path.
    Without a data root, each node uses the cache folder of its own user.

    Args:
        take: Returns the next run, or None if there is none to begin now; called when there are resources for it.
        options: Options that do not affect results. With limits, each run is done in a process of its own.
        cluster: Where to do the runs.
        specs: The runs that `take` may return.

    Raises:
        UsageError: The release or the device is missing, which every run needs: no other run is submitted, and the
            records of submitted runs are yielded first. Or Ray is not installed, or a local cluster is too small.
        BenchError: There is no cluster at the address, or its nodes cannot do runs.
        Terminated: A signal asked this process to end; runs in progress are recorded as failed first, and those that
            wait for resources have no record.
    """
    specs = [*specs]  # `take` may alter them
    first = take()
    if not first:
        return
    check_installed()
    process_pool.make_data(specs, options)
    ahead = [first]
    with _connected(cluster.address) as ray:
        resources = resources_of(cluster, options, specs, ray.nodes())
        check_places(resources, cluster, ray.nodes())
        begin = _remote(ray, resources, options)
        in_flight: dict[Any, tuple[Spec, str]] = {}  # runs and their starts, by the references to their results
        error: BenchError | None = None
        ready, capacity = True, 0  # whether `take` may have a run; runs that may be in flight
        try:
            while ready or in_flight:
                capacity = sum(places(node, resources) for node in ray.nodes()) + _QUEUED
                while ready and len(in_flight) < capacity:
                    if spec := ahead.pop() if ahead else take():
                        in_flight[begin(spec)] = spec, schema.now()
                    else:
                        ready = False
                answered = ray.wait([*in_flight], timeout=_POLL_INTERVAL)[0] if in_flight else []
                for reference in answered:
                    answer = _answer(ray, reference, *in_flight.pop(reference))
                    if isinstance(answer, Record):
                        yield answer
                    else:
                        error = error or answer
                ready = not error and bool(ready or answered)  # other commands may have released runs in the meantime
        except (Terminated, SystemError) as raised:
            terminated = raised if isinstance(raised, Terminated) else raised.__cause__  # Ray wraps what handlers raise
            if not isinstance(terminated, Terminated):
                raise
            running = max(0, capacity - _QUEUED)  # the last ones submitted wait for resources
            for spec, started in [*in_flight.values()][:running]:
                yield replace(Record.failed(spec, started, f"{schema.STOPPED}{terminated}"), finished=schema.now())
            raise terminated from None
        finally:
            _cancel(ray, [*in_flight])
    if error:
        raise error


@contextmanager
def _connected(address: str) -> Generator[Any]:
    """Yield Ray, connected to a cluster; an existing connection is used, and stays open."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its options say whether a run has a GPU
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))  # without end by default
    import ray

    if ray.is_initialized():
        yield ray
        return
    local = {"include_dashboard": False, "num_cpus": cpus.available_cpus()} if address == "local" else {}
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # where Ray puts a handler of its own
            stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        try:
            ray.init(address, logging_level=logging.WARNING, **local)
        except Exception as error:  # of many kinds: no connection, another version, no session
            raise BenchError(
                f"no Ray cluster at address {address}: {error}\n"
                "`ray start --head` starts one, and --address local one for this command only"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _remote(ray: Any, resources: Mapping[str, float], options: RunOptions) -> Callable[[Spec], Any]:
    """Return a function that submits a run to the cluster, and returns the reference to its result."""
    device = options.device if resources.get("GPU") else "cpu"
    remote_options = replace(  # nodes have other working folders
        options,
        device=device,
        data_root=options.data_root and options.data_root.absolute(),
        results=options.results and options.results.absolute(),
    )
    level = logging.getLogger("bench").level
    task = ray.remote(_run).options(
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        memory=resources.get("memory"),
        max_retries=_RETRIES,
        scheduling_strategy="SPREAD",
    )
    return lambda spec: task.remote(spec, remote_options, resources, process_pool.execute_run, level, str(Path.cwd()))


def _run(
    spec: Spec, options: RunOptions, resources: Mapping[str, float], execute: Execute, level: int, folder: str
) -> Record | BenchError:
    """Do a run in a process of a node. An exception of `execute` is returned as an error, or as a failed record.

    Args:
        spec: The run.
        options: Options that do not affect its result.
        resources: The resources of the node that it takes.
        execute: Does the run.
        level: The log level.
        folder: The command's working folder, which Ray puts before the packages (see `bench.__main__`).
    """
    import ray

    sys.path[:] = [entry for entry in sys.path if entry != folder]
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("bench").setLevel(level)
    set_quiet(True)
    threads = max(1, int(resources["CPU"]))
    cpus.limit_to(threads)
    started = schema.now()
    try:
        if options.limits:
            remaining = iter([spec])
            record = next(process_pool.run_all(lambda: next(remaining, None), options, 1, [spec]))
        else:
            record = execute(spec, options, threads)
    except BenchError as error:
        return error
    except Exception as error:
        failed = Record.failed(spec, started, f"{type(error).__name__}: {error}")
        return replace(failed, traceback=traceback.format_exc(), finished=schema.now())
    if record.environment is None:
        return record
    node_id = ray.get_runtime_context().get_node_id()
    neighbours = sum(places(node, resources) for node in ray.nodes() if node["NodeID"] == node_id)
    return replace(record, environment=replace(record.environment, jobs=max(1, neighbours)))


def _answer(ray: Any, reference: Any, spec: Spec, started: str) -> Record | BenchError:
    """Return the record of a run, also if the run was lost for good, or an error that ends all runs."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # `_run` raises nothing: it was not reached
        return BenchError(
            f"a node of the Ray cluster cannot do runs: {error}\n"
            "The same version of crossmodal-bench must be installed on all of them"
        )
    except ray.exceptions.RayError as error:
        message = str(error).strip().partition("\n")[0] or type(error).__name__
        reason = f"its worker on the Ray cluster was lost, after {_RETRIES} retries: {message}"
        return replace(Record.failed(spec, started, reason), finished=schema.now())


def _cancel(ray: Any, references: Sequence[Any]) -> None:
    """End submitted runs, with some time to clean up."""
    if not references:
        return
    for reference in references:
        ray.cancel(reference)
    _, running = ray.wait(references, num_returns=len(references), timeout=_GRACE_PERIOD)
    for reference in running:
        ray.cancel(reference, force=True)
