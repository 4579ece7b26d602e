"""Fuzzes one reader, guided by coverage, with Atheris (https://github.com/google/atheris).

Install it with `pip install .[fuzz]`, then run

    python tests/fuzz/guided.py png -max_total_time=600

The options are libFuzzer's. Files that break the reader are written to the working folder as crash-<hash>.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

GUIDING = ["bench", "PIL", "tomllib", "tomlkit", "csv", "json", "pickle", "zipfile", "numpy.lib"]
"""Packages whose covered branches guide the fuzzer; C extensions do not."""


def main(name: str, options: list[str]) -> None:
    """Fuzz a reader until libFuzzer's options end it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, corpus = Path(scratch, "reads"), Path(scratch, "valid")
        with atheris.instrument_imports(include=GUIDING):
            from targets import TARGETS
            from test_fuzz_readers import check

            if name not in TARGETS:
                sys.exit(f"no reader {name}: there are {', '.join(TARGETS)}")
            target = TARGETS[name]
            target.take(folder, target.seeds[0])  # readers import lazily
        corpus.mkdir()
        for number, content in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(content)

        def read_twice(content: bytes) -> None:
            check(target, folder, content)
            if target.repair:
                check(target, folder, target.repair(content))

        atheris.Setup([sys.argv[0], "-max_len=20000", *options, str(corpus)], read_twice)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:2] or "?", sys.argv[2:])
