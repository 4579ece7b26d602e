"""Executors do the runs of a sweep: on this machine (`local`), on a Ray cluster (`ray`), or as another package defines.

A new executor is one file with a class that follows `Executor`, and one entry point in the group `bench.executors`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from bench import registry
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.records.schema import Record

LOCAL = "local"
"""Name of the executor that is used if no other one is requested."""


@runtime_checkable
class Executor(Protocol):
    """An executor: a dataclass whose fields are its options. Those declared with `option` are command-line flags too.

    Its module is imported to parse a command line, so heavy libraries are imported in its methods.
    """

    def check(self) -> None:
        """Check that this executor can be used here, before any run is planned.

        Raises:
            UsageError: A package is missing, or options contradict each other.
        """

    def execute(
        self, take: Callable[[], Spec | None], options: RunOptions, specs: Sequence[Spec]
    ) -> Generator[Record, None, None]:
        """Do the runs that `take` returns, and yield the record of each as soon as the run has ended.

        A run that fails yields a failed record, and the others go on. An executor does not write records. Whatever ends
        the generator early must also end the runs in progress.

        Args:
            take: Claims the next run and returns it; returns None if there is none to begin now. Call it only when the
                run can begin.
            options: Options that do not affect results. `bench.execution.single_run.execute` applies all but the
                limits, which the executor has to enforce.
            specs: The runs that `take` may return.

        Yields:
            The records, in the order in which the runs end. `environment.jobs` is the number of runs that shared the
            machine; None counts as 1.

        Raises:
            UsageError: Something is missing that every run needs, such as the device.
        """
        ...


class Option(NamedTuple):
    """An option of an executor on the command line."""

    name: str
    """The field of the executor."""
    flag: str
    metavar: str
    help: str
    parse: Callable[[str, str], Any]
    """The function that converts the text on the command line; its second argument is the flag, for error messages."""
    default: Any


def option(default: Any, flag: str, metavar: str, help: str, parse: Callable[[str, str], Any]) -> Any:
    """Return a dataclass field that is an option on the command line too.

    Args:
        default: The default; None if it depends on something that `help` explains.
        flag: The flag, for example `--gpus-per-run`.
        metavar: Placeholder for the value in the help.
        help: A few words for the help.
        parse: Converts the text on the command line. For invalid text it raises a ValueError, which is reported with
            the flag and the text, or a UsageError with the whole message. Its second argument is the flag.
    """
    return dataclasses.field(
        default=default, metadata={"option": {"flag": flag, "metavar": metavar, "help": help, "parse": parse}}
    )


def options_of(cls: type[Executor]) -> list[Option]:
    """Return the command-line options that an executor declares."""
    return [
        Option(name=field.name, default=field.default, **field.metadata["option"])
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # every executor is a dataclass
        if "option" in field.metadata
    ]


def executor_names() -> list[str]:
    """Return the names of all installed executors, the default one first."""
    return list(dict.fromkeys([LOCAL, *registry.names("executors")]))


def executor_class(name: str) -> type[Executor]:
    """Return the executor of that name.

    Raises:
        UsageError: There is none.
        BenchError: It cannot be imported.
    """
    return registry.load("executors", name)


def make_executor(executor: str | Executor = LOCAL, **options: Any) -> Executor:
    """Return an executor that can be used here.

    Args:
        executor: A name, or an executor.
        options: Fields of the executor of that name.

    Raises:
        UsageError: There is none of that name, or it cannot be used.
        BenchError: It cannot be imported.
    """
    instance = executor_class(executor)(**options) if isinstance(executor, str) else executor
    if not isinstance(instance, Executor) or isinstance(instance, type):
        raise UsageError(f"{executor!r} is not an executor: pass one of {', '.join(executor_names())}, or an object")
    instance.check()
    return instance
