"""Errors that are reported to the user as a single message, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from bench.text import escape

_MAX_LIBRARY_MESSAGE = 2000  # characters
_MAX_QUOTED = 60  # characters of user input
_MAX_MISTAKES = 50  # of one command: in a wrong kind of file, every line may have one

T = TypeVar("T")


def shortened(text: object) -> str:
    """Return user input as messages quote it: long input, such as a number of 1,000 digits, loses its middle."""
    words = str(text)
    return words if len(words) <= _MAX_QUOTED else f"{words[: _MAX_QUOTED // 2]}...{words[-_MAX_QUOTED // 2 :]}"


class BenchError(Exception):
    """A problem that its message describes in full; the command exits with `exit_code`.

    Messages may quote untrusted files, so they are escaped for the terminal.

    Args:
        problems: One message, or one for each mistake.
    """

    exit_code = 1

    def __init__(self, problems: str | Sequence[str] = "") -> None:
        messages = [problems] if isinstance(problems, str) else problems
        self.problems = [escape.terminal(message) for message in messages]
        super().__init__("\n".join(self.problems))


class UsageError(BenchError):
    """A request, in a command or a suite, for something that does not exist or is not allowed."""

    exit_code = 2


class DataError(BenchError):
    """A missing or broken file; the message names the path, the sample, what was expected and what to do."""


class Terminated(BaseException):
    """A signal that asks the process to end; the message has its number and name."""


def wording(error: BaseException) -> str:
    """Return an error's message; its type's name if the message is empty, as a decoder's may be.

    Messages are cut, since some libraries quote a whole file.
    """
    message = f"there is no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return message if len(message) <= _MAX_LIBRARY_MESSAGE else f"{message[:_MAX_LIBRARY_MESSAGE]} ..."


class Mistakes:
    """A collection of errors in what the user gave, so that all mistakes of a command are reported at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, problem: str) -> None:
        """Add a mistake, unless it is already known or there are too many."""
        if len(self.problems) < _MAX_MISTAKES and problem not in self.problems:
            self.problems.append(problem)
            if len(self.problems) == _MAX_MISTAKES:
                self.problems.append("... there may be more; the search stopped here")

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Add the mistakes of a UsageError or DataError raised in the block, and continue after it."""
        try:
            yield
        except (UsageError, DataError) as error:
            for problem in error.problems:
                self.add(problem)

    def checked(self, read: Callable[[], T]) -> T:
        """Return what a function returns, unless it or anything before has mistakes.

        Raises:
            UsageError: Lists every mistake added so far, and those of the function.
        """
        try:
            returned = read()
        except (UsageError, DataError) as error:
            for problem in error.problems:
                self.add(problem)
        self.raise_if_any()
        return returned

    def raise_if_any(self) -> None:
        """Raise if any mistake was added.

        Raises:
            UsageError: Lists every mistake added so far.
        """
        if self.problems:
            raise UsageError(self.problems)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the names nearest to an unknown one, then all, as in "did you mean lora? known: cola, lora"."""
    known = sorted(known)
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, cutoff=0.65)
    question = f"did you mean {' or '.join(by_lower_case[match] for match in matches)}? " if matches else ""
    return f"{question}known: {', '.join(known) or 'none'}"
