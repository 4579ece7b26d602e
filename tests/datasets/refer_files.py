"""Small releases of the RefCOCO family, with pickles like those of Python 2."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def python2_pickle(value: Any, protocol: int) -> bytes:
    """Return what Python 2 writes: `bytes` here are its byte strings, `str` its unicode."""
    return (b"\x80\x02" if protocol == 2 else b"") + _instructions(value, protocol) + b"."


def _instructions(value: Any, protocol: int) -> bytes:
    if isinstance(value, dict):
        pairs = [_instructions(key, protocol) + _instructions(item, protocol) for key, item in value.items()]
        return b"(d" + b"".join(pair + b"s" for pair in pairs) if protocol == 0 else b"}(" + b"".join(pairs) + b"u"
    if isinstance(value, list):
        parts = [_instructions(part, protocol) for part in value]
        return b"(l" + b"".join(part + b"a" for part in parts) if protocol == 0 else b"](" + b"".join(parts) + b"e"
    if isinstance(value, bytes):
        if protocol == 0:
            return b"S" + repr(value)[1:].encode("ascii") + b"\n"
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, str):
        if protocol == 0:  # of a narrow build: beyond 16 bits, two halves
            halves = struct.iter_unpack("<H", value.encode("utf-16-le"))
            return (
                b"V" + b"".join(bytes([h]) if 31 < h < 127 and h != 92 else b"\\u%04x" % h for (h,) in halves) + b"\n"
            )
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return b"I0%d\n" % value if protocol < 2 else (b"\x88" if value else b"\x89")
    if value is None:
        return b"N"
    if isinstance(value, float):
        return b"F" + repr(value).encode() + b"\n" if protocol == 0 else b"G" + struct.pack(">d", value)
    if abs(value) < 2**31:
        return b"I%d\n" % value if protocol == 0 else b"J" + struct.pack("<i", value)
    return b"L%dL\n" % value


def ref(
    number: int, split: Any = "train", sents: tuple[bytes, ...] = (b"the red one",), **keys: Any
) -> dict[bytes, Any]:
    """Return a ref to object 10 * number of image `number`; a key that is None is left out."""
    reference = {
        "ref_id": number,
        "ann_id": 10 * number,
        "image_id": number,
        "category_id": 3,
        "file_name": b"COCO_train2014_%012d_%d.jpg" % (number, number),
        "split": split.encode() if isinstance(split, str) else split,
        "sent_ids": [100 * number + place for place in range(len(sents))],
        "sentences": [
            {"sent_id": 100 * number + place, "sent": sent, "raw": sent + b" (raw)", "tokens": sent.split()}
            for place, sent in enumerate(sents)
        ],
    }
    reference.update(keys)
    return {key.encode(): value for key, value in reference.items() if value is not None}


def image(number: int, **keys: Any) -> dict[str, Any]:
    """Return an image, 40 wide and 30 high."""
    return {"id": number, "file_name": f"COCO_train2014_{number:012d}.jpg", "height": 30, "width": 40, **keys}


def annotation(number: int, **keys: Any) -> dict[str, Any]:
    """Object 10 * number, of image `number`: the pixels of columns 10 to 19 and rows 5 to 19."""
    square = [[10.0, 5.0, 20.0, 5.0, 20.0, 20.0, 10.0, 20.0]]
    return {
        "id": 10 * number,
        "image_id": number,
        "category_id": 3,
        "bbox": [10.0, 5.0, 10.0, 15.0],
        "segmentation": square,
        "iscrowd": 0,
        **keys,
    }


def write_release(
    root: Path,
    refs: list[dict[Any, Any]],
    folder: str = "refcoco",
    refs_name: str = "refs(unc).p",
    images: list[dict[str, Any]] | None = None,
    annotations: list[dict[str, Any]] | None = None,
    protocol: int = 0,
    pictures: str = "images/train2014",
) -> Path:
    """A release with three images, or those given, and one object in each; each image 40 x 30 and of its own gray."""
    images = [image(number) for number in (1, 2, 3)] if images is None else images
    annotations = [annotation(number) for number in (1, 2, 3)] if annotations is None else annotations
    (root / folder).mkdir(parents=True, exist_ok=True)
    instances = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "thing"}]}
    (root / folder / "instances.json").write_text(json.dumps(instances))
    (root / folder / refs_name).write_bytes(python2_pickle(refs, protocol))
    (root / pictures).mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        gray = Image.fromarray(np.full((30, 40), 50 * number, dtype=np.uint8))
        gray.convert("RGB").save(root / pictures / f"COCO_train2014_{number:012d}.jpg", quality=95)
    return root
