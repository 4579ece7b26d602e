"""What is made sure of before the runs of a plan: their encoders are there, whole, and of the right kind.

Heavy packages are not imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench import registry
from bench.errors import Mistakes, UsageError
from bench.plan import Spec
from bench.streams.encoder_files import what_is_read
from bench.streams.sources import find_encoder


def check_encoders(specs: Iterable[Spec], *, weights: bool = True, tokenizer: bool | None = None) -> None:
    """Make sure that the encoders of runs are there, and read what their tasks give them.

    Args:
        specs: the runs.
        weights: as for `find_encoder`, as is the other.
        tokenizer: whether an encoder of texts needs its tokenizer.

    Raises:
        UsageError: some are not; says of each what is missing or wrong, and how to name a folder that has it.
    """
    mistakes = Mistakes()
    checked = set()
    for spec in specs:
        reads: Mapping[str, str] = getattr(registry.load("tasks", spec.task), "modalities", {})
        for stream, source in spec.streams.items():
            model, expected = source["model"], reads.get(stream)
            if (model, expected) in checked:
                continue
            checked.add((model, expected))
            try:
                found = what_is_read(find_encoder(model, weights=weights, tokenizer=tokenizer))
            except UsageError as error:
                mistakes.add(f"{error}; or name a folder that holds one: --set {stream}.model=DIR")
            else:
                if expected not in (None, found):
                    mistakes.add(
                        f"--set {stream}.model={model}: it reads {found}, but {stream} of {spec.task} is {expected}"
                    )
    mistakes.raise_if_any()
