"""What is left to do of a sweep, where other commands may do runs of it too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from bench import records
from bench.claims import Claims
from bench.plan import Spec
from bench.schema import Record


class Waiting:
    """Runs that nobody has claimed yet, as far as this process knows.

    Attributes:
        specs: the runs.
    """

    def __init__(self, specs: Sequence[Spec], results: Path, claims: Claims, redo: Collection[str]) -> None:
        self.specs = list(specs)
        self._results, self._claims, self._redo = results, claims, redo
        self._elsewhere: list[Record] = []

    def take(self) -> Spec | None:
        """Claims the next run; None where others do all that are left, or nothing is left."""
        for spec in [*self.specs]:
            if not self._is_done(spec) and self._claims.take(spec):
                if self._is_done(spec):  # between the two looks
                    self._claims.release(spec)
                else:
                    self.specs.remove(spec)
                    return spec
        return None

    def elsewhere(self) -> list[Record]:
        """Records that other commands have written since the last time."""
        found, self._elsewhere = self._elsewhere, []
        return found

    def _is_done(self, spec: Spec) -> bool:
        """Whether another command has written the run's record, though it was to do; notes it then."""
        if spec not in self.specs:
            return True
        record = None if spec.id in self._redo else records.of(self._results, spec)
        if not record:
            return False
        self.specs.remove(spec)
        self._elsewhere.append(record)
        return True
