"""Adapters in a training loop of one's own: two pretrained encoders with CoLA between them, and nothing else of bench.

`python examples/own_loop.py` takes some seconds and needs no data: it learns random inputs by heart.
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
    """Return two encoders side by side, frozen, and the method attached: what is trainable now is the method's."""
    # A folder or a hub id of a ViT, DINOv2, AST or BERT checkpoint does as well as these small embedded ones.
    model = MultiStream({"vision": load_stream("embedded:vision-v2"), "audio": load_stream("embedded:audio-v1")})
    method = make_method("cola", r=4, reduction=8)  # or "lora", "dora", "cola+peft:ia3", ...
    method.attach(model)
    return model, method


def features(model: MultiStream, inputs: dict[str, Tensor]) -> Tensor:
    """Return the class tokens of both streams, one after the other: (samples, width of vision + width of audio)."""
    tokens = model(inputs)  # by the name of the stream: (samples, tokens, width)
    return torch.cat([tokens[name][:, 0] for name in model.streams], dim=1)


def main() -> None:
    """Train, saves, loads and merges."""
    torch.manual_seed(0)
    model, method = build()
    # Of real media, `model.streams["vision"].input.normalize(images)` makes the inputs.
    inputs = {"vision": torch.randn(SAMPLES, 3, 56, 56), "audio": torch.randn(SAMPLES, 98, 128)}
    labels = torch.randint(CLASSES, (SAMPLES,))
    head = nn.Linear(sum(stream.width for stream in model.streams.values()), CLASSES)

    trained = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    model.train()
    method.before_training(STEPS)
    for step in range(STEPS):
        loss = F.cross_entropy(head(features(model, inputs)), labels)
        extra = method.loss()  # some methods have a term of their own: AdaLoRA's orthogonality
        (loss if extra is None else loss + extra).backward()
        optimizer.step()
        method.after_backward(step)  # before the gradients are cleared: AdaLoRA allots its ranks by them
        optimizer.zero_grad()
        print(f"step {step}: loss {loss.item():.4f}")

    with TemporaryDirectory() as folder:
        method.save(Path(folder))  # settings, PEFT's folder of each stream, and the inter-modal path
        again, its_method = build()
        its_method.load(Path(folder))
    its_method.merge()  # for speed: LoRA's part goes into the weights, the inter-modal path depends on the input

    model.eval()
    again.eval()
    with torch.inference_mode():
        difference = (features(again, inputs) - features(model, inputs)).abs().max()
    print(f"saved, loaded and merged: the features differ by {difference:.1g} at most")


if __name__ == "__main__":
    main()
