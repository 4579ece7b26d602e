"""A tiny fixed model with known losses: whatever changes the numbers of a method shows here.

To write the losses anew after a change that is meant: `GOLDEN=write pytest tests/methods/test_golden.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ASTConfig, BertConfig, Dinov2Config

from bench import registry
from bench.config import validate
from bench.methods.base import Method
from bench.methods.inter_modal_adapter import inter_modal_tensors
from bench.streams.inputs import AudioInput, ImageInput, TextInput
from bench.streams.load import build_stream
from bench.streams.lockstep import MultiStream
from bench.tasks.ave import AVE
from bench.tasks.heads import ClassTokens
from bench.tasks.model import TaskModel

GOLDEN = Path(__file__).parents[1] / "data" / "golden_losses.json"
LORA = {"r": 2, "alpha": 1.0}
ADALORA = {"init_r": 3, "target_r": 1, "alpha": 1.5, "warmup": 0.0}
INTER = {"reduction": 2, "inter_scale": 0.1}
METHODS = {
    "lora": ("lora", LORA),
    "cola": ("cola", LORA | INTER),
    "cola mean": ("cola", LORA | {"reduction": 2, "summary": "mean"}),
    "full": ("full", {}),
    "dora": ("dora", LORA),
    "adalora": ("adalora", ADALORA),
    "cola-dora": ("cola-dora", LORA | INTER),
    "cola-adalora": ("cola-adalora", ADALORA | INTER),
    "lora-plus": ("lora-plus", LORA),
    "vpt": ("vpt", {"tokens": 2}),
    "adapter": ("adapter", {"bottleneck": 2}),
    "lavish": ("lavish", {"bottleneck": 2}),
    "dg-sct": ("dg-sct", {"bottleneck": 2, "gates": 4}),
    "peft:vera": ("peft:vera", {"r": 4}),
    "peft:ia3": ("peft:ia3", {}),
    "peft:ln_tuning": ("peft:ln_tuning", {}),
    "cola+peft:ia3": ("cola+peft:ia3", {"inter_r": 2} | INTER),
}
THREE = {
    "cola, three streams": ("cola", LORA | INTER),
    "cola, three streams, two paths": ("cola", LORA | INTER | {"paths": ["audio>vision", "text>vision"]}),
    "cola, three streams, shared": ("cola", LORA | INTER | {"shared": True, "summary": "mean"}),
    "cola, three streams, joint": ("cola", LORA | INTER | {"joint": True}),
    "lavish, three streams": ("lavish", {"bottleneck": 2}),
    "dg-sct, three streams": ("dg-sct", {"bottleneck": 2, "gates": 4}),
}
"""With a text for each sample of three images and sounds."""
STEPS = 5


def model(texts: bool = False) -> TaskModel:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    vision = Dinov2Config(image_size=16, patch_size=8, num_hidden_layers=4, mlp_ratio=2, layerscale_value=1.0, **sizes)
    audio = ASTConfig(
        num_mel_bins=16, max_length=16, patch_size=8, frequency_stride=8, time_stride=8, num_hidden_layers=2, **sizes
    )
    streams = {
        "vision": build_stream(vision, ImageInput(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))),
        "audio": build_stream(audio, AudioInput(16_000, 16, 16, -4.0, 4.0)),
    }
    if texts:
        text = BertConfig(vocab_size=20, max_position_embeddings=6, num_hidden_layers=2, **sizes)
        streams["text"] = build_stream(text, TextInput("none", 6))
    head = ClassTokens(dict.fromkeys(streams, 8), hidden=4, classes=3)
    return TaskModel(MultiStream(streams), head).double().eval()  # without BERT's dropout


def added_tokens(streams: MultiStream) -> list[torch.nn.Parameter]:
    return [parameter for stream in streams.streams.values() for parameter in stream.added.parameters()]


def losses(method: Method, texts: bool = False) -> list[float]:
    """Return the losses of some steps, including the method's term.

    All weights and inputs, and what a method draws without training it, come from NumPy, whose random numbers are
    stable. They are assigned in the order of the modules, since names differ between versions of transformers.
    """
    rng = np.random.default_rng(0)
    built = model(texts)
    buffer_ids = {id(buffer) for buffer in built.buffers()}
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            spread = rng.standard_normal(parameter.shape) * 0.2
            parameter.copy_(torch.from_numpy(spread + (parameter.ndim == 1 and "norm" in name and "weight" in name)))
    method.attach(built.streams)
    built.double()  # PEFT makes some of its matrices in float32
    inter = inter_modal_tensors(built.streams)
    with torch.no_grad():
        for name, stream in built.streams.streams.items():
            trained = [p for p in stream.encoder.parameters() if p.requires_grad]
            terms = [p for key, p in inter.items() if key.startswith(f"{name}.") and not key.endswith("scale")]
            for parameter in trained + terms:
                parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape) * 0.2))
        for parameter in [*built.streams.adapters.parameters(), *added_tokens(built.streams)]:
            parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape) * 0.2))
        for buffer in built.streams.buffers():
            if id(buffer) not in buffer_ids:
                buffer.copy_(torch.from_numpy(rng.standard_normal(buffer.shape) * 0.2))
    batch = {
        "vision": torch.from_numpy(rng.integers(0, 256, (2, 3, 3, 16, 16), dtype=np.uint8)),
        "audio": torch.from_numpy(rng.standard_normal((2, 3, 16, 16)) * 4 - 4),
        "label": torch.from_numpy(rng.integers(0, 3, (2, 3))),
    }
    if texts:
        batch["text"] = torch.tensor([[[2, 7, 9, 4, 3, 0]], [[2, 11, 5, 3, 0, 0]]])
    # uint8 pictures are normalized in float32: the model's own precision from there on.
    batch["vision"] = batch["vision"].double() / 255
    factors = {name: group.lr_factor for group in method.parameter_groups().values() for name in group.names}
    trained = {name: p for name, p in built.named_parameters() if p.requires_grad}
    rates = [(p, factors.get(name.removeprefix("streams."), 1)) for name, p in trained.items()]
    optimizer = torch.optim.AdamW([{"params": [p], "lr": 1e-2 * factor} for p, factor in rates])
    method.before_training(STEPS)
    observed = []
    for step in range(STEPS):
        output = built(batch)
        loss = torch.nn.functional.cross_entropy(output.flatten(0, 1), batch["label"].flatten())
        assert AVE().loss(output, batch).item() == pytest.approx(loss.item(), abs=1e-6)
        if (extra := method.loss()) is not None:
            loss = loss + extra
        loss.backward()
        optimizer.step()
        method.after_backward(step)
        optimizer.zero_grad()
        observed.append(loss.item())
    return observed


@pytest.mark.parametrize("name", [*METHODS, *THREE])
def test_losses_are_the_known_ones(name):
    method, values = {**METHODS, **THREE}[name]
    actual = losses(validate.build(registry.load("methods", method), values, method), texts=name in THREE)
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(json.dumps({**stored, name: actual}, indent=2) + "\n")
    else:  # rounding comes to some 1e-15 in float64, and to more where a step divides by little
        assert actual == pytest.approx(stored[name], abs=1e-8)
    assert actual[-1] < actual[0]
