"""AdaLoRA as the training loop drives it: its ranks, its term in the loss, and what it counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.config.recipe import Recipe
from bench.methods.adalora import AdaLoRA
from bench.methods.cola_adalora import CoLAAdaLoRA
from bench.training.trainer import train


class Watched(AdaLoRA):
    """Notes at each turn whether there were gradients, and the mean ranks of the streams after it."""

    def before_training(self, steps):
        super().before_training(steps)
        self.steps, self.turns, self.had_gradients, self.ranks = steps, [], [], []

    def after_backward(self, step):
        matrices = [layer.lora_E["default"] for layer in self.adapters.layers()]
        self.had_gradients.append(all(E.grad is not None and bool(E.grad.any()) for E in matrices))
        super().after_backward(step)
        self.turns.append(step)
        self.ranks.append(ranks(self))


class WatchedBesideCoLA(CoLAAdaLoRA, Watched):
    pass


class Task:
    """A task without labels."""

    metric = "nothing"

    def augment(self, batch, generator):
        return batch

    def loss(self, output, batch):
        return output.square().mean()

    def score(self, output, batch):
        return {"nothing": torch.zeros(len(output))}

    def summarize(self, measured):
        return {name: values.mean().item() for name, values in measured.items()}


class Model(nn.Module):
    """Streams, and a head without parameters."""

    def __init__(self, streams):
        super().__init__()
        self.streams, self.head = streams, nn.Identity()

    def forward(self, batch):
        return torch.cat([tokens[:, 0] for tokens in self.streams(batch).values()], dim=1)


def ranks(method: AdaLoRA) -> dict[str, float]:
    """Return the mean number of non-zero singular values of each stream."""
    actual = {}
    for name, model in method.adapters.models.items():
        values = [p for key, p in model.named_parameters() if "lora_E" in key]
        actual[name] = sum(int(p.count_nonzero()) for p in values) / len(values)
    return actual


@pytest.fixture
def trained(make_model, make_inputs):
    """Attaches a method to two tiny streams and trains it for some steps, in one epoch."""

    def run(method, steps: int):
        from accelerate import Accelerator

        streams = make_model(dtype=torch.float32)
        method.attach(streams)
        samples = make_inputs(streams, batch=2 * steps)
        split = [{name: values[i] for name, values in samples.items()} for i in range(2 * steps)]
        recipe = Recipe(1, 2, 2, 1e-2, 1e-2, 0.0, 0.0, 1.0, "no")
        train(
            Model(streams),
            method,
            Task(),
            recipe,
            {"train": split, "val": split},
            Accelerator(cpu=True),
            seed=0,
            label="",
        )
        return method

    return run


@pytest.mark.parametrize("cls", [Watched, WatchedBesideCoLA])
@pytest.mark.parametrize(("init_r", "target_r"), [(6, None), (6, 2), (3, 1)])
def test_ranks_fall_to_the_target_while_the_gradients_are_there(trained, cls, init_r, target_r):
    method = trained(cls(init_r=init_r, target_r=target_r), steps=10)
    assert method.turns == list(range(10)) and method.steps == 10
    assert all(method.had_gradients), "without gradients there is no importance"
    target = method.rank
    assert target == (2 * init_r // 3 if target_r is None else target_r)
    first, last = method.ranks[0], method.ranks[-1]
    assert set(first.values()) == {init_r}
    assert set(last.values()) == {target}
    for stream in first:
        means = [step[stream] for step in method.ranks]
        assert means == sorted(means, reverse=True)
        assert means[7:] == [target] * 3, "the last 30% of the steps have the ranks of the end"
        assert target < means[3] < init_r, "it is gradual"
    assert ranks(method) == last


def test_warmup_and_interval_put_it_off(trained):
    method = trained(Watched(init_r=6, warmup=0.5, final=0.2, interval=2), steps=10)
    means = [step["vision"] for step in method.ranks]
    assert means[:6] == [6] * 6
    assert means[6] < 6 and means[7] == 6, "between two allocations the dropped ones are trained again"
    assert means[8:] == [4, 4]


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("values", [{}, {"warmup": 0.0, "final": 0.0}, {"warmup": 0.5, "final": 0.4}, {"interval": 7}])
def test_a_few_steps_are_enough(trained, steps, values):
    method = trained(Watched(init_r=6, **values), steps=steps)
    assert set(ranks(method).values()) == {6 if steps == 1 else 4}


def test_the_orthogonality_term_is_that_of_the_equation(make_model, draw):
    for cls in (AdaLoRA, CoLAAdaLoRA):
        model = make_model()
        method = cls(init_r=4, orthogonality=0.3)
        method.attach(model)
        draw(model)
        norms = []
        for name, matrix in model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                gram = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
                norms.append(((gram - torch.eye(4, dtype=gram.dtype)) ** 2).sum().sqrt())
        assert len(norms) == 2 * 5 * 6, "A and B of six linears in five blocks"
        loss = method.loss()
        torch.testing.assert_close(loss, 0.3 * sum(norms) / len(norms))
        loss.backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert reached == {name for name, _ in model.named_parameters() if "lora_A" in name or "lora_B" in name}


def test_the_orthogonality_term_may_weigh_nothing(make_model, draw):
    model = make_model()
    method = AdaLoRA(init_r=4, orthogonality=0.0)
    method.attach(model)
    draw(model)
    loss = method.loss()
    assert loss.item() == 0
    loss.backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.parameters())


def test_orthogonal_matrices_cost_nothing(make_model):
    model = make_model()
    method = AdaLoRA(init_r=4)
    method.attach(model)
    for name, p in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            q = torch.linalg.qr(torch.randn(max(p.shape), 4, dtype=p.dtype)).Q
            p.data = q.T.contiguous() if "lora_A" in name else q
    loss = method.loss()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", [AdaLoRA, CoLAAdaLoRA])
def test_parameters_in_use_are_those_of_singular_values_that_are_not_0(make_model, cls, dtype):
    model = make_model(dtype=dtype)
    method = cls(init_r=4)
    method.attach(model)
    trained = sum(model.get_parameter(name).numel() for name in method.adapter_names(model))
    inter = sum(p.numel() for name, p in model.named_parameters() if name.startswith("inter."))
    sizes = {"vision": (32, 48), "audio": (24, 40)}
    single = {name: 4 * (2 * width + 1) + 2 * (width + inner + 1) for name, (width, inner) in sizes.items()}
    assert trained - inter == 4 * (3 * single["vision"] + 2 * single["audio"])
    assert method.active_parameters() == trained, "at the start all are 0, and none is dropped"

    with torch.no_grad():
        for layer in method.adapters.layers():
            layer.lora_E["default"].fill_(0.1)
        vision = model.streams["vision"]
        vision.encoder.get_submodule(vision.linears(0)["q"]).lora_E["default"][1] = 0
        vision.encoder.get_submodule(vision.linears(2)["fc1"]).lora_E["default"].zero_()  # all of one linear
    assert method.active_parameters() == trained - (32 + 32 + 1) - 4 * (32 + 48 + 1)


def test_what_was_saved_after_the_allocation_is_loaded_into_the_trained_model(trained, tmp_path):
    method = trained(Watched(init_r=6), steps=4)
    expected = {key: tensor.clone() for key, tensor in method.model.state_dict().items()}
    method.save(tmp_path)
    with torch.no_grad():
        for parameter in method.model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    method.load(tmp_path)
    actual = method.model.state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"init_r": 1}, "init_r must be at least 2"),
        ({"target_r": 0}, "target_r must be at least 1 and less than init_r, which is 24"),
        ({"init_r": 8, "target_r": 8}, "target_r must be at least 1 and less than init_r, which is 8"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"orthogonality": -0.1}, "orthogonality must not be below 0"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"warmup": -0.1}, "warmup and final must not be below 0"),
        ({"warmup": 0.5, "final": 0.5}, "their sum must be less than 1"),
    ],
)
def test_settings_without_sense_are_told(values, message):
    with pytest.raises(ValueError, match=message):
        AdaLoRA(**values)


@pytest.mark.parametrize(("target_r", "target"), [(None, None), (12, 5), (23, 9), (1, 1)])
def test_turning_the_size_keeps_the_ratios(target_r, target):
    method = AdaLoRA(init_r=24, target_r=target_r, alpha=12.0)
    changed = method.with_size("init_r", 10)
    assert changed == {"init_r": 10, "alpha": 5.0} | ({} if target_r is None else {"target_r": target})
    assert AdaLoRA(**changed).scale == method.scale
    assert method.size_settings == ("init_r",)
