"""Retrieval in a user's own data: the partner of each item in the other modality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar

from bench.tasks.base import Samples
from bench.tasks.own_data import COLUMNS, OwnData, OwnSamples

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Generator, Tensor

    from bench.datasets.user_samples import UserData
    from bench.tasks.base import Inputs
    from bench.tasks.model import Head

RECALLS = (1, 5, 10)
_CHUNK = 1024  # queries at a time
_ITEM = "item of "  # prefix of streams: the number of a sample's image, recording or text


@dataclass
class OwnRetrieval(OwnData):
    """Your own data (a CSV): the partner of each image, recording or text among all of a split.

    Each stream is encoded alone, so methods whose streams read each other are refused: a stream that has read its
    partner knows the answer. Head: one linear per stream, from its vector to a common space. Loss: InfoNCE in both
    directions, among the samples that are encoded together: those of a batch, or of `micro_batch`. Samples with the
    same image, recording or text are no negatives of each other.

    Attributes:
        dimensions: Dimensions of the common space.
        temperature: What cosine similarities are divided by in the loss.
    """

    dimensions: int = 256
    temperature: float = 0.07

    metric = "recall@1"
    metrics = {  # noqa: RUF012
        **{f"recall@{k}": f"share of queries with a partner among the first {k}, both directions" for k in RECALLS},
        "median_rank": "median rank of the first partner, in percent of all candidates; lower is better",
    }
    separate_streams: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, not {self.dimensions}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def check_streams(self, streams: Sequence[str]) -> None:
        """Check that there are two streams."""
        super().check_streams(streams)
        if len(streams) != 2:
            raise ValueError(f"retrieval is between two streams, not {len(streams)}: {', '.join(streams)}")

    def truth(self, data: UserData, split: str, streams: Iterable[str]) -> dict[str, Sequence[int]]:
        """Return the numbers of each sample's items in both streams; equal items have equal numbers."""
        samples = data.samples_of(split)
        columns = {stream: [getattr(sample, COLUMNS[stream]) for sample in samples] for stream in streams}
        return {_ITEM + stream: _numbered(values) for stream, values in columns.items()}

    def example(self, split: str, inputs: Inputs, samples: int, generator: Generator) -> dict[str, Tensor]:
        """Return random inputs, all different."""
        import torch

        items = {_ITEM + stream: torch.arange(samples)[:, None] for stream in inputs}
        return {**super().example(split, inputs, samples, generator), **items}

    def head(self, widths: Mapping[str, int], samples: Samples | None) -> Head:
        """Return a linear for each stream."""
        from bench.tasks.vector_heads import Projections

        return Projections(widths, self.dimensions, self.reads)

    def loss(self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        """Return InfoNCE, the mean over samples and directions, of vectors (B, dimensions) by stream."""
        import torch
        from torch.nn import functional as F

        (x_BE, a_B), (y_BE, b_B) = ((_unit(output[name]), batch[_ITEM + name][:, 0]) for name in output)
        logits_BB = x_BE @ y_BE.T / self.temperature
        equal_BB = (a_B[:, None] == a_B) | (b_B[:, None] == b_B)
        logits_BB = logits_BB.masked_fill(
            equal_BB & ~torch.eye(len(a_B), dtype=torch.bool, device=a_B.device), -torch.inf
        )
        index_B = torch.arange(len(a_B), device=a_B.device)
        return (F.cross_entropy(logits_BB, index_B) + F.cross_entropy(logits_BB.T, index_B)) / 2

    def score(self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the unit vector of each item (B, dimensions), and its number (B,), by stream."""
        vectors = {name: _unit(vectors) for name, vectors in output.items()}
        return vectors | {_ITEM + name: batch[_ITEM + name][:, 0] for name in output}

    def per_sample(self, measured: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the recalls of each sample, the means of both directions."""
        return _recalls(_both_ranks(measured))

    def summarize(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the recalls and the median rank in percent, over all samples as queries and candidates."""
        ranks_2N = _both_ranks(measured)
        scores = {name: values.mean().item() for name, values in _recalls(ranks_2N).items()}
        candidates = [len(items.unique()) for name, items in measured.items() if name.startswith(_ITEM)]
        medians = zip(ranks_2N.quantile(0.5, dim=1).tolist(), reversed(candidates), strict=True)
        return {**scores, "median_rank": fmean(100 * median / count for median, count in medians)}

    def draw(self, samples: Samples, index: int, output: Mapping[str, np.ndarray]) -> Image:
        """Return the sample's inputs with their cosine similarity."""
        import torch

        from bench.tasks import draw

        assert isinstance(samples, OwnSamples)
        x_E, y_E = (_unit(torch.from_numpy(vectors)) for vectors in output.values())
        lines = [samples.names[index], f"cosine similarity {float(x_E @ y_E):.2f}"]
        return draw.in_column([draw.text(lines[0], 480), self.draw_inputs(samples, index), draw.text(lines[1], 480)], 4)


def _numbered(values: Sequence[str]) -> list[int]:
    """Return a number for each value, equal for equal values."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _unit(vectors_BE: Tensor) -> Tensor:
    """Return vectors at length 1."""
    from torch.nn import functional as F

    return F.normalize(vectors_BE.float(), dim=-1)


def _both_ranks(measured: Mapping[str, Tensor]) -> Tensor:
    """Return the rank of each sample's first partner, in each direction: (2, N)."""
    import torch

    x, y = (name for name in measured if not name.startswith(_ITEM))
    directions = [
        ranks(measured[query], measured[candidate], measured[_ITEM + query], measured[_ITEM + candidate])
        for query, candidate in ((x, y), (y, x))
    ]
    return torch.stack(directions)


def _recalls(ranks_2N: Tensor) -> dict[str, Tensor]:
    return {f"recall@{k}": (ranks_2N <= k).double().mean(0) * 100 for k in RECALLS}


def ranks(queries_NE: Tensor, candidates_NE: Tensor, query_items_N: Tensor, candidate_items_N: Tensor) -> Tensor:
    """Return the rank, from 1, of the best partner of each query among all different candidates.

    A candidate that is not less similar than the best partner is ranked before it, so a model that returns the same
    vector for everything is no better than the worst.

    Args:
        queries_NE: Vector of each sample's query (N, E).
        candidates_NE: Vector of its candidate (N, E).
        query_items_N: Number of its query's item; samples with the same one share their partners.
        candidate_items_N: Number of its candidate's item.

    Returns:
        Ranks (N,), as float64.
    """
    import torch

    items, number_N = candidate_items_N.unique(return_inverse=True)
    count, order_N = len(items), torch.arange(len(number_N))
    first_C = order_N.new_full((count,), len(number_N)).scatter_reduce(0, number_N, order_N, "amin")
    partners: dict[float, list[int]] = defaultdict(list)
    for query, candidate in zip(query_items_N.tolist(), number_N.tolist(), strict=True):
        partners[query].append(candidate)
    computed = []
    for rows in order_N.split(_CHUNK):
        similarity = queries_NE[rows] @ candidates_NE[first_C].T
        is_partner = torch.zeros_like(similarity, dtype=torch.bool)
        for row, query in enumerate(query_items_N[rows].tolist()):
            is_partner[row, partners[query]] = True
        best = similarity.masked_fill(~is_partner, -torch.inf).amax(1, keepdim=True)
        computed.append(1 + (~(similarity < best) & ~is_partner).sum(1))  # NaN ranks before it too
    return torch.cat(computed).double()
