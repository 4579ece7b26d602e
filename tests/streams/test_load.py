from __future__ import annotations

import json

import pytest
import torch

from bench.errors import BenchError
from bench.streams import load
from bench.streams.load import load_stream, save_stream


def test_saved_streams_load_again(kind, make_stream, make_input, tmp_path):
    stream, x = make_stream(kind, dtype=torch.float32), make_input(kind, dtype=torch.float32)
    save_stream(stream, tmp_path)
    loaded = load_stream(str(tmp_path))
    assert loaded.input == stream.input
    assert torch.equal(loaded(x), stream(x))


def test_embedded_streams_are_found_by_name(make_stream, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "WEIGHTS", tmp_path)
    save_stream(make_stream("ast", dtype=torch.float32), tmp_path / "sound-v1")
    stream = load_stream("embedded:sound-v1", frames=22)
    assert stream.grid == (3, 3)
    with pytest.raises(BenchError, match="no embedded encoder sound-v2; known: sound-v1"):
        load_stream("embedded:sound-v2")


def test_what_is_missing_is_named(make_stream, tmp_path):
    with pytest.raises(BenchError, match="no folder"):
        load_stream(str(tmp_path / "nowhere"))
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    path = tmp_path / "preprocessor_config.json"
    values = json.loads(path.read_text())
    del values["image_mean"]
    path.write_text(json.dumps(values))
    with pytest.raises(BenchError, match="image_mean"):
        load_stream(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BenchError, match=str(tmp_path)):
        load_stream(str(tmp_path))


def test_loading_shows_no_progress_bars(make_stream, tmp_path, capfd):
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    load_stream(str(tmp_path))
    assert capfd.readouterr() == ("", "")
