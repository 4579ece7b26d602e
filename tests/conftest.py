"""How hypothesis draws: the same examples each time, so that a failure is the change's.

`make explore` draws new ones. Readers of foreign files (tests/fuzz) get as many damaged files as there are examples:
`make fuzz` gives each 2,000, the same each time, and `make fuzz-more` 20,000 new ones.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import bench  # noqa: F401 - before torch is loaded, so that its threads wait as those of `bench` do
from bench import registry
from bench.system.garbage import uncollected

# As in the Makefile: each process that tests start would compile torch, transformers and peft anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Under `nohup` this signal is ignored, by all that tests start too, and they send it.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# On a machine that does something else too an example may take any time: how long one takes fails no test.
at_any_speed: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **at_any_speed)
settings.register_profile("explore", print_blob=True, **at_any_speed)
settings.register_profile("fuzz", max_examples=2000, derandomize=True, **at_any_speed)
settings.register_profile("fuzz-more", max_examples=20_000, **at_any_speed)
settings.load_profile("same")

LONGEST = """
every_method snippets what_was_run exits process_pool save_load ray_executor recipe_runs
method_packages single_run check_defects prediction_images taken_over_runs child_processes peft_settings frozen_features
vqa budget finding examples own_tasks checks damaged_records skip_unreadable
threads search tune_runs fused_linears targets
"""
"""What is tested in the files that take more than 5 s of a core, in about that order."""

# What a shell starts in the background ignores ^C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run named files and folders in this process: starting workers takes longer than most of them."""
    if config.option.numprocesses == "auto" and config.args_source is pytest.Config.ArgsSource.ARGS:
        return 0
    config.option.loadscopereorder = False  # files begin in the order below, not those with most tests first
    # Tests are many small operations, which a second thread slows down. Workers inherit this before they load torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no core is left with a long one in the end."""
    longest = {f"test_{name}.py": place for place, name in enumerate(LONGEST.split())}
    items.sort(key=lambda item: longest.get(item.path.name, len(longest)))


@pytest.fixture(autouse=True)
def added_classes_are_gone() -> Iterator[None]:
    """Take what a test has added to the registry out again, for those that list what there is."""
    before = {kind: dict(added) for kind, added in registry._added.items()}
    yield
    for kind, added in before.items():
        registry._added[kind].clear()
        registry._added[kind].update(added)


@pytest.fixture(scope="session", autouse=True)
def not_waiting_for_the_disk() -> Iterator[None]:
    """Let what this process writes be lost in a power cut: a run of a test waits for the disk a hundred times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Import what most tests need, in the processes that run the whole suite; see `earlier_objects_are_left_alone`."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        with uncollected():
            importlib.import_module("bench.execution.single_run")
            importlib.import_module("peft")


@pytest.fixture(scope="module", autouse=True)
def earlier_objects_are_left_alone(libraries: None) -> None:
    """Let garbage be looked for only among what this file's tests make.

    Each run collects garbage before it measures memory, and going through all objects of torch takes half a second.
    """
    gc.collect()
    gc.freeze()
