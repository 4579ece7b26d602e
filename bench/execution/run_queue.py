"""What is left to do of a sweep, where other commands may do runs of it too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.config.spec import Spec
from bench.errors import BenchError
from bench.execution.claims import STALE, Claims
from bench.records import store
from bench.records.schema import Record, dumps

_log = logging.getLogger(__name__)


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
        self._announced: set[tuple[str, str]] = set()

    def take(self) -> Spec | None:
        """Claims the next run; None where others do all that are left, or nothing is left."""
        return next((spec for spec in [*self.specs] if self.take_this(spec)), None)

    def take_this(self, spec: Spec) -> bool:
        """Claims a run; False where another does it, or has done it."""
        if self._is_done(spec) or not self._claims.take(spec):
            return False
        if self._is_done(spec):  # between the two looks
            self._claims.release(spec)
            return False
        self.specs.remove(spec)
        return True

    def give_back(self, spec: Spec) -> None:
        """Notes that a run which was claimed was taken over: it is done elsewhere, or left to do."""
        self._claims.release(spec)
        self.specs.append(spec)

    def announce(self) -> None:
        """Says, once, whom the command waits for: all that is left others do."""
        for spec in self.specs:
            claim = self._claims.other(spec)
            if claim is None or (spec.id, claim.token) in self._announced:
                continue
            self._announced.add((spec.id, claim.token))
            if claim.token:
                why = f"process {claim.pid} on {claim.host} has been doing it since {claim.started}"
            else:
                why = "its claim cannot be read"
            _log.warning(
                "waiting for %s: %s; it is taken over after %.0f s without a sign of life", spec.label, why, STALE
            )

    def elsewhere(self) -> list[Record]:
        """Records that other commands have written since the last time."""
        found, self._elsewhere = self._elsewhere, []
        return found

    def _is_done(self, spec: Spec) -> bool:
        """Whether another command has written the run's record, though it was to do; notes it then."""
        if spec not in self.specs:
            return True
        try:
            record = store.record_of(self._results, spec)
        except BenchError:
            if spec.id in self._superseded:
                return False
            raise
        if not record or dumps(record) == self._superseded.get(spec.id):
            return False
        self.specs.remove(spec)
        self._elsewhere.append(record)
        return True
