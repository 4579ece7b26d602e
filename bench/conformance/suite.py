"""Run the checks on a method."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from bench.conformance.checks import CHECKS, Check, Subject
from bench.errors import wording


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        check: Its name.
        claim: What it says of the method.
        result: Whether the claim holds, fails, or does not apply.
        reason: Why it fails or does not apply; "" if it holds.
    """

    check: str
    claim: str
    result: Literal["holds", "fails", "does not apply"]
    reason: str = ""


def run_checks(subject: Subject) -> Iterator[Outcome]:
    """Run each check on a method, and yield its outcome.

    Any exception of the method makes a check fail; the others still run.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are so small that sharing them out takes longer
    try:
        for check in CHECKS:
            yield _outcome(check, subject)
    finally:
        torch.set_num_threads(threads)


def _outcome(check: Check, subject: Subject) -> Outcome:
    name = check.__name__.replace("_", " ")
    claim = (check.__doc__ or "").partition("\n")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries do not concern what is checked
            reason = check(subject)
    except AssertionError as error:
        return Outcome(name, claim, "fails", wording(error))
    except Exception as error:  # whatever a third party's code raises
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {wording(error)} ({place.filename}, line {place.lineno})"
        return Outcome(name, claim, "fails", reason)
    return Outcome(name, claim, "does not apply", reason) if reason else Outcome(name, claim, "holds")
