"""Every method passes the checks of `bench check-method`."""

from __future__ import annotations

import pytest

from bench import registry
from bench.conformance.checks import CHECKS
from bench.conformance.subject import Subject

SETTINGS = {
    "head": {},
    "full": {},
    "lora": {"r": 3},
    "dora": {"r": 3},
    "adalora": {"init_r": 4},
    "cola": {"r": 3, "reduction": 4},
    "cola-dora": {"r": 3, "reduction": 4},
    "cola-adalora": {"init_r": 4, "reduction": 4},
    "lora-plus": {"r": 3},
    "vpt": {"tokens": 3},
    "adapter": {"bottleneck": 4},
    "lavish": {"bottleneck": 4},
    "dg-sct": {"bottleneck": 4, "gates": 8},
    "peft:vera": {"r": 6},
    "peft:ia3": {},
    "peft:oft": {"oft_block_size": 4},
    "peft:loha": {"r": 2},
    "peft:lokr": {"r": 2},
    "peft:ln_tuning": {},
    "peft:hra": {"r": 2},
    "peft:fourierft": {"n_frequency": 20},
    "cola+peft:ia3": {"inter_r": 2, "reduction": 4},
    "cola+peft:vera": {"r": 6, "inter_r": 2, "reduction": 4},
    "cola+peft:ln_tuning": {"inter_r": 2, "reduction": 4},
    "cola+head": {"inter_r": 2, "reduction": 4},
    # Of third parties, from conftest.py: an exchange of its own, and parameters beside those of PEFT.
    "gated": {},
    "cola+gated": {"inter_r": 2, "reduction": 4},
    "lora-and-norms": {"r": 3},
    "cola+lora-and-norms": {"r": 3, "reduction": 4},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_method_conforms(check, name):
    check(Subject(name, SETTINGS[name]))


def test_every_registered_method_is_checked():
    families = {"cola+<method>", "peft:<type>"}
    assert set(registry.names("methods")) - families <= SETTINGS.keys()


def test_promises_are_those_of_the_intra_modal_method():
    """The path of CoLA inherits them: it neither merges nor changes what PEFT saves."""
    for name in ("lora", "head", "peft:fourierft", "lora-and-norms"):
        intra, combined = registry.load("methods", name), registry.load("methods", f"cola+{name}")
        for promise in ("starts_as_frozen", "merges", "opens_in_peft"):
            assert getattr(combined, promise) == getattr(intra, promise), f"{name}: {promise}"
