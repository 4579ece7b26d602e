"""What the settings of runs change of their suite, as the package has it, so that tables of them say so.

Left out is what tables show otherwise: seeds and worlds, the streams of controls, learning rates from a settings file,
and what the label of a row says. Runs are not compared if the suite is not one of the package or of installed ones, or
no longer has their task or method.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from bench import registry
from bench.config import validate
from bench.config.describe import setting
from bench.config.plan import unchanged
from bench.config.recipe import PER_METHOD, complete, per_method
from bench.config.spec import Spec
from bench.config.suite import StreamSource, Suite, load_suite, suite_names
from bench.errors import BenchError
from bench.records.schema import plain
from bench.report.grouping import RATES, Row, Table

_log = logging.getLogger(__name__)

_LATER_DATA = {"sounds": "calls", "skip_unreadable": False}  # which a specification leaves out


class SuiteSettings:
    """The settings that suites have for methods on tasks, each read once."""

    def __init__(self) -> None:
        self._suite = cache(_suite)
        self._usual = cache(self._unchanged)

    def changes(self, table: Table) -> str:
        """Return a line with the settings of a table's runs that differ from their suite's; empty if none do.

        Args:
            table: The table. What differs in all of its rows comes first, then what does in single ones.
        """
        rows = {row.label: (row, usual) for row in table.rows if (usual := self._usual_of(row))}
        if not rows:
            return ""
        row, usual = next(iter(rows.values()))
        common = _differences(_condition(row.records[0].spec), _condition(usual), usual)
        by_row = {label: _method_differences(row, usual) for label, (row, usual) in rows.items()}
        if len(by_row) == len(table.rows) > 1:
            common += [text for text in by_row[row.label] if all(text in texts for texts in by_row.values())]
        rest = {label: [text for text in texts if text not in common] for label, texts in by_row.items()}
        parts = [", ".join(common), *(f"{label}: {', '.join(texts)}" for label, texts in rest.items() if texts)]
        return f"Differs from the suite's settings: {'; '.join(filter(None, parts))}" if any(parts) else ""

    def tasks(self, tables: Iterable[Table]) -> str:
        """Return a line that names the tasks whose tables have such a line; empty if none has."""
        names = dict.fromkeys(table.task for table in tables if self.changes(table))
        return (
            f"Settings differ from the suite's, as the tables of these tasks say: {', '.join(names)}" if names else ""
        )

    def _usual_of(self, row: Row) -> Spec | None:
        spec = row.records[0].spec
        return self._usual(spec.suite, spec.task, spec.method)

    def _unchanged(self, name: str, task: str, method: str) -> Spec | None:
        """Return the run of a method on a task as the suite has it; None if it cannot be told."""
        try:
            suite: Suite | None = self._suite(name)
            return unchanged(suite, task, method) if suite else None
        except BenchError as error:
            _log.debug("%s on %s is not compared with suite %s: %s", method, task, name, error)
            return None


def _suite(name: str) -> Suite | None:
    return load_suite(name) if name in suite_names() else None


def _condition(spec: Spec) -> dict[str, Any]:
    """Return what the runs of a table share, with the keys of its condition, and with defaults."""
    data = {key: value for key, value in spec.data.items() if key not in ("seed", "path", "streams")}
    names = [field.name for field in dataclasses.fields(StreamSource)]
    return {
        **{f"data.{key}": value for key, value in {**_LATER_DATA, **data}.items()},
        **{f"streams.{stream}.{name}": table.get(name) for stream, table in spec.streams.items() for name in names},
        **{f"{spec.task}.{key}": value for key, value in _complete("tasks", spec.task, spec.task_settings).items()},
        **{f"train.{key}": value for key, value in complete(spec.recipe).items() if key not in PER_METHOD},
    }


def _method_differences(row: Row, usual: Spec) -> list[str]:
    """Return the differences of a row's settings, as far as its label does not say them."""
    settings, of_suite = (
        {**_complete("methods", spec.method, spec.settings), **per_method(complete(spec.recipe))}
        for spec in (row.records[0].spec, usual)
    )
    tuned = RATES if all(record.tuned for record in row.records) else ()
    label = f", {row.label.removeprefix(usual.method)[2:-1]}, "  # "lora (r=8, alpha=4.0)"
    hidden = {name for name, value in settings.items() if name in tuned or f", {name}={setting(value)}, " in label}
    return _differences({name: value for name, value in settings.items() if name not in hidden}, of_suite, usual)


def _complete(kind: registry.Kind, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a method or a task in a specification, with the defaults that these leave out."""
    cls = registry.load(kind, name)
    try:
        built: Any = validate.build(cls, {}, name)
    except BenchError:  # it has settings without a default, and no later ones
        return dict(values)
    defaults = dataclasses.asdict(built)
    written = built.to_config() if hasattr(built, "to_config") else defaults
    return {**{key: plain(value) for key, value in defaults.items() if key not in written}, **values}


def _differences(values: Mapping[str, Any], usual: Mapping[str, Any], run: Spec) -> list[str]:
    """Return texts as in "train.epochs=1 (mini: 6)" for values that both have and that differ."""
    return [
        f"{key}={setting(value)} ({run.suite}: {setting(usual[key])})"
        for key, value in values.items()
        if key in usual and value != usual[key]
    ]
