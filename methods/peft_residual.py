"""LoRA that starts from a part of the weights: PiSSA and OLoRA train this part and freeze the rest, W - s B0 A0.

The saved tensors are the updates [B, -B0] and [A; A0], a plain LoRA of twice the rank on the unchanged weights:

    (W - s B0 A0) + s B A = W + s [B, -B0] [A; A0]

A saved adapter is therefore independent of the decomposition, which may differ on another machine or for other draws.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

Tensors = Mapping[str, Tensor]


def splits_weights(config: PeftConfig) -> bool:
    """Return whether PEFT moves a part of the weights into a new adapter."""
    init = getattr(config, "init_lora_weights", None)
    return isinstance(init, str) and (init == "olora" or init.startswith("pissa"))


def tensors(model: PeftModel) -> dict[str, Tensor]:
    """Return the tensors that PEFT would save of an adapter."""
    return get_peft_model_state_dict(model, save_embedding_layers=False)


def factors(model: PeftModel) -> dict[str, Tensor]:
    """Return a copy of A and B of every linear, by their saved names."""
    return {name: value.detach().clone() for name, value in tensors(model).items() if _axis(name) is not None}


def updates(model: PeftModel, start: Tensors) -> dict[str, Tensor]:
    """Return the tensors to save of an adapter that started from the factors `start`."""
    return {
        name: value if (axis := _axis(name)) is None else torch.cat([value, (1, -1)[axis] * start[name]], axis)
        for name, value in tensors(model).items()
    }


def save(model: PeftModel, start: Tensors, folder: Path, weights: str) -> None:
    """Write the updates over the files that PEFT has written into a folder.

    Args:
        model: The adapted model.
        start: The factors that it started from.
        folder: Where PEFT has saved the adapter.
        weights: Name of PEFT's file of tensors.
    """
    config = model.peft_config["default"]
    assert isinstance(config, LoraConfig)
    plain = copy.copy(config)
    factor = 2**0.5 if config.use_rslora else 2
    plain.r = 2 * config.r
    plain.rank_pattern = {path: 2 * rank for path, rank in config.rank_pattern.items()}
    plain.lora_alpha = config.lora_alpha * factor
    plain.alpha_pattern = {path: alpha * factor for path, alpha in config.alpha_pattern.items()}
    plain.init_lora_weights = True
    plain.inference_mode = True
    plain.save_pretrained(str(folder))
    contiguous = {name: value.contiguous() for name, value in updates(model, start).items()}
    save_file(contiguous, folder / weights, metadata={"format": "pt"})


def split(saved: Tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the trained tensors of a saved adapter, and the factors that it started from."""
    trained, start = dict(saved), {}
    for name, value in saved.items():
        if (axis := _axis(name)) is not None:
            end_part, start_part = value.chunk(2, axis)
            trained[name], start[name] = end_part.contiguous(), (1, -1)[axis] * start_part
    return trained, start


def begin_with(model: PeftModel, start: Tensors, new_start: Tensors) -> None:
    """Change the frozen rest of the weights from that beside the factors `start` to that beside `new_start`."""
    for name in start:
        name_B = name.replace("lora_A", "lora_B")
        if _axis(name) != 0 or (
            torch.equal(start[name], new_start[name]) and torch.equal(start[name_B], new_start[name_B])
        ):
            continue
        layer = model.get_submodule(name.partition(".lora_A")[0])
        weight = layer.get_base_layer().weight
        with torch.no_grad():
            products = [factor[name_B].to(weight) @ factor[name].to(weight) for factor in (start, new_start)]
            weight += layer.scaling["default"] * (products[0] - products[1])


def _axis(name: str) -> int | None:
    """Return the dimension of a saved tensor that is the rank; None if it is neither A nor B."""
    return 0 if name.endswith("lora_A.weight") else 1 if name.endswith("lora_B.weight") else None
