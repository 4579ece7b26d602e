"""Fuzzes one reader guided by coverage, with Atheris (https://github.com/google/atheris): `pip install .[fuzz]`, then

    python tests/fuzz/guided.py png -max_total_time=600

The options are libFuzzer's. What breaks the reader is kept in the working folder as crash-<hash>.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

GUIDING = ["bench", "PIL", "tomllib", "tomlkit", "csv", "json", "pickle", "zipfile", "numpy.lib"]
"""Packages of which every branch that is reached is looked at; extensions in C guide nothing."""


def main(name: str, options: list[str]) -> None:
    """Fuzzes a reader until libFuzzer's options say to stop."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, corpus = Path(scratch, "reads"), Path(scratch, "valid")
        with atheris.instrument_imports(include=GUIDING):
            from targets import TARGETS
            from test_fuzz_readers import check

            if name not in TARGETS:
                sys.exit(f"no reader {name}: there are {', '.join(TARGETS)}")
            target = TARGETS[name]
            target.take(folder, target.seeds[0])  # readers import what they need when they need it
        corpus.mkdir()
        for number, content in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(content)

        def once(content: bytes) -> None:
            check(target, folder, content)
            if target.repair:
                check(target, folder, target.repair(content))

        atheris.Setup([sys.argv[0], "-max_len=20000", *options, str(corpus)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:2] or "?", sys.argv[2:])
