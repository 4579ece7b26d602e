"""Compare adapter methods for pairs of pretrained encoders, over several tasks and seeds, on equal terms."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.system import threads

if TYPE_CHECKING:
    from bench.api import load_records as load_records
    from bench.api import make_method as make_method
    from bench.api import run as run
    from bench.api import run_experiment as run_experiment
    from bench.methods.base import Method as Method
    from bench.methods.base import ParameterGroup as ParameterGroup
    from bench.records.schema import Record as Record
    from bench.report.comparison import compare as compare
    from bench.report.export.frame import to_frame as to_frame
    from bench.report.plots import plot as plot
    from bench.saved_adapters.save_load import load_adapter as load_adapter
    from bench.streams.additions import AddedTokens as AddedTokens
    from bench.streams.additions import Exchange as Exchange
    from bench.streams.additions import StreamState as StreamState
    from bench.streams.additions import SublayerAdapter as SublayerAdapter
    from bench.streams.load import load_stream as load_stream
    from bench.streams.lockstep import MultiStream as MultiStream
    from bench.tasks.base import Task as Task

__version__ = "0.1.0"

# The modules of the Python API, each imported when it is first used: `bench list` does not need torch.
_API = {
    "run": "bench.api",
    "run_experiment": "bench.api",
    "load_records": "bench.api",
    "to_frame": "bench.report.export.frame",
    "compare": "bench.report.comparison",
    "plot": "bench.report.plots",
    "make_method": "bench.api",
    "load_adapter": "bench.saved_adapters.save_load",
    "Method": "bench.methods.base",
    "ParameterGroup": "bench.methods.base",
    "Exchange": "bench.streams.additions",
    "SublayerAdapter": "bench.streams.additions",
    "AddedTokens": "bench.streams.additions",
    "StreamState": "bench.streams.additions",
    "Record": "bench.records.schema",
    "load_stream": "bench.streams.load",
    "MultiStream": "bench.streams.lockstep",
    "Task": "bench.tasks.base",
}
__all__ = [*_API]

threads.prepare()


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
