"""Batches of like lengths: little padding, in an order that changes every epoch and depends on the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from pinchtune.chat import IGNORED


class LengthGroupedSampler(torch.utils.data.Sampler[int]):  # type: ignore[misc]
    """Yield indices such that each run of a step's examples has like lengths and the runs come in random order.

    accelerate deals the loader's batches out to the processes in turn. So that the examples of a step are those that
    one process would have with batches as large as all of theirs, a run holds a batch for each. Where the last run is
    short, the index after the last example fills it: `blank()`, which trains nothing. accelerate would else take
    examples a second time.

    Args:
        lengths: Tokens of each example.
        batch_size: Examples in a batch of one process.
        seed: Of the shuffling; epochs differ.
        jitter: Lengths are compared after a random change of up to this fraction, so that batches differ by epoch.
        processes: How many processes share the batches.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, jitter: float = 0.1, processes: int = 1
    ) -> None:
        self._lengths = torch.tensor(lengths, dtype=torch.float64)
        self._batch_size = batch_size * processes
        self._n_blank = -len(lengths) % self._batch_size if processes > 1 else 0
        self._seed = seed
        self._jitter = jitter
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._lengths) + self._n_blank

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; the trainer calls it, so that a resumed run sees the same order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.epoch)
        noise = 1 + self._jitter * torch.rand(len(self._lengths), generator=generator, dtype=torch.float64)
        order = torch.argsort(self._lengths * noise).tolist()
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        # A short batch comes last: a loader that cuts every `batch_size` indices must not cut across the others.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for place in torch.randperm(len(full), generator=generator).tolist():
            yield from full[place]
        for batch in rest:
            yield from batch
        for _ in range(self._n_blank):
            yield len(self._lengths)


def blank(token: int) -> dict[str, list[int]]:
    """Return a row of one token without a label: it adds nothing to a loss."""
    return {"input_ids": [token], "labels": [IGNORED]}


def collate(rows: Sequence[Mapping[str, Sequence[int]]], *, pad_id: int) -> dict[str, Any]:
    """Pad rows of input_ids and labels on the right to the longest, (B, T) each, with an attention mask."""
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, filler: int) -> torch.Tensor:
        return torch.tensor([[*row[name], *[filler] * (longest - len(row[name]))] for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {"input_ids": padded("input_ids", pad_id), "attention_mask": mask, "labels": padded("labels", IGNORED)}


def lay_end_to_end(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
    """Lay rows of input_ids and labels end to end, (1, T) in all, with positions that begin again at each.

    There is no attention mask: transformers' models make theirs from the positions. No first token of a row has a
    label, for it would be foretold from the row before.
    """
    ids = [token for row in rows for token in row["input_ids"]]
    labels = [label for row in rows for label in (IGNORED, *row["labels"][1:])]
    positions = [place for row in rows for place in range(len(row["input_ids"]))]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor([labels]),
    }


class Collator:
    """Makes a batch of rows, by `collate` or `lay_end_to_end`.

    Args:
        pad_id: Fills what is padded.
        padding_free: Lay rows end to end; may be changed between batches.
    """

    def __init__(self, pad_id: int, *, padding_free: bool = False) -> None:
        self._pad_id = pad_id
        self.padding_free = padding_free

    def __call__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
        """Return the batch."""
        return lay_end_to_end(rows) if self.padding_free else collate(rows, pad_id=self._pad_id)
