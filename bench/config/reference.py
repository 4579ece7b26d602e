"""The method that others are compared with: its default, and a check of the one that `--reference` names."""

from __future__ import annotations

from collections.abc import Iterable

from bench.errors import UsageError

REFERENCE = "lora"
"""The default; tables without it have no gains."""


def check_reference(reference: str, labels: Iterable[str]) -> None:
    """Check that the reference is one of the labels, unless it is the default one.

    Args:
        reference: Value of `--reference`.
        labels: The labels of the rows, or of the planned methods.

    Raises:
        UsageError: No row has this label.
    """
    labels = sorted(set(labels))
    if reference not in (REFERENCE, *labels):
        raise UsageError(
            f"--reference {reference}: no row has this label; choose one of {', '.join(labels) or REFERENCE}"
        )
