"""The model card of a saved adapter: what it is, how it scores, how it was trained, how to load it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.config.describe import data_title
from bench.config.instantiate import sources_of
from bench.records.schema import Record
from bench.saved_adapters.manifest import Encoder
from bench.text import escape, markdown


def card(record: Record, folder: Path, encoders: Mapping[str, Encoder]) -> str:
    """Return the card of an adapter, as Markdown with metadata (scores included) that the Hugging Face hub reads.

    Args:
        record: The record of the finished run that trained the adapter.
        folder: The adapter's folder, which shows which streams have a PEFT folder.
        encoders: The encoders that the adapter was trained on, by stream.
    """
    spec, scores, parameters = record.spec, record.scores, record.parameters
    assert scores and parameters
    peft_streams = [name for name in encoders if (folder / name / "adapter_config.json").is_file()]
    named = [f"{name} ({encoder.name})" for name, encoder in encoders.items()]
    encoder_options = [
        f" --set {shlex.quote(escape.line(name))}.model=DIR" for name, encoder in encoders.items() if encoder.is_path
    ]
    parts = [
        _metadata(record, [encoder.name for encoder in encoders.values() if encoder.on_hub], bool(peft_streams)),
        markdown.heading(1, f"{spec.method} on {spec.task}, seed {spec.seed}"),
        markdown.paragraph(
            f"Adapters for {' and '.join(named)}, trained by the run {record.id} of crossmodal-bench, "
            f"suite {spec.suite}, {data_title(spec.data)}."
        ),
        "## Scores",
        markdown.table(["test split", "score"], [[name, f"{value:.4f}"] for name, value in scores.test.items()]),
        f"Over {scores.test_samples:,} samples, at epoch {scores.best_epoch}, the best on validation. This is one "
        "seed; to compare methods, use several.",
        f"Trained parameters: {parameters.adapter:,} in the adapters ({parameters.percent:.2f}% of the streams'), "
        f"{parameters.head:,} in the head.",
        "## Encoders",
        markdown.table(
            ["stream", "encoder", "revision", "SHA-256 of its weights"],
            [[name, encoder.name, encoder.revision or "", encoder.weights] for name, encoder in encoders.items()],
            "l",
        ),
        "Their other files must be the same too; `manifest.json` contains the checksums.",
        "## How to load it",
        "To reproduce the scores (exactly on a machine like that of the record, up to rounding elsewhere):",
        markdown.code(
            "sh", f"bench eval THIS_FOLDER --task {shlex.quote(escape.line(spec.task))}{''.join(encoder_options)}"
        ),
        "The streams with their adapters, as a torch module:",
        markdown.code(
            "python",
            f'from bench import load_adapter\n\nstreams = load_adapter("THIS_FOLDER"{_encoders_argument(encoders)})',
        ),
    ]
    if peft_streams:
        name = peft_streams[0]
        without = ", without the inter-modal path, which is in `inter_modal`" if _has_inter_modal(folder) else ""
        parts += [
            f"A single stream, with PEFT{without}; the folders are {escape.markdown(', '.join(peft_streams))}:",
            markdown.code(
                "python",
                "from bench import load_stream\nfrom peft import PeftModel\n\n"
                f"encoder = load_stream({_arguments(record, name, encoders[name])}).encoder  # of transformers\n"
                f"PeftModel.from_pretrained(encoder, {json.dumps(f'THIS_FOLDER/{name}')})",
            ),
        ]
    streams = {name: {**source, "model": encoders[name].name} for name, source in spec.streams.items()}
    text = escape.json_text(json.dumps({**asdict(spec), "streams": streams}, indent=2, ensure_ascii=False))
    parts += ["## Specification", markdown.code("json", text)]
    return "\n\n".join(parts) + "\n"


def _metadata(record: Record, base_models: list[str], is_peft: bool) -> str:
    from bench.saved_adapters.model_index import card_data, metadata

    library = "peft" if is_peft else "transformers"
    tags = ["crossmodal-bench", record.spec.method, record.spec.task]
    return f"---\n{metadata(card_data(record, library_name=library, base_model=base_models or None, tags=tags))}\n---"


def _arguments(record: Record, stream: str, encoder: Encoder) -> str:
    """Return the arguments of `load_stream` for a stream as it was trained, as Python code."""
    model = "DIR" if encoder.is_path else encoder.name
    settings = {name: value for name, value in sources_of(record.spec)[stream].items() if value is not None}
    parts = [f"{name}={json.dumps(value)}" for name, value in settings.items() if name != "model"]
    return ", ".join([json.dumps(model), *parts])


def _encoders_argument(encoders: Mapping[str, Encoder]) -> str:
    """Return the argument of `load_adapter` for encoders that are stored in folders, as Python code."""
    folders = ", ".join(f'{json.dumps(name)}: "DIR"' for name, encoder in encoders.items() if encoder.is_path)
    return f", encoders={{{folders}}}" if folders else ""


def _has_inter_modal(folder: Path) -> bool:
    return (folder / "inter_modal").is_dir()
