"""The card of a saved adapter: what it is, what it scores, how it was made, how to load it."""

from __future__ import annotations

import json
from pathlib import Path

from tabulate import tabulate

from bench.schema import Record


def card(record: Record, folder: Path) -> str:
    """The card of an adapter in a folder, as Markdown with the metadata, scores too, that the Hugging Face hub reads.

    Args:
        record: of the finished run that trained it.
        folder: which holds it; the streams with a PEFT folder of their own are found there.
    """
    spec, scores, parameters = record.spec, record.scores, record.parameters
    assert scores and parameters
    streams = spec["streams"]
    of_peft = [name for name in streams if (folder / name / "adapter_config.json").is_file()]
    models = [source["model"] for source in streams.values()]
    named = [f"{name} ({source['model']})" for name, source in streams.items()]
    parts = [
        _metadata(record, [model for model in models if _on_the_hub(model)], bool(of_peft)),
        f"# {spec['method']} on {spec['task']}, seed {spec['seed']}",
        f"Adapters for {' and '.join(named)}, trained by "
        f"the run `{record.id}` of crossmodal-bench, suite {spec['suite']}, {_data(spec['data'])}.",
        "## Scores",
        tabulate(
            [[metric, f"{value:.4f}"] for metric, value in scores.test.items()],
            headers=["test split", "score"],
            tablefmt="pipe",
            disable_numparse=True,
            colalign=("left", "right"),
        ),
        f"Over {scores.test_samples:,} samples, at epoch {scores.best_epoch}, the best on validation. One seed: "
        "compare methods by several.",
        f"Trained parameters: {parameters.adapter:,} in the adapters ({parameters.percent:.2f}% of the streams'), "
        f"{parameters.head:,} in the head.",
        "## How to load it",
        "The scores again, exactly on a machine like that of the record, elsewhere but for rounding:",
        _code("sh", f"bench eval THIS_FOLDER --task {spec['task']}"),
        "The streams with their adapters, as a torch module:",
        _code("python", 'from bench import load_adapter\n\nstreams = load_adapter("THIS_FOLDER")'),
    ]
    if of_peft:
        name = of_peft[0]
        apart = ", without what one stream reads of another, which lies in `inter_modal`" if _crosses(folder) else ""
        parts += [
            f"One stream by itself, with PEFT{apart}; the folders are {', '.join(of_peft)}:",
            _code(
                "python",
                "from bench import load_stream\nfrom peft import PeftModel\n\n"
                f'encoder = load_stream("{streams[name]["model"]}").encoder  # of transformers\n'
                f'PeftModel.from_pretrained(encoder, "THIS_FOLDER/{name}")',
            ),
        ]
    parts += ["## Specification", _code("json", json.dumps(spec, indent=2, ensure_ascii=False))]
    return "\n\n".join(parts) + "\n"


def _metadata(record: Record, base: list[str], of_peft: bool) -> str:
    from bench.report.export_model_index import card_data

    library = "peft" if of_peft else "transformers"
    tags = ["crossmodal-bench", record.spec["method"], record.spec["task"]]
    return f"---\n{card_data(record, library_name=library, base_model=base or None, tags=tags).to_yaml()}\n---"


def _on_the_hub(model: str) -> bool:
    return ":" not in model and not model.startswith((".", "~", "/")) and not Path(model).exists()


def _crosses(folder: Path) -> bool:
    return (folder / "inter_modal").is_dir()


def _data(data: dict[str, object]) -> str:
    from bench.report.words import data_title

    return data_title(data)


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
