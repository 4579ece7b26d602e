"""The required keys of the refs of a RefCOCO release, and which of them a file lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REF = ("ref_id", "ann_id", "image_id", "split", "sentences")
SENTENCE = ("sent_id",)
TEXT = ("sent", "raw")  # of a sentence; the first one that is not empty is used


def absent_in_refs(refs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield messages about keys that no ref has, and about keys that no sentence has."""
    refs = list(refs)
    if absent := absent_keys(refs, REF):
        yield f"no ref has {', '.join(absent)}"
    lists = [ref["sentences"] for ref in refs if isinstance(ref.get("sentences"), list)]
    sentences = [sentence for sentences in lists for sentence in sentences]
    absent = absent_keys(sentences, SENTENCE)
    if len(absent_keys(sentences, TEXT)) == len(TEXT):
        absent.append(" or ".join(TEXT))
    if absent:
        yield f"no sentence of a ref has {', '.join(absent)}"


def absent_keys(entries: Iterable[Any], keys: Iterable[str]) -> list[str]:
    """Return the keys that no entry has, in their order; an empty list if there are no entries."""
    absent = list(keys)
    empty = True
    for entry in entries:
        if isinstance(entry, dict):
            empty = False
            absent = [key for key in absent if key not in entry]
            if not absent:
                break
    return [] if empty else absent
