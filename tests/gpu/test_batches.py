"""Batches: pinned in memory and copied to the device, and in the order of channels that convolutions prefer."""

from __future__ import annotations

import pytest
import torch

from bench.data.loader import Decoded, TensorDataset, load, on_device

pytestmark = pytest.mark.gpu

COLUMNS = {
    "vision": torch.arange(10 * 3 * 8 * 8, dtype=torch.float32).reshape(10, 3, 8, 8),
    "label": torch.arange(10),
}


def decoded():
    samples = [{name: column[index].numpy() for name, column in COLUMNS.items()} for index in range(10)]
    return Decoded(samples, range(10))


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # which no accelerator on a CPU can use
@pytest.mark.parametrize("dataset", [TensorDataset(COLUMNS), decoded()], ids=["tensors", "decoded"])
def test_pinned_batches_arrive_whole(device, dataset):
    loader = load(dataset, 4, pin=True)
    pinned = [{name: values.is_pinned() for name, values in batch.items()} for batch in loader]
    assert pinned == [dict.fromkeys(COLUMNS, device == "cuda")] * 3
    arrived = list(on_device(loader, torch.device(device)))
    assert {values.device.type for batch in arrived for values in batch.values()} == {device}
    for name, column in COLUMNS.items():
        # Without synchronizing first: what is computed of a batch must wait for its copy.
        assert torch.equal(torch.cat([batch[name] for batch in arrived]).cpu(), column)


def channels_last(values):
    """Return the same values, (..., channels, height, width), with the channels last in memory."""
    return values.movedim(-3, -1).contiguous().movedim(-1, -3)


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_channels_last_gives_the_same_losses(make, method):
    """In both the images and the convolutions, of the encoder and of the segmentation head."""
    first, second = (make(method, "avs") for _ in range(2))
    second.model.to(memory_format=torch.channels_last)
    second.train = {**second.train, "vision": channels_last(second.train["vision"])}
    assert not second.train["vision"].is_contiguous()
    convolutions = [m.weight for m in second.model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert convolutions and all(w.is_contiguous(memory_format=torch.channels_last) for w in convolutions)
    for subject in (first, second):
        subject.model.train()
    for _ in range(3):
        assert second.loss().item() == pytest.approx(first.loss().item(), rel=1e-2)  # TF32 in both
        first.step()
        second.step()
