"""Fenced snippets of the documentation, and how tests run them.

An HTML comment on the line above a fence says how it is tested: `<!-- snippet: MODE: reason -->`. Modes:

- none: commands and Python run, with invented measurements in place of training;
- `train`: they train for real, on a few generated videos for one epoch;
- `plan`: options are parsed and the runs planned, since the fence needs what a test does not have (give the reason);
- `syntax`: the shell's syntax and the programs' names are checked (give the reason).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

LANGUAGES = {"sh", "python", "toml", "yaml", "json", "text"}
MODES = {"", "train", "plan", "syntax"}

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>.*)$")
_COMMENT = re.compile(r"^ *<!-- snippet: (?P<mode>\w+)(?:: (?P<reason>.+))? -->$")


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page.

    Attributes:
        path: the page.
        line: the number of the fence's line.
        language: the word after the backticks.
        text: the content, without the fence's indentation.
        mode: how it is tested; see the module.
        reason: why it is not run, where it is not.
    """

    path: Path
    line: int
    language: str
    text: str
    mode: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """The page and the line, for messages."""
        return f"{self.path}:{self.line}"

    @property
    def problems(self) -> list[str]:
        """A problem of the fence itself."""
        problems = []
        if self.language not in LANGUAGES:
            problems.append(
                f"{self.place}: a fence needs one of the languages {sorted(LANGUAGES)}, not {self.language!r}"
            )
        if self.mode not in MODES:
            problems.append(f"{self.place}: unknown mode {self.mode!r}, expected one of {sorted(MODES)}")
        if self.mode in ("plan", "syntax") and not self.reason:
            problems.append(f"{self.place}: mode {self.mode} needs a reason")
        return problems

    @property
    def commands(self) -> list[list[str]]:
        """The words of each shell command; lines that end in a backslash go on."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        words = (shlex.split(line, comments=True) for line in lines)
        return [command for command in words if command]


def snippets(path: Path) -> list[Snippet]:
    """Return the fenced blocks of a Markdown file.

    Raises:
        ValueError: a fence is not closed.
    """
    parsed, lines, number = [], path.read_text(encoding="utf-8").splitlines(), 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if not fence:
            number += 1
            continue
        begin, indent = number, fence["indent"]
        content: list[str] = []
        number += 1
        while number < len(lines) and lines[number].strip() != fence["ticks"]:
            content.append(lines[number].removeprefix(indent))
            number += 1
        if number == len(lines):
            raise ValueError(f"{path}:{begin + 1}: this fence is not closed")
        number += 1
        comment = _COMMENT.match(lines[begin - 1]) if begin else None
        mode, reason = (comment["mode"], comment["reason"] or "") if comment else ("", "")
        language = fence["info"].strip().split(" ")[0]
        place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        parsed.append(Snippet(place, begin + 1, language, "\n".join(content) + "\n", mode, reason))
    return parsed


def pages() -> list[Path]:
    """Return the pages whose snippets are tested, in a reader's order."""
    navigation = re.findall(r":\s+([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    documentation = [ROOT / "docs" / name for name in navigation]
    files = [ROOT / "README.md", *documentation, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
    files += sorted((ROOT / "examples").rglob("*.md"))
    return [path for path in dict.fromkeys(files) if path.is_file()]
