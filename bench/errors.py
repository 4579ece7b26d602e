"""The errors that a user is told of in one message, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.text import escape

_LONGEST = 2000  # characters of what a library's error says
_QUOTED = 60  # characters of what the user gave
_MOST_MISTAKES = 50  # of one command: a file that is something else altogether may have one in every line


def shortened(text: object) -> str:
    """What a message quotes of the user's input: of a number of thousands of digits its ends."""
    words = str(text)
    return words if len(words) <= _QUOTED else f"{words[: _QUOTED // 2]}...{words[-_QUOTED // 2 :]}"


class BenchError(Exception):
    """A problem that one message tells in full; the command ends with `exit_code`. Messages quote foreign files."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(escape.terminal(message))


class UsageError(BenchError):
    """A command or a suite that asks for something that is not there.

    Args:
        problems: one message, or one for each mistake.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [escape.terminal(each) for each in ([problems] if isinstance(problems, str) else problems)]
        super().__init__("\n".join(self.problems))


class DataError(BenchError):
    """A missing or broken file: the message names its path, its sample, what was expected and what to do."""


class Terminated(BaseException):
    """The process is asked to end by a signal, whose number and name the message tells."""


def wording(error: BaseException) -> str:
    """What an error says; its name where it says nothing, as a decoder's errors may.

    What libraries quote of a file may be as long as the file, and is cut.
    """
    told = f"there is no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]} ..."


class Mistakes:
    """Gathers usage errors, so that all the mistakes of one command are told at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, problem: str) -> None:
        """Notes one mistake, once, unless there are many already."""
        if len(self.problems) < _MOST_MISTAKES and problem not in self.problems:
            self.problems.append(problem)
            if len(self.problems) == _MOST_MISTAKES:
                self.problems.append("... and perhaps more, which are not looked for")

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Notes the mistakes of a UsageError raised inside, and goes on after the block."""
        try:
            yield
        except UsageError as error:
            for problem in error.problems:
                self.add(problem)

    def raise_if_any(self) -> None:
        """Ends the gathering.

        Raises:
            UsageError: with every mistake noted so far.
        """
        if self.problems:
            raise UsageError(self.problems)
