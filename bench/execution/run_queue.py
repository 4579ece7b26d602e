"""The queue of a sweep: the runs that remain, some of which other commands may do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.config.spec import Spec
from bench.errors import BenchError
from bench.execution.claims import STALE_AFTER, Claims
from bench.records import store
from bench.records.schema import Record, dumps

_log = logging.getLogger(__name__)


class RunQueue:
    """A queue of runs that, as far as this process knows, no command has claimed.

    Attributes:
        specs: The runs.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        results: Path,
        claims: Claims,
        superseded: Mapping[str, Record | None] | None = None,
    ) -> None:
        """Queue runs.

        Args:
            specs: The runs.
            results: Folder of the records.
            claims: The claims of this command.
            superseded: By id, the records of runs that are repeated, None for a record that cannot be read. Any other
                record of these runs counts.
        """
        self.specs = list(specs)
        self._results, self._claims = results, claims
        self._superseded = {id_: dumps(record) if record else None for id_, record in (superseded or {}).items()}
        self._elsewhere: list[Record] = []
        self._announced: set[tuple[str, str]] = set()

    def take(self) -> Spec | None:
        """Claim and return the next run; return None if other commands have claimed all that remain."""
        return next((spec for spec in [*self.specs] if self.take_this(spec)), None)

    def take_this(self, spec: Spec) -> bool:
        """Claim a run; return False if another command does it or has done it."""
        if self._is_done(spec) or not self._claims.take(spec):
            return False
        if self._is_done(spec):  # between the two checks
            self._claims.release(spec)
            return False
        self.specs.remove(spec)
        return True

    def give_back(self, spec: Spec) -> None:
        """Put back a run that another command took over: that command finishes it, or it remains in the queue."""
        self._claims.release(spec)
        self.specs.append(spec)

    def announce(self) -> None:
        """Log, once for each run, which command this one is waiting for."""
        for spec in self.specs:
            claim = self._claims.claim_on(spec)
            if claim is None or (spec.id, claim.token) in self._announced:
                continue
            self._announced.add((spec.id, claim.token))
            if claim.token:
                reason = f"process {claim.pid} on {claim.host} has been doing it since {claim.started}"
            else:
                reason = "its claim cannot be read"
            _log.warning(
                "waiting for %s: %s; it is taken over after %.0f s without a sign of life",
                *(spec.label, reason, STALE_AFTER),
            )

    def elsewhere(self) -> list[Record]:
        """Return the records that other commands have written since the last call."""
        records, self._elsewhere = self._elsewhere, []
        return records

    def _is_done(self, spec: Spec) -> bool:
        """Return whether another command has written the record of a run that was to do, and remember that record."""
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
