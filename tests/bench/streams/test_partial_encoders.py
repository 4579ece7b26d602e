"""Encoders that are there in part: what is missing, and the command that fetches it, are told while planning."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from bench.errors import UsageError
from bench.streams.load import load_stream, random_stream, save_stream
from bench.streams.sources import find_encoder

NAME = "someone/tiny"
FETCH = "`hf download someone/tiny --revision 0123456789abcdef0123456789abcdef01234567"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def copies(snapshot, make_stream, make_text_stream, text_input):
    """Return a complete copy of an encoder in the cache, by the kind of its input."""

    def copy(reads: str = "images") -> Path:
        folder = snapshot(NAME)
        if reads == "text":
            save_stream(make_text_stream(text_input, depth=1, dtype=torch.float32), folder)
        else:
            save_stream(make_stream({"images": "vit", "sounds": "ast"}[reads], 1, torch.float32), folder)
        assert find_encoder(NAME) == folder
        return folder

    return copy


def shard(folder: Path) -> list[Path]:
    """Has the weights in two files and an index; returns the two."""
    stream = load_stream(str(folder))
    (folder / "model.safetensors").unlink()
    stream.encoder.save_pretrained(folder, max_shard_size=stream.encoder.num_parameters() * 4 // 2)
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) >= 2 and find_encoder(str(folder)) == folder
    return parts


def error_of(model: str = NAME, **required: bool) -> str:
    with pytest.raises(UsageError) as error:
        find_encoder(model, **required)
    return str(error.value)


@pytest.mark.parametrize(
    ("reads", "file"),
    [
        ("images", "preprocessor_config.json"),
        ("sounds", "preprocessor_config.json"),
        ("images", "config.json"),
        ("text", "config.json"),
    ],
)
def test_an_incomplete_copy_is_reported_with_its_download_command(copies, reads, file):
    folder = copies(reads)
    (folder / file).unlink()
    message = error_of()
    assert f'{FETCH} --include "{file}"`' in message
    assert f"the copy of the encoder someone/tiny in {folder} is incomplete: {file} is missing" in message


def test_weights_that_were_never_fetched(copies):
    folder = copies()
    (folder / "model.safetensors").unlink()
    assert f'{FETCH} --include "model*.safetensors" --include "{INDEX}"`' in error_of()
    assert find_encoder(NAME, weights=False) == folder
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert (
        "model.safetensors is missing (pytorch_model.bin is not read, since such files may contain code" in error_of()
    )


def test_a_download_that_was_stopped(copies):
    folder = copies()
    (folder / "model.safetensors").unlink()
    (folder.parent.parent / "blobs" / "abc.incomplete").write_bytes(b"half")
    assert "A download of it was interrupted. Download these files with `hf" in error_of()


def test_a_link_whose_blob_is_gone(copies):
    folder = copies()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/gone")
    message = error_of()
    assert "model.safetensors is a broken link" in message
    assert f'{FETCH} --include "model.safetensors"`' in message


def test_one_part_of_several(copies):
    folder = copies()
    first, *_ = shard(folder)
    first.unlink()
    assert f'{FETCH} --include "{first.name}"`' in error_of()


def test_parts_without_their_index(copies):
    folder = copies()
    shard(folder)
    (folder / INDEX).unlink()
    assert f'{FETCH} --include "{INDEX}"`' in error_of()


@pytest.mark.parametrize("saved", [0, 100, -4])
def test_weights_that_are_cut_short(copies, saved):
    path = copies() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:saved])
    message = error_of()
    assert "truncated" in message and f'{FETCH} --include "model.safetensors" --force-download`' in message


@pytest.mark.parametrize("end", ["Infinity", "NaN", '"9"', "1.5"])
def test_weights_whose_header_has_an_end_that_is_none(copies, end):
    path = copies() / "model.safetensors"
    header = f'{{"a": {{"dtype": "F32", "shape": [1], "data_offsets": [0, {end}]}}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "is not a readable safetensors file" in error_of()


def test_a_pointer_of_git_lfs(copies):
    path = copies() / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 346345912\n")
    assert "only a Git LFS pointer to the file" in error_of()


def test_a_tokenizer_is_needed_for_texts_alone(copies):
    folder = copies("text")
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    message = error_of()
    assert "tokenizer.json or vocab.txt is missing (the tokenizer: `AutoTokenizer` saves it)" in message
    assert f'{FETCH} --include "tokenizer.json" --include "tokenizer_config.json"' in message
    assert "tokenizer.json or vocab.txt is missing" in error_of(weights=False, tokenizer=True)
    assert find_encoder(NAME, weights=False) == folder
    random_stream(NAME)  # what `bench profile` needs


@pytest.mark.parametrize("saved", ["tokenizer.json", "vocab.txt"])
def test_either_form_of_a_tokenizer_will_do(copies, saved, text_input):
    folder = copies("text")
    words = sorted(text_input_vocabulary(folder).items(), key=lambda item: item[1])
    for path in (*folder.glob("token*"), *folder.glob("vocab*"), *folder.glob("special*")):
        if path.name != saved:
            path.unlink()
    if saved == "vocab.txt":
        (folder / saved).write_text("".join(f"{word}\n" for word, _ in words))
    assert find_encoder(NAME) == folder
    assert (load_stream(NAME).input.encode(["the red ball"]) == text_input.encode(["the red ball"])).all()


def text_input_vocabulary(folder: Path) -> dict[str, int]:
    return json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]


def test_a_vocabulary_of_roberta_has_two_files(tmp_path):
    size = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    RobertaModel(RobertaConfig(vocab_size=10, **size)).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    assert "tokenizer.json or vocab.json and merges.txt is missing" in error_of(str(tmp_path))
    (tmp_path / "merges.txt").write_text("")
    assert find_encoder(str(tmp_path)) == tmp_path


def test_a_folder_names_all_that_it_lacks(tmp_path, make_stream):
    save_stream(make_stream("vit", 1, torch.float32), tmp_path)
    for name in ("preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).unlink()
    message = error_of(str(tmp_path))
    files = "preprocessor_config.json is missing (`AutoImageProcessor` saves it); model.safetensors is missing. Save it"
    assert f"the encoder in the folder {tmp_path} is incomplete: {files}" in message
    assert "hf download" not in message


@pytest.mark.parametrize(
    ("kind", "file", "saved_by"),
    [
        ("images", "preprocessor_config.json", "AutoImageProcessor"),
        ("sounds", "preprocessor_config.json", "AutoFeatureExtractor"),
        ("text", "tokenizer.json", "AutoTokenizer"),
    ],
)
def test_the_line_that_saves_a_processor_or_a_tokenizer_is_shown(copies, kind, file, saved_by, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(copies(kind), folder)
    (folder / file).unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    line = f'`transformers.{saved_by}.from_pretrained("NAME").save_pretrained("{folder}")`'
    assert line in error_of(str(folder))


def test_a_missing_encoder_names_the_families_that_it_may_have(hub_cache):
    assert (
        "if its family (the `model_type` in its config.json) is one of those that `bench list encoders` shows"
        in error_of()
    )


def test_the_folder_of_a_copy_is_known_as_that(copies):
    folder = copies()
    (folder / "preprocessor_config.json").unlink()
    assert f'{FETCH} --include "preprocessor_config.json"`' in error_of(str(folder))


def test_a_family_without_a_stream(copies):
    folder = copies()
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "gpt2"}))
    assert "encoders of the family gpt2 are not supported; supported: audio-spectrogram-transformer," in error_of()


@pytest.mark.parametrize("denied", ["model.safetensors", "."])
def test_files_that_may_not_be_read(make_stream, denied):
    """Asked by a user who is not root, whom no permissions stop."""
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are for their owner only
        Path(place).chmod(0o755)
        folder = Path(place) / "encoder"
        save_stream(make_stream("vit", 1, torch.float32), folder)
        (folder / denied).chmod(0)
        code = (
            "import os, sys; from bench import registry; from bench.streams.sources import find_encoder; "
            "registry.names('encoders'); os.getuid() or os.setuid(65534); "  # the checkout may be the owner's only, too
            "find_encoder(sys.argv[1])"
        )
        process = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
        folder.chmod(0o755)
    *_, last = process.stderr.splitlines()
    assert "UsageError" in last and "permission" in last


def test_the_command_says_where_the_network_is_switched_off(hub_cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "` (after unsetting HF_HUB_OFFLINE)" in error_of()
    assert str(hub_cache) in error_of()
