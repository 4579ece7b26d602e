"""The code on an adapter's card works when it is copied."""

from __future__ import annotations

import re
from dataclasses import replace

import mocks
import pytest
import torch
from transformers import BertTokenizer
from whole_checkpoints import IMAGE, save_whole

from bench.config.plan import RunRequest, make_plan
from bench.methods.lora import LoRA
from bench.saved_adapters.manifest import encoders_of
from bench.saved_adapters.model_card import card
from bench.streams.inputs import Input, TextInput
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize(
    ("task", "stream", "kind", "size", "arguments"),
    [
        ("avs", "vision", "images", "vision.size=32", '"DIR", size=32, kind="images"'),
        ("refcoco", "text", "text", "vision.size=32", '"DIR", kind="text"'),
    ],
)
def test_one_tower_of_a_checkpoint_with_two(family, task, stream, kind, size, arguments, tmp_path):
    tokenizer, encoder, folder = (tmp_path / name for name in ("tokenizer", "encoder", "adapter"))
    BertTokenizer(
        {word: n for n, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ball"))}
    ).save_pretrained(tokenizer)
    input: Input = replace(TextInput(str(tokenizer)), length=12) if kind == "text" else IMAGE
    save_whole(family, encoder, input)
    changes = [f"{stream}.model={encoder}", size]
    (spec,) = make_plan(RunRequest("mini", ["lora"], [task], [0], changes))
    model, method = MultiStream({stream: load_stream(str(encoder), kind)}), LoRA(r=2)
    method.attach(model)
    trained = {name.split(".", 3)[-1]: model.get_parameter(name) for name in method.adapter_names(model)}
    for parameter in trained.values():
        torch.nn.init.normal_(parameter)
    method.save(folder)
    text = card(
        mocks.record(spec, 71.5), folder, encoders_of({name: source["model"] for name, source in spec.streams.items()})
    )
    (code,) = (block for block in re.findall("```python\n(.*?)```", text, re.DOTALL) if "load_stream" in block)
    assert f"load_stream({arguments}).encoder" in code
    scope: dict[str, torch.nn.Module] = {}
    exec(code.replace("DIR", str(encoder)).replace("THIS_FOLDER", str(folder)), {}, scope)
    loaded = {name: tensor for name, tensor in scope["encoder"].named_parameters() if ".lora_" in name}
    assert len(loaded) == len(trained) > 0
    for tensor, expected in zip(loaded.values(), trained.values(), strict=True):
        assert torch.equal(tensor, expected)
