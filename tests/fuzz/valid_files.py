"""Small valid files of each kind that the readers of foreign files take, and what makes damaged ones valid in part."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "tests/data/records_v1/records"


def ave_tables() -> list[bytes]:
    plain = "Category&VideoID&Quality&Start&End\nMale speech, man speaking&_aB-1234567&good&2&4\nBark&xyz&good&0&10\n"
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()]


def avs_tables() -> list[bytes]:
    plain = 'name,video_id,category,split\n-a_1,-a,dog_barking,train\nb 2,b,"baby, laughter",test\nc,c,dog,val\n'
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()]


def instances() -> list[bytes]:
    square = [[10.0, 5.0, 20.0, 5.0, 20.0, 20.0, 10.0, 20.0]]
    masks = [square, {"size": [30, 40], "counts": [400, 300, 500]}, {"size": [30, 40], "counts": "`<\\9d?"}]
    document = {
        "images": [{"id": n, "file_name": f"COCO_{n:012d}.jpg", "height": 30, "width": 40} for n in range(3)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 3, "bbox": [10.0, 5.0, 10.0, 15], "segmentation": mask}
            for n, mask in enumerate(masks)
        ],
        "categories": [{"id": 3, "name": "thing"}],
    }
    return [json.dumps(document).encode(), json.dumps(document, indent=1).encode()]


def refs() -> list[bytes]:
    refs = [
        {
            "ref_id": n,
            "ann_id": n,
            "image_id": n,
            "category_id": 3,
            "split": "train",
            "sentences": [{"sent_id": 10 * n, "sent": "the left one", "raw": "The left one", "tokens": ["left"]}],
        }
        for n in range(3)
    ]
    return [pickle.dumps(refs, protocol) for protocol in (0, 2, 4)]


def pictures(form: str) -> list[bytes]:
    made = []
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 4), dtype=np.uint8)
    for mode in {"PNG": ("RGB", "L", "P", "RGBA", "1", "LA"), "JPEG": ("RGB", "L", "CMYK")}[form]:
        image, buffer = Image.fromarray(pixels).convert(mode), io.BytesIO()
        image.save(buffer, form, progressive=mode == "L")
        made.append(buffer.getvalue())
    return made


def with_checksums(content: bytes) -> bytes:
    """A PNG file with each chunk's checksum as it should be, as far as its lengths can be followed."""
    fixed, at = bytearray(content), 8
    while at + 12 <= len(fixed):
        length = int.from_bytes(fixed[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)


def recordings() -> list[bytes]:
    wave = np.sin(np.arange(2000) / 7)
    made = []
    for rate, channels, subtype in ((16_000, 1, "PCM_16"), (44_100, 2, "FLOAT"), (8_000, 1, "IMA_ADPCM")):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([wave] * channels, 1), rate, format="WAV", subtype=subtype)
        made.append(buffer.getvalue())
    return made


def tensors() -> list[bytes]:
    from safetensors.numpy import save

    arrays = {"head.weight": np.ones((3, 4), np.float32), "head.bias": np.zeros(3, np.float16), "n": np.arange(3)}
    return [save(arrays), save({"a": np.ones((2, 2), np.float32)}, {"format": "pt"})]


def with_length(content: bytes) -> bytes:
    """A safetensors file whose first number is the length of its header, padded."""
    end = content.rfind(b"}") + 1
    return struct.pack("<Q", max(end - 8, 0)) + content[8:] if end else content


def suites() -> list[bytes]:
    return [(REPOSITORY / "bench/suites" / name).read_bytes() for name in ("mini.toml", "check.toml")]


TUNED = """\
# about
[tuning]
suite = "mini"
trials = 8
epochs = "suite"
seeds = [0, 1]
set = ["ave.epochs=2"]
date = "2026-01-01T00:00:00+00:00"
version = "0.1"

[tasks.ave.methods.lora]
# best of 8
lr_adapter = 1e-3
r = 8

[tasks."refcoco:box".methods."cola+dora"]
lr_adapter = 0.002
"""


def records() -> list[bytes]:
    return [path.read_bytes() for path in sorted(RECORDS.glob("*.json"))]


def baselines() -> list[bytes]:
    """The repository's own with two methods of one task: it is small."""
    document = json.loads((REPOSITORY / "results/mini/baseline.json").read_bytes())
    task = document["tasks"]["ave"]
    task["methods"] = {name: task["methods"][name] for name in ("lora", "cola")}
    document["tasks"] = {"ave": task}
    return [json.dumps(document).encode(), json.dumps(document, indent=1).encode()]


def sample_scores() -> list[bytes]:
    made = []
    for save in (np.savez_compressed, np.savez):
        buffer = io.BytesIO()
        save(buffer, **{"test/accuracy": np.ones(4, np.float32), "test/group": np.arange(4, dtype=np.int32)})
        made.append(buffer.getvalue())
    return made
