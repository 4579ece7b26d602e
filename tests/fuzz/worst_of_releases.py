"""The worst annotation files: pickles of 64 MiB, JSON of 384 and of 24, tables of 2 and 8."""

from __future__ import annotations

import pickle
import struct

from worst import MEBIBYTE, add, numbered, repeated

# REFER pickles: 64 MiB, and JSON in COCO's format: 384 MiB
PICKLE, COCO = 64 * MEBIBYTE, 384 * MEBIBYTE
add(
    "refer",
    {
        name: repeated(part, PICKLE, b"\x80\x04](", b"e.")
        for name, part in {
            "dicts": b"}",
            "lists": b"]",
            "marks": b"(",
            "remembered dicts": b"}\x94",
            "numbers": b"M\xff\xff",
            "floats": b"G\0\0\0\0\0\0\0\0",
            "texts": b"U\x02ab",
            "remembered texts": b"U\x02ab\x94",
            "small dicts": b"}U\x01aNs",
            "small lists": b"]Na",
            "small tuples": b"N\x85",
            "nothing": b"N",
        }.items()
    }
    | {
        "tuples in tuples": repeated(b"\x85", PICKLE, b"\x80\x02)", b"."),
        "a large number": lambda: b"\x80\x02]\x8b" + struct.pack("<i", PICKLE - 20) + b"\x01" * (PICKLE - 20) + b"a.",
        "a large number in digits": repeated(b"9", PICKLE, b"(lL", b"L\na."),
        "a wide text": lambda: (
            b"\x80\x02]X" + struct.pack("<I", PICKLE - 20) + "\U0001f600".encode() + b"a" * (PICKLE - 24) + b"a."
        ),
        "one sentence over and over": lambda: _shared_sentence(10**7),
        "as many wrong refs as it may have": lambda: pickle.dumps([{"ref_id": n} for n in range(490_000)], 2),
        "as many sentences as it may have": lambda: _shared_sentence(490_000),
        "a long sentence": lambda: _shared_sentence(1, "a" * (PICKLE - 10_000)),
    },
)


def _shared_sentence(count: int, text: str = "a") -> bytes:
    sentence = {"sent_id": 1, "sent": text}
    keys = {"ref_id": 1, "ann_id": 0, "image_id": 0, "category_id": 3, "split": "train"}
    return pickle.dumps([{**keys, "sentences": [sentence] * count}], 2)


_IMAGES = ", ".join(f'{{"id": {n}, "file_name": "a.jpg", "height": 10000, "width": 10000}}' for n in range(3))
_BEFORE = '{"images": [' + _IMAGES + '], "categories": [{"id": 3}], "annotations": ['


def _annotation(segmentation: str) -> bytes:
    """Three objects of three images, as the refs name them, of which the first has this segmentation."""
    keys = '{{"id": {0}, "image_id": {0}, "category_id": 3, "bbox": [10, 5, 10, 15], "segmentation": {1}}}'
    masks = (segmentation, _FULL, _FULL)
    return (_BEFORE + ", ".join(keys.format(n, mask) for n, mask in enumerate(masks)) + "]}").encode()


_FULL = '{"size": [10000, 10000], "counts": [0, 100000000]}'
add(
    "coco",
    {
        "lists": repeated(b"[],", COCO, b'{"a": [', b'[]], "images": [], "annotations": []}'),
        "lists in a segmentation": lambda: _annotation("[" + "[]," * (COCO // 3 - 400) + "[]]"),
        "lists in a segmentation that is read": lambda: _annotation("[" + "[]," * (4 * MEBIBYTE // 3 - 10) + "[]]"),
        "tables": repeated(b"{},", COCO, b'{"a": [', b'{}], "images": [], "annotations": []}'),
        "as many objects as it may have": lambda: (
            _BEFORE
            + ",".join(f'{{"id":{n},"image_id":1,"category_id":3,"bbox":[],"segmentation":[]}}' for n in range(799_000))
            + " " * (COCO - 80 * MEBIBYTE)
            + "]}"
        ).encode(),
        "a number": repeated(b"9", COCO, b'{"images": [{"id": ', b"}]}"),
        "a text": repeated(b"a", COCO, b'{"images": [{"id": "', b'"}]}'),
        "lists in lists": repeated(b"[", COCO, b'{"images": '),
        "full parts of a large picture": lambda: _annotation("[" + ", ".join([_FULL] * 10_000) + "]"),
        "many runs in a large picture": lambda: _annotation(
            '{"size": [10000, 10000], "counts": [' + "1, " * 1_300_000 + f"{10**8 - 1_300_000}]}}"
        ),
        "a polygon of many points": lambda: _annotation("[[" + "0, 0, 1, 1, " * 300_000 + "0, 0]]"),
    },
)

# MUSIC-AVQA's questions: 24 MiB
QUESTIONS = 24 * MEBIBYTE
_QUESTION = (
    '{{"video_id":"a","question_id":{},"type":"[\\"Audio\\",\\"Counting\\"]",'
    '"question_content":"a","templ_values":"[]","anser":"b{}"}},'
)
add(
    "avqa",
    {
        "lists": repeated(b"[],", QUESTIONS, b"[", b"[]]"),
        "tables": repeated(b"{},", QUESTIONS, b"[", b"{}]"),
        "deleted questions": repeated(b'{"question_deleted":1},', QUESTIONS, b"[", b"{}]"),
        "lists in lists": repeated(b"[", QUESTIONS),
        "a text": repeated(b"a", QUESTIONS, b'["', b'"]'),
        "a number": repeated(b"9", QUESTIONS, b"[", b"]"),
        "as many questions as it may have": numbered(
            _QUESTION.replace("{}", "{0}"), QUESTIONS, "[", _QUESTION.format(1, 1)[:-1] + "]"
        ),
    },
)

# Tables: 2 MiB
add(
    "ave",
    {
        "lines": repeated(b"\n", 2 * MEBIBYTE),
        "wrong lines": repeated(b"ab\n", 2 * MEBIBYTE),
        "categories": numbered("c{}&v&g&0&1\n", 2 * MEBIBYTE),
    },
)
_TABLE = b"name,category,split\n"
add(
    "avsbench",
    {
        "a header of many columns": lambda: b"name,category,split" + b",a" * 500_000 + b"\n" + b"a,b,train\n" * 100_000,
        "columns": repeated(b"ab,", 2 * MEBIBYTE, _TABLE),
        "wrong rows": repeated(b"a\n", 2 * MEBIBYTE, _TABLE),
        "a text": repeated(b"a", 2 * MEBIBYTE, _TABLE + b'"'),
        "quotes": repeated(b'""', 2 * MEBIBYTE, _TABLE + b'"'),
    },
)

_HEADER = b"vid,uid,split,fid,exp\n"
add(
    "refavs",
    {
        "a header of many columns": lambda: _HEADER[:-1] + b",a" * 2_000_000 + b"\n" + b"a,b,train\n" * 400_000,
        "columns": repeated(b"ab,", 8 * MEBIBYTE, _HEADER),
        "rows": repeated(b"a,a_a_1,val,0,a\n", 8 * MEBIBYTE, _HEADER),
        "wrong rows": repeated(b"a\n", 8 * MEBIBYTE, _HEADER),
        "a text": repeated(b"a", 8 * MEBIBYTE, _HEADER + b'"'),
        "quotes": repeated(b'""', 8 * MEBIBYTE, _HEADER + b'"'),
    },
)
