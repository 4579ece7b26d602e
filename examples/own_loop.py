"""Adapters in your own training loop: two pretrained encoders with CoLA between them, and nothing else of bench.

`python examples/own_loop.py` takes a few seconds and needs no data: it overfits random inputs.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import Method, MultiStream, load_stream, make_method

SAMPLES, CLASSES, STEPS = 8, 3, 10


def build() -> tuple[MultiStream, Method]:
    """Return two frozen encoders with a method attached; only the method's parameters are trainable."""
    # These embedded encoders are small; a folder or hub id of a ViT, DINOv2, AST or BERT checkpoint works as well.
    model = MultiStream({"vision": load_stream("embedded:vision-v2"), "audio": load_stream("embedded:audio-v1")})
    method = make_method("cola", r=4, reduction=8)  # or "lora", "dora", "cola+peft:ia3", ...
    method.attach(model)
    return model, method


def features(model: MultiStream, inputs: dict[str, Tensor]) -> Tensor:
    """Return the concatenated class tokens of both streams: (samples, width of vision + width of audio)."""
    tokens = model(inputs)  # by stream: (samples, tokens, width)
    return torch.cat([tokens[name][:, 0] for name in model.streams], dim=1)


def main() -> None:
    """Train, save, load and merge."""
    torch.manual_seed(0)
    model, method = build()
    # For real media, `model.streams["vision"].input.normalize(images)` returns the inputs.
    inputs = {"vision": torch.randn(SAMPLES, 3, 56, 56), "audio": torch.randn(SAMPLES, 98, 128)}
    labels = torch.randint(CLASSES, (SAMPLES,))
    head = nn.Linear(sum(stream.width for stream in model.streams.values()), CLASSES)

    trained = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    model.train()
    method.before_training(STEPS)
    for step in range(STEPS):
        loss = F.cross_entropy(head(features(model, inputs)), labels)
        method_loss = method.loss()  # some methods add a term, such as AdaLoRA's orthogonality
        (loss if method_loss is None else loss + method_loss).backward()
        optimizer.step()
        method.after_backward(step)  # before the gradients are cleared: AdaLoRA allocates its ranks by them
        optimizer.zero_grad()
        print(f"step {step}: loss {loss.item():.4f}")

    with TemporaryDirectory() as folder:
        method.save(Path(folder))  # settings, a PEFT folder for each stream, and the inter-modal path
        loaded_model, loaded_method = build()
        loaded_method.load(Path(folder))
    loaded_method.merge()  # faster: adds LoRA's part to the weights; the inter-modal path depends on the input

    model.eval()
    loaded_model.eval()
    with torch.inference_mode():
        max_abs_difference = (features(loaded_model, inputs) - features(model, inputs)).abs().max()
    print(f"saved, loaded and merged: the features differ by {max_abs_difference:.1g} at most")


if __name__ == "__main__":
    main()
