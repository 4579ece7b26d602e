"""What is left to do of a sweep, where other commands may do runs of it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import records
from bench.claims import Claims
from bench.errors import BenchError
from bench.plan import Spec
from bench.schema import Record, dumps


class Waiting:
    """Runs that nobody has claimed yet, as far as this process knows.

    Attributes:
        specs: the runs.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        results: Path,
        claims: Claims,
        superseded: Mapping[str, Record | None] | None = None,
    ) -> None:
        """`superseded` are the records, by id, of runs that are done again, None for one that cannot be read.

        Any other record of these runs counts.
        """
        self.specs = list(specs)
        self._results, self._claims = results, claims
        self._superseded = {id_: dumps(record) if record else None for id_, record in (superseded or {}).items()}
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
        try:
            record = records.of(self._results, spec)
        except BenchError:
            if spec.id in self._superseded:
                return False
            raise
        if not record or dumps(record) == self._superseded.get(spec.id):
            return False
        self.specs.remove(spec)
        self._elsewhere.append(record)
        return True
