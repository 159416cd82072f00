"""What a tuning run gave, besides its folder; the model card and the manifest tell it."""

from __future__ import annotations

import msgspec

from pinchtune.records import Failure


class Tuned(msgspec.Struct, frozen=True):
    """What a tuning run gave, besides its folder."""

    n_examples: int
    #: Tokens seen in all epochs; those with a label.
    n_tokens: int
    n_labels: int
    #: (optimiser step from 1, mean loss per labelled token in nats)
    loss: tuple[tuple[int, float], ...]
    failures: tuple[Failure, ...] = ()
    #: What was computed in, a name of torch's; `dtype: auto` depends on the machine.
    dtype: str = ""
