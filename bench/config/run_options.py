"""Options of a command that do not affect what its runs measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.config.tuned_settings import Tuned


@dataclass(frozen=True)
class RunOptions:
    """What a command says of its runs that does not alter what they measure.

    Attributes:
        data_root: folder of the official releases, or of the generated data's cache; None for the user's cache folder.
        device: "auto", "cpu" or "cuda".
        results: results folder in which predictions of a few samples are kept, and adapters; None to keep nothing.
        save_adapters: keep the trained adapter and head as well.
        tuned: the file that settings were taken from, for the records of the runs that have them.
        validate_only: train and validate and score no test split, as in a trial of `bench tune`.
        time_limit: seconds that a run may take; None for any.
        memory_limit: bytes of resident memory that a run may take; None for any.
        track: names of the trackers that are told of each run (see `bench.execution.tracking`).
        claimed_by: token of the command's claims, without which a run writes nothing (see `bench.execution.claims`);
            None where no run is claimed.
    """

    data_root: Path | None = None
    device: str = "auto"
    results: Path | None = None
    save_adapters: bool = False
    tuned: Tuned | None = None
    validate_only: bool = False
    time_limit: float | None = None
    memory_limit: int | None = None
    track: tuple[str, ...] = ()
    claimed_by: str | None = None

    @property
    def limits(self) -> bool:
        """Whether a run has to be watched, from another process."""
        return self.time_limit is not None or self.memory_limit is not None


MEASURED = "measured"  # attribute of what a signal raises: the record of the run that had just ended
