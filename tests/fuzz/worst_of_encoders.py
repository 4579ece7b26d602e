"""The worst files of an encoder's folder: 1 MiB of configuration, 16 of a tokenizer."""

from __future__ import annotations

import json

from worst import MEBIBYTE, add, numbered, repeated

# Encoders: 1 MiB of configuration, 16 of a tokenizer
_WORDS = ('{"version": "1.0", "added_tokens": [', '], "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {')
_VOCABULARY = (
    '"the": 5, "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}, '
    '"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}'
)
_ADDED = (
    '{{"id": {0}, "content": "a{0}", "single_word": false, "lstrip": false, "rstrip": false, '
    '"normalized": true, "special": false}},'
)


def _added_tokens(count: int) -> bytes:
    added = "".join(map(_ADDED.format, range(5, count)))[:-1]
    return ("".join((_WORDS[0], added, _WORDS[1])) + _VOCABULARY + "}").encode()


def _regular_expression(pattern: str) -> bytes:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    words = json.loads("".join(_WORDS) + _VOCABULARY + "}")
    return json.dumps({**words, "pre_tokenizer": split}).encode()


for name in ("config", "config of text"):
    add(
        name,
        {
            "lists": repeated(b"[],", MEBIBYTE, b'{"a": [', b"[]]}"),
            "lists in lists": repeated(b"[", MEBIBYTE, b'{"a": '),
            "a table too large": repeated(b"[],", 100 * MEBIBYTE, b'{"a": [', b"[]]}"),
            "sizes": lambda: json.dumps(
                {
                    "model_type": "vit",
                    "hidden_size": 2**40,
                    "image_size": 2**30,
                    "patch_size": 1,
                    "intermediate_size": 2**40,
                }
            ).encode(),
        },
    )
add(
    "tokenizer",
    {
        "lists": repeated(b"[],", 16 * MEBIBYTE, b'{"a": [', b"[]]}"),
        "lists in lists": repeated(b"[", 16 * MEBIBYTE, b'{"a": '),
        "words": numbered('"w{0}": {0},', 16 * MEBIBYTE, "".join(_WORDS), _VOCABULARY + "}"),
        "added tokens": lambda: _added_tokens(100_000),
        "a regular expression that goes back": lambda: _regular_expression(r"(([a ]+)+)+[!-#]"),
        "a regular expression that repeats": lambda: _regular_expression("(a{1,1000}){1,1000}"),
    },
)
add("vocabulary", {"words": numbered("{}\n", 16 * MEBIBYTE)})
add("shards", {"names": numbered('"{}": "a",', 16 * MEBIBYTE, '{"weight_map": {', '"a": "a"}}')})
