"""The worst suites and settings, 256 KiB, and files of a results folder: JSON of 8 MiB, archives of 16."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np
import valid_results
from worst import KIBIBYTE, MEBIBYTE, add, numbered, repeated

# TOML: 256 KiB
for toml in ("suite", "tuned"):
    add(
        toml,
        {
            "a dotted key": repeated(b"a.", 256 * KIBIBYTE, last=b"a=1"),
            "a dotted key in quotes": repeated(b'"a".', 256 * KIBIBYTE, last=b"a=1"),
            "a dotted header": repeated(b"a.", 256 * KIBIBYTE, b"[", b"a]"),
            "dotted keys": numbered("a." * 30 + "a{}=1\n", 256 * KIBIBYTE),
            "lists in lists": repeated(b"[", 256 * KIBIBYTE, b"a="),
            "tables in tables": repeated(b"{a=", 256 * KIBIBYTE, b"a="),
            "many keys": numbered("a{}=1\n", 256 * KIBIBYTE),
            "many tables": numbered("[a{}]\n", 256 * KIBIBYTE),
            "many tasks": numbered("[tasks.a{}]\n", 256 * KIBIBYTE),
            "a list of tables": repeated(b"[[a]]\n", 256 * KIBIBYTE),
            "a long number": repeated(b"9", 256 * KIBIBYTE, b"a="),
        },
    )
add("tuned", {"comments": lambda: valid_results.tuned()[0] + b"#\n" * (120 * KIBIBYTE)})
# What a results folder holds: 8 MiB of JSON, archives of 16
for name in ("record", "baseline", "efficiency"):
    add(
        name,
        {
            "tables": repeated(b"{},", 8 * MEBIBYTE, b'{"schema": 1, "spec": {"a": [', b"{}]}}"),
            "lists": repeated(b"[],", 8 * MEBIBYTE, b'{"schema": 1, "spec": {"a": [', b"[]]}}"),
            "lists in lists": repeated(b"[", 8 * MEBIBYTE),
            "a number": repeated(b"9", 8 * MEBIBYTE, b'{"schema": ', b"}"),
            "keys": numbered('"{}": 0,', 8 * MEBIBYTE, '{"spec": {', '"a": 0}}'),
        },
    )


def _lists_in_record() -> bytes:
    record = json.loads(valid_results.records()[0])
    text = json.dumps({**record, "spec": {**record["spec"], "settings": {"a": "LISTS"}}})
    return text.replace('"LISTS"', "[" + "{}," * (7 * MEBIBYTE // 3) + "{}]").encode()


def _archive(entries: int, size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(entries):
            array = io.BytesIO()
            np.save(array, np.zeros(size, np.float32))
            archive.writestr(f"test{number}/accuracy.npy", array.getvalue())
    return buffer.getvalue()


add("record", {"tables in a whole one": _lists_in_record})
add(
    "samples",
    {
        "as many samples as it may have": lambda: _archive(1, 16_000_000),
        "more samples than it may have": lambda: _archive(1, 40_000_000),
        "splits": lambda: _archive(60_000, 1),
    },
)


def _tensors(entry: str, size: int) -> bytes:
    header = numbered(entry, size, "{", '"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}')()
    return struct.pack("<Q", len(header)) + header


_ENTRY = '"{}": {{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},'
add(
    "safetensors",
    {
        "as many tensors as it may have": lambda: _tensors(_ENTRY, 8 * MEBIBYTE - 200),
        "a list of 90 MB": lambda: _tensors(_ENTRY, 90_000_000),
        "lists in lists": lambda: struct.pack("<Q", 8 * MEBIBYTE) + b"[" * (8 * MEBIBYTE),
    },
)
