"""Small valid suites, settings, and files of each kind that a results folder or a cache holds."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.config.spec import Spec

REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "tests/data/records_v1/records"


def tensors() -> list[bytes]:
    from safetensors.numpy import save

    arrays = {"head.weight": np.ones((3, 4), np.float32), "head.bias": np.zeros(3, np.float16), "n": np.arange(3)}
    return [save(arrays), save({"a": np.ones((2, 2), np.float32)}, {"format": "pt"})]


def manifests() -> list[bytes]:
    """Of adapters with an empty file of a head."""
    nothing = hashlib.sha256(b"").hexdigest()
    files = {"config.json": nothing, "model-00001-of-00002.safetensors": nothing}
    on_hub = {"name": "someone/encoder", "revision": "0" * 40, "on_hub": True, "files": files}
    folder = {"name": "mine", "revision": None, "on_hub": False, "files": {"model.safetensors": nothing}}
    heads = {"head.safetensors": nothing}
    return [json.dumps({"files": heads, "encoders": {"vision": one}}).encode() for one in (on_hub, folder)]


def suites() -> list[bytes]:
    return [(REPOSITORY / "bench/suites" / name).read_bytes() for name in ("mini.toml", "check.toml")]


_TUNED = """\
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


def tuned() -> list[bytes]:
    return [_TUNED.encode()]


def records() -> list[bytes]:
    return [path.read_bytes() for path in sorted(RECORDS.glob("*.json"))]


def baselines() -> list[bytes]:
    """Return the repository's own with two methods of one task: it is small."""
    document = json.loads((REPOSITORY / "results/mini/baseline.json").read_bytes())
    task = document["tasks"]["ave"]
    task["methods"] = {name: task["methods"][name] for name in ("lora", "cola")}
    document["tasks"] = {"ave": task}
    return [json.dumps(document).encode(), json.dumps(document, indent=1).encode()]


def sample_scores() -> list[bytes]:
    contents = []
    for save in (np.savez_compressed, np.savez):
        buffer = io.BytesIO()
        save(buffer, **{"test/accuracy": np.ones(4, np.float32), "test/group": np.arange(4, dtype=np.int32)})
        contents.append(buffer.getvalue())
    return contents


def spec() -> Spec:
    """That of a run which has a record."""
    return Spec(**json.loads(records()[0])["spec"])


def efficiency() -> list[bytes]:
    from bench.measurement.spread import Spread
    from bench.profiling.record import SCHEMA, Against, Efficiency, Operations, Speed, StepMemory
    from bench.records.schema import Environment, Parameters

    spread = Spread(2.0, 1.5, 2.5)
    contents = []
    for merged in (None, spread):
        record = Efficiency(
            kind="efficiency",
            schema=SCHEMA,
            id="0123456789ab",
            spec=spec(),
            started="2026-01-01T00:00:00+00:00",
            finished="2026-01-01T00:01:00+00:00",
            batch_size=4,
            rounds=5,
            parameters=Parameters(1000, 100, 1100, total=5000, streams=3900, percent=25.6),
            operations=Operations(3e9, 1e9),
            memory=StepMemory("kept", 12_000_000, 40_000_000),
            speed=Speed(spread, spread, merged),
            against=Against("lora", spread, spread, merged, 1.31, 1.01, 1.02),
            environment=Environment("3.11.9", "Linux", "cpu", 2, {"torch": "2.13.0"}, commit=None, dirty=None),
        )
        contents.append(json.dumps(asdict(record)).encode())
    return contents


def claim_file() -> str:
    """Return where the claim of the run lies."""
    from bench.records.schema import stem

    return f"claims/{stem(spec())}.json"


def claims() -> list[bytes]:
    """Of a process that is gone, of one that lives, and of another machine."""
    from bench.execution.claims import Claim, _machine, _process_start

    gone = Claim("t", "ave cola seed 0", "here", _machine(), 2**22 + 1, 1.0, "2026-01-01T00:00:00+00:00")
    lives = replace(gone, pid=os.getpid(), process_start=_process_start(os.getpid()))
    elsewhere = replace(gone, host="elsewhere", machine="elsewhere 1")
    return [json.dumps(asdict(claim)).encode() for claim in (gone, lives, elsewhere)]


def checkpoints() -> list[bytes]:
    import torch

    state = {"training": {"weights": {"a": torch.ones(3, 2)}, "curve": [{"epoch": 1}]}, "ends": [0.5], "peak": 7}
    contents = []
    for new in (True, False):
        buffer = io.BytesIO()
        torch.save({"fingerprint": "me", "state": state}, buffer, _use_new_zipfile_serialization=new)
        contents.append(buffer.getvalue())
    return contents


SAMPLES = 4
"""In each array of decoded samples."""


def arrays() -> list[bytes]:
    contents = []
    for dtype, order in ((np.uint8, "C"), (np.float32, "F"), (np.int64, "C")):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((SAMPLES, 2, 3), dtype, order))
        contents.append(buffer.getvalue())
    return contents


def manifest_of(array: bytes, names: tuple[str, ...] = ("image", "label")) -> bytes:
    """Return the manifest of decoded samples whose arrays are all this one, which may be damaged."""
    try:
        read = np.load(io.BytesIO(array), allow_pickle=False)
        described: dict[str, object] = {"dtype": read.dtype.str, "shape": [*read.shape]}
    except Exception:
        described = {"dtype": "|u1", "shape": [SAMPLES]}
    entry = {**described, "sha256": hashlib.sha256(array).hexdigest()}
    return json.dumps({"key": "key", "arrays": dict.fromkeys(names, entry)}).encode()


def sample_manifests() -> list[bytes]:
    return [manifest_of(arrays()[0], names) for names in (("image", "label"), ("image",))]
