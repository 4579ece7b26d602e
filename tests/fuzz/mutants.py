"""Damage to valid files: bytes changed, parts cut out, doubled and exchanged, and words put for others."""

from __future__ import annotations

import re
from functools import lru_cache

from hypothesis import strategies as st

# Numbers at the ends of types, names that lead elsewhere, marks of the formats: what readers are known to stumble at.
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


@lru_cache(maxsize=1024)
def _words(content: bytes) -> list[tuple[int, int]]:
    """Where words, numbers, and quoted texts are in what is, or as if it were, text."""
    return [found.span() for found in re.finditer(rb'"[^"\n]*"|[\w.+-]+', content)]


@st.composite
def mutants(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of some valid files after up to four changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        content = _changed(draw, content, seeds)
    return content


def _changed(draw: st.DrawFn, content: bytes, seeds: list[bytes]) -> bytes:
    kind = draw(st.sampled_from(("word", "word", "word", "byte", "cut", "over", "in", "out", "double", "splice")))
    if kind == "word" and (spans := _words(content)):
        start, end = spans[draw(st.integers(0, len(spans) - 1))]
        return content[:start] + draw(st.sampled_from(WORDS)) + content[end:]
    # Half of the places are near the beginning, where headers are.
    at = draw(st.integers(0, min(len(content), draw(st.sampled_from((80, len(content) + 1))))))
    end = at + draw(st.sampled_from((1, 4, 30)))
    if kind == "cut":
        return content[:at]
    if kind == "out":
        return content[:at] + content[end:]
    if kind == "double":
        return content[:end] + content[at:]
    if kind == "splice":
        return content[:at] + draw(st.sampled_from(seeds))[at:]
    if kind == "byte":
        return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    word = draw(st.sampled_from(WORDS))
    return content[:at] + word + content[at + len(word) * (kind == "over") :]
