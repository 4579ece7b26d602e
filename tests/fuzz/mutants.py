"""Damage to valid files: changed bytes, parts cut out, duplicated and exchanged, replaced words and values.

Everything is drawn from a `random.Random`: hypothesis would take longer to draw a file than any reader to read it, and
shrinking bytes explains nothing.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence, Sequence
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

# Numbers at the limits of types, paths that lead elsewhere, markers of formats: common causes of failures.
WORDS = [
    *(b"", b"0", b"-1", b"1e999", b"-0.0", b"1e308", b"NaN", b"nan", b"inf", b"Infinity", b"null", b"true", b"none"),
    *(b"9" * 30, b"9" * 400, b"9" * 5000, b"18446744073709551616", b"4294967295", b"2147483648", b"0x10", b"1_0"),
    *(b"..", b".", b"../../etc/passwd", b"/etc/passwd", b"a/b", b"a\\b", b"C:", b"C:x", b"~", b".. ", b"x" * 300),
    *(b"\0", b"a\0b", b"\r", b"\n", b"\r\n", b"\t", b"\x1b[2J", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"\xc2\x85"),
    *(b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xa8", b"\xef\xbc\x91", b"'", b'"', b'""', b"'''", b'"""', b"\\", b"#"),
    *(b"[]", b"{}", b"[[]]", b"[", b"{", b"]", b"}", b",", b"&", b":", b"=", b"=[", b'{"a":', b"(", b")", b"."),
    *(b"[" * 3000, b'{"a":' * 3000, b"[" * 100_000, b'"a"', b'[{"a": []}]', b"[1, 2]", b"2026-01-01", b"__class__"),
    *(b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff" * 8),
    *(b"\x20\0\0\0", b"\0\0\x20\0", b"IDAT", b"acTL", b"iCCP", b"zTXt", b"\xff\xd8", b"\xff\xc2", b"\xff\xdd", b"data"),
    *(b"cos\nsystem\n", b"c__builtin__\neval\n", b"R", b"\x93", b"fmt ", b"fact", b"LIST", b"RIFF", b"I64", b"F8_E4M3"),
]

# Values for documents of plain values, each of which may replace any other.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, math.inf, math.nan),
    *(
        "",
        "a",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "\0",
        "\x1b[2J",
        "\ud800",
        "1",
        "nan",
        "x" * 300,
    ),
    *([], {}, [[]], [None], [0] * 300, ["a"], {"a": 1}, {"": {}}, [{}], [[0.0, 1.0]], [1, 2, 3, 4]),
]


class Form(NamedTuple):
    """How a file of plain values is read and written, so that values are exchanged and it stays whole."""

    loads: Callable[[bytes], Any]
    dumps: Callable[[Any], bytes]


JSON = Form(json.loads, lambda document: json.dumps(document).encode())
PICKLE = Form(pickle.loads, lambda document: pickle.dumps(document, 2))  # it reads the valid ones only


def mutant(random: Random, seeds: Sequence[bytes], form: Form | None = None) -> bytes:
    """Return one of some valid files after up to four changes; half of the time, where it has a form, to its values."""
    content = random.choice(seeds)
    if form and random.random() < 0.5:
        document = [form.loads(content)]
        for _ in range(random.choice((1, 1, 2, 4))):
            _change_value(random, document)
        return form.dumps(document[0])
    for _ in range(random.randint(1, 4)):
        content = _changed(random, content, seeds)
    return content


def _change_value(random: Random, document: list[Any]) -> None:
    """Replace, remove or duplicate a value."""
    places = list(_places(document))
    holder, key = random.choice(places)
    kind = random.choice(("value", "value", "value", "other", "out", "more"))
    if kind == "value" or holder is document:
        holder[key] = copy.deepcopy(random.choice(VALUES))
    elif kind == "other":
        source, other_key = random.choice(places[1:])
        holder[key] = copy.deepcopy(source[other_key])
    elif kind == "out":
        del holder[key]
    elif isinstance(holder, MutableMapping):
        holder[random.choice(("a", "", f"{key}\0", f"{key} "))] = copy.deepcopy(holder[key])
    else:
        holder.insert(key, copy.deepcopy(holder[key]))


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key of every value in nested lists and tables."""
    if isinstance(holder, MutableMapping | MutableSequence):
        for key in holder if isinstance(holder, MutableMapping) else range(len(holder)):
            yield holder, key
            yield from _places(holder[key])


@lru_cache(maxsize=64)
def _words(content: bytes) -> list[tuple[int, int]]:
    """Return the spans of words, numbers and quoted texts, in text or in bytes taken as text."""
    return [match.span() for match in re.finditer(rb'"[^"\n]*"|[\w.+-]+', content)]


def _changed(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    kind = random.choice(("word", "word", "word", "byte", "cut", "over", "in", "out", "double", "splice"))
    if kind == "word" and (spans := _words(content)):
        start, end = random.choice(spans)
        return content[:start] + random.choice(WORDS) + content[end:]
    # Half of the positions are near the beginning, where headers are.
    at = random.randint(0, min(len(content), random.choice((80, len(content)))))
    end = at + random.choice((1, 4, 30))
    if kind == "cut":
        return content[:at]
    if kind == "out":
        return content[:at] + content[end:]
    if kind == "double":
        return content[:end] + content[at:]
    if kind == "splice":
        return content[:at] + random.choice(seeds)[at:]
    if kind == "byte":
        return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]
    word = random.choice(WORDS)
    return content[:at] + word + content[at + len(word) * (kind == "over") :]
