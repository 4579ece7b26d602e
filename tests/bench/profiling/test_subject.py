"""What is counted of one method agrees with what can be computed by hand."""

from __future__ import annotations

import pytest
import torch

from bench import registry
from bench.streams.roles import STAGES

R, REDUCTION = 4, 8


def tokens(stream):
    rows, columns = stream.grid
    return stream.special + rows * columns


def low_rank(streams, inputs):
    """Operations of one low-rank path beside every linear, for so many inputs."""
    return sum(
        2 * inputs * tokens(stream) * R * sum(stream.features(block, role))
        for stream in streams.values()
        for block in range(stream.depth)
        for role in stream.linears(block)
    )


def folded(streams):
    """Operations of s B A of every linear, which are done once a batch where no gradients are needed."""
    return sum(
        2 * R * stream.features(block, role)[0] * stream.features(block, role)[1]
        for stream in streams.values()
        for block in range(stream.depth)
        for role in stream.linears(block)
    )


def test_operations_of_lora_and_cola_are_those_of_the_formula(make_subjects):
    subjects = make_subjects(["head", "lora", "cola"], samples=3)
    streams, seconds = subjects["head"].model.streams.streams, 10
    actual = {name: subject.operations() for name, subject in subjects.items()}
    lora = low_rank(streams, seconds)
    assert actual["lora"].score - actual["head"].score == pytest.approx(folded(streams) / 3)
    forward_and_backward = actual["lora"].train - actual["head"].train
    assert forward_and_backward > 2 * lora
    mixing = sum(2 * seconds * tokens(stream) * R**2 for stream in streams.values() for _ in range(6))
    hidden = 64 // REDUCTION
    hypernetworks = 2 * 6 * 2 * seconds * (64 * hidden + hidden * R**2)
    # where streams have more linears, both stages hold them; here each block has the six of ViT
    assert sum(len(stream.linears(0)) for stream in streams.values()) == 2 * 6 and len(STAGES) == 3
    assert actual["cola"].score - actual["lora"].score == lora + mixing + hypernetworks


@pytest.mark.parametrize("method", [name for name in registry.names("methods") if "<" not in name])
def test_every_method_can_be_measured(make_subjects, method):
    subjects = make_subjects(dict.fromkeys(["head", method]))
    subject = subjects[method]
    counted, frozen = subject.operations(), subjects["head"].operations()
    assert counted.train > counted.score >= frozen.score
    assert subject.memory().step > 0
    with subject.merged():
        subject.score()


def test_operations_of_training(make_subjects):
    """The backward pass of what is trained is twice the forward pass, but for inputs; of what is frozen it is once."""
    subjects = make_subjects(["head", "lora", "full"])
    actual = {name: subject.operations() for name, subject in subjects.items()}
    streams = subjects["full"].model.streams.streams
    places = {name: 10 * stream.grid[0] * stream.grid[1] for name, stream in streams.items()}
    patches = {name: next(p for p in stream.parameters() if p.dim() == 4) for name, stream in streams.items()}
    embedding = sum(2 * places[name] * patches[name].numel() for name in streams)
    assert actual["full"].train == 3 * actual["full"].score - embedding
    assert 1.5 < actual["lora"].train / actual["lora"].score < 2.1
    assert actual["full"].train > actual["lora"].train > actual["head"].train > actual["head"].score


def test_work_that_is_done_once_a_batch_is_shared_by_its_samples(make_subjects):
    """What DoRA adds to the weights, and their norms, cost the same for one sample and for four."""
    one_sample, four = (make_subjects(["dora", "head"], samples=samples) for samples in (1, 4))
    extra = [
        by_method["dora"].operations().score - by_method["head"].operations().score for by_method in (one_sample, four)
    ]
    assert extra == [pytest.approx(2 * folded(one_sample["head"].model.streams.streams) / n) for n in (1, 4)]


def test_checkpointing_costs_operations_and_saves_memory(make_subjects):
    plain = make_subjects(["lora"])["lora"]
    thrifty = make_subjects(["lora"], overrides=["train.gradient_checkpointing=true"])["lora"]
    assert thrifty.operations().train > 1.3 * plain.operations().train
    assert thrifty.memory().step < 0.5 * plain.memory().step


def test_memory_tells_what_is_kept_and_what_is_there_anyway(make_subjects):
    one_sample, two_samples = (make_subjects(["lora"], samples=n)["lora"] for n in (1, 2))
    small, large = one_sample.memory(), two_samples.memory()
    assert small.kind == "kept"
    assert large.step == pytest.approx(2 * small.step, rel=0.1)
    weights = 4 * sum(p.numel() for p in one_sample.model.parameters())
    state = 2 * 4 * one_sample.parameters.trainable
    batches = sum(values.nbytes for batch in (one_sample.train, one_sample.test) for values in batch.values())
    assert small.resident == pytest.approx(weights + state + batches, rel=0.01)
    assert large.resident - small.resident == batches


def test_a_micro_batch_keeps_less(make_subjects):
    whole = make_subjects(["lora"], samples=4)["lora"]
    parts = make_subjects(["lora"], samples=4, overrides=["train.micro_batch=1"])["lora"]
    assert parts.memory().step < 0.3 * whole.memory().step
    assert parts.operations().train == whole.operations().train


@pytest.mark.parametrize("method", ["adalora", "cola", "full"])
def test_steps_train(make_subjects, method):
    subject = make_subjects([method])[method]
    trained = [p for p in subject.model.parameters() if p.requires_grad]
    initial = [p.detach().clone() for p in trained]
    with subject.training():
        subject.step()
    assert subject.model.training
    assert any(not torch.equal(a, b) for a, b in zip(initial, trained, strict=True))
