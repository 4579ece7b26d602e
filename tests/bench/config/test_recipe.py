from __future__ import annotations

import pytest

from bench.config.recipe import Recipe

RIGHT = {
    "epochs": 1,
    "batch_size": 1,
    "eval_batch_size": 1,
    "lr_adapter": 1e-3,
    "lr_head": 1e-3,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "clip": 0.0,
    "precision": "auto",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("lr_head", -1.0),
        ("clip", -1.0),
        ("warmup", 1.0),
        ("beta2", 1.0),
        ("passes", 0),
        ("train_share", 0.0),
        ("train_share", 1.1),
    ],
)
def test_values_without_sense_are_refused(name, value):
    Recipe(**RIGHT)
    with pytest.raises(ValueError, match=name):
        Recipe(**RIGHT | {name: value})
