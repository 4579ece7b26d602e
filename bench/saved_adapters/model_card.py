"""The card of a saved adapter: what it is, what it scores, how it was made, how to load it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.config.describe import data_title
from bench.records.schema import Record
from bench.saved_adapters.manifest import Encoder
from bench.text import escape, markdown


def card(record: Record, folder: Path, encoders: Mapping[str, Encoder]) -> str:
    """The card of an adapter in a folder, as Markdown with the metadata, scores too, that the Hugging Face hub reads.

    Args:
        record: of the finished run that trained it.
        folder: which holds it; the streams with a PEFT folder of their own are found there.
        encoders: what it was trained on, by stream.
    """
    spec, scores, parameters = record.spec, record.scores, record.parameters
    assert scores and parameters
    of_peft = [name for name in encoders if (folder / name / "adapter_config.json").is_file()]
    named = [f"{name} ({encoder.name})" for name, encoder in encoders.items()]
    places = [
        f" --set {shlex.quote(escape.line(name))}.model=DIR" for name, encoder in encoders.items() if encoder.is_path
    ]
    parts = [
        _metadata(record, [encoder.name for encoder in encoders.values() if encoder.on_hub], bool(of_peft)),
        markdown.heading(1, f"{spec.method} on {spec.task}, seed {spec.seed}"),
        markdown.paragraph(
            f"Adapters for {' and '.join(named)}, trained by the run {record.id} of crossmodal-bench, "
            f"suite {spec.suite}, {data_title(spec.data)}."
        ),
        "## Scores",
        markdown.table(["test split", "score"], [[name, f"{value:.4f}"] for name, value in scores.test.items()]),
        f"Over {scores.test_samples:,} samples, at epoch {scores.best_epoch}, the best on validation. One seed: "
        "compare methods by several.",
        f"Trained parameters: {parameters.adapter:,} in the adapters ({parameters.percent:.2f}% of the streams'), "
        f"{parameters.head:,} in the head.",
        "## Encoders",
        markdown.table(
            ["stream", "encoder", "revision", "SHA-256 of its weights"],
            [[name, each.name, each.revision or "", each.weights] for name, each in encoders.items()],
            "l",
        ),
        "Their other files must be the same too; `manifest.json` has the checksums.",
        "## How to load it",
        "The scores again, exactly on a machine like that of the record, elsewhere but for rounding:",
        markdown.code("sh", f"bench eval THIS_FOLDER --task {shlex.quote(escape.line(spec.task))}{''.join(places)}"),
        "The streams with their adapters, as a torch module:",
        markdown.code(
            "python", f'from bench import load_adapter\n\nstreams = load_adapter("THIS_FOLDER"{_given(encoders)})'
        ),
    ]
    if of_peft:
        name = of_peft[0]
        apart = ", without what one stream reads of another, which lies in `inter_modal`" if _crosses(folder) else ""
        parts += [
            f"One stream by itself, with PEFT{apart}; the folders are {escape.markdown(', '.join(of_peft))}:",
            markdown.code(
                "python",
                "from bench import load_stream\nfrom peft import PeftModel\n\n"
                f"encoder = load_stream({_model(encoders[name])}).encoder  # of transformers\n"
                f"PeftModel.from_pretrained(encoder, {json.dumps(f'THIS_FOLDER/{name}')})",
            ),
        ]
    streams = {name: {**source, "model": encoders[name].name} for name, source in spec.streams.items()}
    text = escape.json_text(json.dumps({**asdict(spec), "streams": streams}, indent=2, ensure_ascii=False))
    parts += ["## Specification", markdown.code("json", text)]
    return "\n\n".join(parts) + "\n"


def _metadata(record: Record, base: list[str], of_peft: bool) -> str:
    from bench.saved_adapters.model_index import card_data, metadata

    library = "peft" if of_peft else "transformers"
    tags = ["crossmodal-bench", record.spec.method, record.spec.task]
    return f"---\n{metadata(card_data(record, library_name=library, base_model=base or None, tags=tags))}\n---"


def _model(encoder: Encoder) -> str:
    """Return what `load_stream` is given for an encoder, as Python."""
    return '"DIR"' if encoder.is_path else json.dumps(encoder.name)


def _given(encoders: Mapping[str, Encoder]) -> str:
    """Return what `load_adapter` has to be told of encoders that lie in folders, as Python."""
    places = ", ".join(f'{json.dumps(name)}: "DIR"' for name, encoder in encoders.items() if encoder.is_path)
    return f", encoders={{{places}}}" if places else ""


def _crosses(folder: Path) -> bool:
    return (folder / "inter_modal").is_dir()
