"""Run the checks on a method."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from traceback import walk_tb
from types import FrameType
from typing import Literal

import torch

from bench import registry
from bench.conformance.checks import CHECKS, Check, attaches, describes_itself
from bench.conformance.subject import Subject
from bench.errors import BenchError, wording
from bench.methods.base import Method


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        check: Its name.
        claim: What it says of the method.
        result: Whether the claim holds, fails, does not apply, or could not be checked since the method cannot be
            attached.
        reason: Why it fails, does not apply or was not run; "" if it holds.
    """

    check: str
    claim: str
    result: Literal["holds", "fails", "does not apply", "not run"]
    reason: str = ""


def run_checks(subject: Subject) -> Iterator[Outcome]:
    """Run each check on a method, and yield its outcome.

    Any exception of the method makes a check fail; the others still run, unless it cannot be attached at all.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are so small that sharing them out takes longer
    is_attachable = True
    try:
        for check in CHECKS:
            if is_attachable or check is describes_itself:
                outcome = _outcome(check, subject)
            else:
                outcome = Outcome(*_texts(check), "not run", "attach failed")
            if check is attaches:
                is_attachable = outcome.result == "holds"
            yield outcome
    finally:
        torch.set_num_threads(threads)


def _texts(check: Check) -> tuple[str, str]:
    """Return the name of a check, and what it says of a method."""
    return check.__name__.replace("_", " "), (check.__doc__ or "").partition("\n")[0]


def _outcome(check: Check, subject: Subject) -> Outcome:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries do not concern what is checked
            reason = check(subject)
    except AssertionError as error:  # of the check, or of the method
        return Outcome(*_texts(check), "fails", wording(error) + _place(error, _frames_of_method(error, subject)))
    except BenchError as error:  # its message says what the method did
        reason = f"{type(error).__name__}: {error}{_place(error, _frames_of_method(error, subject))}"
        return Outcome(*_texts(check), "fails", reason)
    except (Exception, SystemExit) as error:  # whatever a third party's code raises
        frames = _frames_of_method(error, subject) or [frame for frame, _ in walk_tb(error.__traceback__)]
        return Outcome(*_texts(check), "fails", f"{type(error).__name__}: {wording(error)}{_place(error, frames)}")
    return Outcome(*_texts(check), "does not apply", reason) if reason else Outcome(*_texts(check), "holds")


def _place(error: BaseException, frames: Sequence[FrameType]) -> str:
    """Return the file and the line of the last of these frames in an exception's traceback; "" without frames."""
    lines = [(frame, line) for frame, line in walk_tb(error.__traceback__) if frames and frame is frames[-1]]
    return f" ({lines[-1][0].f_code.co_filename}, line {lines[-1][1]})" if lines else ""


def _frames_of_method(error: BaseException, subject: Subject) -> list[FrameType]:
    """Return the frames of a traceback that are in the package of the method's class, or else of one it derives from.

    They come outermost first, so the last is where the method's code did what failed: torch raises deeper down.
    """
    for cls in registry.load("methods", subject.name).__mro__:
        if cls is Method:
            break
        package = "bench.methods" if cls.__module__.startswith("bench.") else cls.__module__.partition(".")[0]
        frames = [frame for frame, _ in walk_tb(error.__traceback__) if _is_in(frame, package)]
        if frames:
            return frames
    return []


def _is_in(frame: FrameType, package: str) -> bool:
    return f"{frame.f_globals.get('__name__', '')}.".startswith(f"{package}.")
