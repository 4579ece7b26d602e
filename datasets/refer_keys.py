"""The keys that are read of the refs of a RefCOCO release, and which of them a file has nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REF = ("ref_id", "ann_id", "image_id", "split", "sentences")
SENTENCE = ("sent_id",)
TEXT = ("sent", "raw")  # of a sentence: the first that is not empty


def absent_in_refs(refs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield which keys no ref has, and no sentence of any."""
    refs = list(refs)
    if absent := absent_keys(refs, REF):
        yield f"no ref has {', '.join(absent)}"
    lists = [ref["sentences"] for ref in refs if isinstance(ref.get("sentences"), list)]
    sentences = [sentence for each in lists for sentence in each]
    absent = absent_keys(sentences, SENTENCE)
    if len(absent_keys(sentences, TEXT)) == len(TEXT):
        absent.append(" or ".join(TEXT))
    if absent:
        yield f"no sentence of a ref has {', '.join(absent)}"


def absent_keys(entries: Iterable[Any], keys: Iterable[str]) -> list[str]:
    """Return the keys that are in none of the entries, in their order; none where there are no entries."""
    left = list(keys)
    empty = True
    for entry in entries:
        if isinstance(entry, dict):
            empty = False
            left = [key for key in left if key not in entry]
            if not left:
                break
    return [] if empty else left
