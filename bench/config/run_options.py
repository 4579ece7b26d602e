"""Options of a command that do not affect results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.config.tuned_settings import Tuned


@dataclass(frozen=True)
class RunOptions:
    """Options of a command that do not affect results.

    Attributes:
        data_root: Folder of the official releases, of media to compose data from, or of the generated data's cache;
            None for the user's cache folder.
        device: "auto", "cpu" or "cuda".
        results: Results folder for predictions of a few samples and for adapters; None to store nothing.
        save_adapters: Whether to save the trained adapter and head as well.
        tuned: The files of tuned settings, by the ids of the runs that were planned with them. They are noted in the
            records of runs that use their settings.
        validate_only: Whether to skip scoring the test splits, as in a trial of `bench tune`.
        time_limit: Maximum duration of a run in seconds; None for no limit.
        memory_limit: Maximum resident memory of a run in bytes; None for no limit.
        track: Names of the trackers to log each run to (see `bench.execution.tracking`).
        claimed_by: Token of the command's claims: a run writes files only while the token claims it (see
            `bench.execution.claims`). None if runs are not claimed.
    """

    data_root: Path | None = None
    device: str = "auto"
    results: Path | None = None
    save_adapters: bool = False
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    validate_only: bool = False
    time_limit: float | None = None
    memory_limit: int | None = None
    track: tuple[str, ...] = ()
    claimed_by: str | None = None

    @property
    def limits(self) -> bool:
        """Whether runs have limits, which another process has to enforce."""
        return self.time_limit is not None or self.memory_limit is not None


MEASURED = "measured"  # attribute of the exception that a signal raises: the record of the run that has just ended
