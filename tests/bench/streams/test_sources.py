from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.streams.load import load_stream, outline_stream, save_stream
from bench.streams.sources import find_encoder


def test_what_is_not_in_the_cache_is_told_of_with_the_command_that_fetches_it(hub_cache):
    fetch = '`hf download facebook/dinov2-base --include "*.json" --include "*.txt" --include "*.safetensors"`'
    with pytest.raises(UsageError) as error:
        load_stream("facebook/dinov2-base")
    assert (
        error.value.exit_code == 2 and fetch in str(error.value) and "nor in the Hugging Face cache" in str(error.value)
    )
    with pytest.raises(UsageError, match="the encoder a/b/c is missing"):
        find_encoder("a/b/c")


@pytest.mark.parametrize("kind", ["dinov2", "ast"])
def test_what_is_in_the_cache_is_loaded_without_asking_the_network(kind, snapshot, make_stream, make_input):
    stream, x = make_stream(kind, dtype=torch.float32), make_input(kind, dtype=torch.float32)
    save_stream(stream, snapshot("someone/tiny"))
    loaded = load_stream("someone/tiny")
    torch.testing.assert_close(loaded(x), stream(x))
    assert loaded.encoder.name_or_path == "someone/tiny"


def test_tokenizers_are_loaded_from_the_cache_too(snapshot, make_text_stream, text_input):
    stream = make_text_stream(text_input, dtype=torch.float32)
    save_stream(stream, snapshot("someone/words"))
    loaded = load_stream("someone/words")
    ids = torch.from_numpy(loaded.input.encode(["the red ball"]))
    torch.testing.assert_close(loaded(ids), stream(ids))


def test_folders_must_hold_an_encoder(tmp_path, make_stream):
    with pytest.raises(UsageError, match=f"no folder {tmp_path}/nowhere"):
        find_encoder(f"{tmp_path}/nowhere")
    with pytest.raises(
        UsageError, match=r"contains no encoder: config\.json is missing; model\.safetensors is missing"
    ):
        find_encoder(str(tmp_path))
    save_stream(make_stream("vit", dtype=torch.float32), tmp_path)
    assert find_encoder(str(tmp_path)) == tmp_path
    (tmp_path / "model.safetensors").rename(tmp_path / "model.bin")
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        find_encoder(str(tmp_path))
    assert find_encoder(str(tmp_path), weights=False) == tmp_path
    assert outline_stream(str(tmp_path)).encoder.device.type == "meta"


def test_a_run_without_its_encoders_ends_before_anything_heavy_is_imported(tmp_path):
    """With one message that names everything that is missing."""
    mini = (Path(__file__).parents[3] / "bench" / "suites" / "mini.toml").read_text(encoding="utf-8")
    suite = tmp_path / "own.toml"
    suite.write_text(
        mini.replace("embedded:vision-v2", "facebook/dinov2-base")
        .replace("embedded:audio-v1", str(tmp_path / "sounds"))
        .replace('"generated"', '"official"'),
        encoding="utf-8",
    )
    code = (
        "import sys; from bench.cli import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; sys.exit(code)"
    )
    run = ["run", "--suite", str(suite), "--methods", "lora", "--tasks", "ave", "--results", str(tmp_path / "results")]
    assert load_suite(str(suite)).streams["vision"].model == "facebook/dinov2-base"
    process = subprocess.run(
        [sys.executable, "-c", code, *run],
        capture_output=True,
        text=True,
        env={"HF_HUB_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
    )
    assert process.returncode == 2, process.stderr
    for message in ("3 mistakes", "--data-root", "hf download facebook/dinov2-base", f"no folder {tmp_path}/sounds"):
        assert message in process.stderr
    assert not (tmp_path / "results").exists()
