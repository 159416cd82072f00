"""The proof before training: every example trains its whole response, and the model can learn to stop.

Two faults that cost others a training run: labels that mask too much or too little, and a stop token that no gradient
can reach. Both are found here, on every example, before the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pinchtune import chat, models
from pinchtune.errors import ModelError, TrainingDataError
from pinchtune.records import Example, Failure
from pinchtune.tuning.settings import TuningSettings

#: A token with this many others of nearly the same embedding was never trained.
MAX_TWINS = 10
TWIN_COSINE = 0.95


def encode_all(
    tokenizer: Any, examples: Sequence[Example], settings: TuningSettings
) -> tuple[list[chat.Encoded], list[Failure]]:
    """Encode and prove every example.

    Raises:
        TrainingDataError: one is longer than `max_length` (unless dropped), or does not train its response.
    """
    encoded, failures = [], []
    for example in examples:
        one = chat.encode(tokenizer, example)
        if len(one.input_ids) <= settings.max_length:
            encoded.append(one)
            continue
        detail = f"{len(one.input_ids)} tokens, max_length is {settings.max_length}"
        failures.append(
            Failure(id=example.id, language=example.language, stage="tune", reason="overlong", detail=detail)
        )
    if failures and settings.overlong == "error":
        named = "; ".join(f"{f.id!r} in {f.language}: {f.detail}" for f in failures[:3])
        raise TrainingDataError(
            f"{len(failures)} of {len(examples)} examples would lose the end of their response ({named}).",
            hint="Raise max_length, or leave them out and have them counted with overlong: drop.",
        )
    if not encoded:
        raise TrainingDataError("There is no example to tune on.", hint="Check the mixture.")
    return encoded, failures


def prove(
    examples: Sequence[Example], *, base: str, settings: TuningSettings, on_note: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Encode and prove every example without loading the model, and return what training would see.

    Raises:
        ModelError: no such model, or no chat template for it.
        TrainingDataError: an example that would not train its response.
    """
    tokenizer = models.load_tokenizer(models.resolve(base, on_note=on_note).tokenizer)
    stop = chat.ensure_template(tokenizer, settings.chat_template)
    encoded, failures = encode_all(tokenizer, examples, settings)
    return {
        "n_examples": len(encoded),
        "n_dropped": len(failures),
        "n_tokens": sum(len(one.input_ids) for one in encoded),
        "n_labels": sum(label != chat.IGNORED for one in encoded for label in one.labels),
        "longest": max(len(one.input_ids) for one in encoded),
        "stop_token": stop,
    }


def prove_stop_token(weight_VH: Any, tokenizer: Any, stop: str) -> None:
    """Show that a frozen output layer can tell the stop token from all others.

    A base model's unused tokens keep the embedding that weight decay left them, nearly the same for thousands. A stop
    token among them wins no argmax, and a model tuned on it by LoRA runs on (docs/decisions/0003-the-stop-token.md).

    Args:
        weight_VH: The output layer's weight, (V, H).
        tokenizer: Names the tokens.
        stop: The stop token.

    Raises:
        ModelError: more than `MAX_TWINS` tokens have nearly the same embedding.
    """
    import torch

    with torch.no_grad():
        row_H = weight_VH[tokenizer.convert_tokens_to_ids(stop)]
        cosine_V = torch.nn.functional.cosine_similarity(weight_VH, row_H[None], dim=1)
        twins = int((cosine_V > TWIN_COSINE).sum()) - 1
    if twins > MAX_TWINS:
        raise ModelError(
            f"The stop token {stop} is untrained in this base model: {twins} other tokens have nearly the same "
            "embedding, and a LoRA-tuned model would not learn to stop.",
            hint="Give a template that ends responses with the model's own end-of-text token: --chat-template plain; "
            "or train all weights: --method full.",
        )
