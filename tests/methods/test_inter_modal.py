from __future__ import annotations

import math

import pytest
import torch
from stream_states import states_of
from torch import nn

from bench.methods.inter_modal import Hypernetwork, InterModal
from bench.methods.inter_modal_adapter import attach_inter_modal, inter_modal_tensors


def hypernetwork_parameters(c: int, r: int, h: int) -> int:
    return c * h + 3 * h + h * r**2 + 3 * r**2


@pytest.mark.parametrize(("c", "r", "h"), [(768, 16, 48), (96, 16, 48), (20, 4, 1), (33, 3, 8)])
def test_parameters_of_one_linear(c, r, h):
    term = InterModal((30, 50), c, r, h, scale=0.1)
    assert sum(p.numel() for p in term.hyper.parameters()) == hypernetwork_parameters(c, r, h)
    assert sum(p.numel() for p in term.parameters()) == r * (30 + 50) + hypernetwork_parameters(c, r, h) + 1


def test_the_published_count_of_one_hypernetwork():
    assert sum(p.numel() for p in Hypernetwork(768, 16, 48).parameters()) == 50_064


def test_row_vector_form(draw):
    """For each sample x A_c^T Phi^T B_c^T, with both norms written out."""
    term = InterModal((6, 5), width=8, r=3, hidden=4, scale=0.3).double()
    draw(term)
    x, x_c = torch.randn(4, 7, 6, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)

    def norm(values, layer):
        centred = values - values.mean()
        return centred / torch.sqrt((centred**2).mean() + 1e-6) * layer.weight + layer.bias

    hyper = term.hyper
    for sample in range(4):
        hidden = hyper.fc1.weight @ x_c[sample] + hyper.fc1.bias
        hidden = norm(0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))), hyper.norm1)
        phi = norm((hyper.fc2.weight @ hidden + hyper.fc2.bias).reshape(3, 3), hyper.norm2)
        expected = term.scale * (x[sample] @ term.A.T @ phi.T @ term.B.T)
        torch.testing.assert_close(term(x, x_c)[sample], expected, rtol=1e-12, atol=1e-12)


def test_initial_values():
    torch.manual_seed(0)
    term = InterModal((400, 300), width=512, r=16, hidden=128, scale=0.1)
    assert term.scale.item() == pytest.approx(0.1)
    assert not term.B.any()
    assert term.A.abs().max() <= math.sqrt(1 / 400)  # Kaiming uniform with a = sqrt(5)
    assert term.A.std().item() == pytest.approx(math.sqrt(1 / 400 / 3), rel=0.05)
    for linear in (term.hyper.fc1, term.hyper.fc2):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not linear.bias.any()
    for norm in (term.hyper.norm1, term.hyper.norm2):
        assert isinstance(norm, nn.LayerNorm) and norm.eps == 1e-6
        assert (norm.weight == 1).all() and not norm.bias.any()
    assert term.hyper.norm2.weight.shape == (16, 16)


def test_only_paired_blocks_have_inter_modal_paths(make_model):
    model = make_model({"vision": 4, "audio": 2})
    attach_inter_modal(model, r=2, reduction=4, scale=0.1)
    actual = [key.split(".")[:4] for key in inter_modal_tensors(model) if key.endswith(".A")]
    paired = (("vision", "1", "audio"), ("vision", "3", "audio"), ("audio", "0", "vision"), ("audio", "1", "vision"))
    roles = ("q", "k", "v", "o", "fc1", "fc2")
    assert actual == [[name, block, role, partner] for name, block, partner in paired for role in roles]


def test_partners_sum(make_model, make_inputs, make_plain_term, draw):
    """With three streams a linear's output is its own and the term of each of the two partners."""
    model = make_model({"vision": 2, "audio": 2, "audio2": 3})
    attach_inter_modal(model, r=2, reduction=4, scale=0.1)
    draw(model)
    stream = model.streams["vision"]
    widths = {name: second.width for name, second in model.streams.items()}
    summaries = {name: torch.randn(3, width, dtype=torch.float64) for name, width in widths.items()}
    partners = {name: summaries[name] for name in ("audio", "audio2")}
    x = torch.randn(3, 5, 32, dtype=torch.float64)
    for role, stage in (("q", "attend"), ("fc1", "feed_forward")):
        (output,) = stream.apply_linears(1, (role,), x, model.inter["1"][stage][0].read(states_of(summaries))["vision"])
        expected = stream.encoder.get_submodule(stream.linears(1)[role])(x)
        for name, summary in partners.items():
            expected = expected + make_plain_term(model, "vision", 1, role, name)(x, summary)
        torch.testing.assert_close(output, expected)
    assert all(torch.isfinite(tokens).all() for tokens in model(make_inputs(model)).values())
