"""The worst files of each kind are read or refused within a gigabyte and a minute of processor time (`make fuzz`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from measured import MAX_BYTES, MAX_SECONDS
from worst_files import WORST


@pytest.mark.skipif(settings().max_examples < 1000, reason="takes minutes, and gigabytes of disk")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("reader", sorted({worst.reader for worst in WORST.values()}))
def test_the_worst_files_take_no_more_than_a_gigabyte_and_a_minute(reader):
    script = Path(__file__).with_name("measured.py")
    process = subprocess.run([sys.executable, script, reader], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith('{"name"')]
    assert process.returncode == 0, f"after {[line['name'] for line in lines]}: {process.stderr[-2000:]}"
    assert {line["name"] for line in lines} == {name for name, worst in WORST.items() if worst.reader == reader}
    for line in lines:
        assert line["bytes"] < MAX_BYTES and line["seconds"] < MAX_SECONDS, line
        assert line["length"] < 8000 and "MemoryError" not in line["message"], line
