"""Which code computes attention and norms, and whether batches go without padding; each proven or refused.

Batches without padding are one row of conversations end to end, of which attention sees one at a time by the positions
that begin again at each (Kundu et al. 2024, arXiv 2407.09105). Whether a model does so depends on its code: some of
transformers' own make their mask without positions, and a recurrent state runs on. So it is tried before training.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from pinchtune import machine
from pinchtune.errors import MissingExtraError, ModelError, PinchError
from pinchtune.tuning.batches import Collator
from pinchtune.tuning.settings import TuningSettings

FLASH, FLEX = "flash_attention_2", "flex_attention"
#: As pip is asked for flash-attn, whose build needs the torch that is installed.
FLASH_PIP = "pip install flash-attn --no-build-isolation"
#: A conversation leaks into the next where it moves that one's logits by over this share of what it moves them without
#: any wall. Dense models are at 0; experts are computed in other groups, which rounds otherwise.
_LEAK = 0.2
#: Tokens of a conversation that the wall is tried with.
_N_TRIED = 32


def number_type(settings: TuningSettings) -> str:
    """Return torch's name of the type that is computed in; all weights of a model are tuned on a CPU in float32 alone.

    On a GPU they are held in float32 too, and computed in bfloat16 (transformers' mixed precision).
    """
    if settings.method == "full" and not _has_gpu():
        return "float32"
    return machine.number_type() if settings.dtype == "auto" else settings.dtype


def refuse_what_cannot_work(settings: TuningSettings, dtype: str) -> None:
    """Refuse an attention, or Liger's kernels, that cannot run here.

    Args:
        settings: How to tune.
        dtype: What is computed in, a name of torch's.

    Raises:
        PinchError: says what is missing, and what to install or type.
    """
    if settings.attention == FLASH and (lacking := _flash_lacks(dtype)):
        raise PinchError(f"attention: {FLASH} cannot be used here: {lacking[0]}", hint=lacking[1])
    if settings.attention == FLEX and not _has_gpu():
        raise PinchError(
            f"attention: {FLEX} trains on a GPU alone, and torch finds none here.",
            hint="attention: auto takes what suits the machine.",
        )
    if settings.liger is True and not _has_gpu():
        raise PinchError(
            "liger: true needs a GPU, and torch finds none here.",
            hint="liger: auto takes Liger's kernels where there is one.",
        )
    if settings.liger is True and not _has_liger():
        raise MissingExtraError("liger: true", "liger")


def set_attention(model: Any, settings: TuningSettings, dtype: str) -> None:
    """Make a model compute its attention as the settings say; auto: by flash-attn where it can, else as it came.

    Args:
        model: A causal LM of transformers, before PEFT wraps it.
        settings: How to tune.
        dtype: What is computed in, a name of torch's.

    Raises:
        ModelError: this model cannot; says why.
    """
    if settings.attention == "auto":
        if _flash_lacks(dtype) is None and _takes_flash(model):
            model.set_attn_implementation(FLASH)
        return
    why = "its code has but one."
    try:
        model.set_attn_implementation(settings.attention)
    except (ImportError, ValueError) as error:
        why = str(error).strip().split("\n")[0]
    if model.config._attn_implementation != settings.attention:
        raise ModelError(
            f"{type(model).__name__} cannot compute its attention by {settings.attention}: {why}",
            hint="attention: auto takes one that it has.",
        )


def wants_padding_free(settings: TuningSettings, model: Any) -> bool:
    """Return whether batches go without padding; auto: on a GPU, where attention skips what lies behind a wall.

    Elsewhere (sdpa, eager) every pair of tokens of the row is computed and then masked, which costs more than padding.
    """
    if settings.padding_free != "auto":
        return settings.padding_free
    return _has_gpu() and model.config._attn_implementation in (FLASH, FLEX)


def liger_arguments(settings: TuningSettings) -> dict[str, Any]:
    """Return what transformers' TrainingArguments take to put Liger's kernels in; nothing where they do not go.

    RMSNorm, RoPE and the gated MLP are Liger's. The loss stays ours: it holds no logits either, and drops unlabelled
    positions first. https://github.com/linkedin/Liger-Kernel
    """
    wanted = settings.liger if settings.liger != "auto" else _has_gpu() and _has_liger()
    if not wanted:
        return {}
    ours = {"cross_entropy": False, "fused_linear_cross_entropy": False}
    return {"use_liger_kernel": True, "liger_kernel_config": ours}


def keeps_apart(model: Any, tokens: Sequence[int], *, device: Any) -> bool:
    """Return whether the model, given two conversations in one row, computes the second as if the first were not there.

    The first is turned round: with positions that begin again the logits of the second must not move, measured by how
    far they move where the positions run on.

    Args:
        model: A causal LM, as it will be trained, in evaluation mode.
        tokens: Ids of a conversation, more than one.
        device: Where the model is.
    """
    import torch

    n = len(tokens)
    restarting = torch.tensor([[*range(n), *range(n)]], device=device)

    def moved(positions: torch.Tensor | None) -> float:
        second = []
        for first in (tokens, tokens[::-1]):
            row = torch.tensor([[*first, *tokens]], device=device)
            logits = model(input_ids=row, position_ids=positions, use_cache=False).logits
            second.append(logits[0, n:].float())
        return float((second[0] - second[1]).abs().mean())

    with torch.no_grad():
        return moved(restarting) < _LEAK * moved(None)


def wall_check(
    trainer: Any,
    collate: Collator,
    tokens: Sequence[int],
    *,
    settings: TuningSettings,
    on_note: Callable[[str], None],
) -> Any:
    """Return a callback that tries the wall before the first step, on the model as the trainer has prepared it.

    Where it leaks, `padding_free: true` is a ModelError; auto goes on with padded batches and says so.

    Args:
        trainer: Whose model is tried; all its processes try at once.
        collate: What is told to pad.
        tokens: Ids of a conversation.
        settings: How to tune.
        on_note: Called with sentences a user should read.
    """
    import transformers

    class WallCheck(transformers.TrainerCallback):  # type: ignore[misc]
        """Tries once, when the model is where it will be trained, and as it will be."""

        def on_train_begin(self, args: Any, _state: Any, _control: Any, **_: Any) -> None:
            # Not the callback's own model, which is the one before FSDP.
            model = trainer.model.eval()
            apart = keeps_apart(model, list(tokens)[:_N_TRIED], device=args.device)
            model.train()
            if apart:
                return
            leaks = "This model's attention, or its state, goes on from one conversation of a row to the next"
            if settings.padding_free is True:
                raise ModelError(
                    f"{leaks}: without padding it would be trained on what it should not see.",
                    hint="padding_free: auto pads where that is so.",
                )
            collate.padding_free = False
            on_note(f"{leaks}, so batches are padded.")

    return WallCheck()


def describe(model: Any, collate: Collator, args: Any) -> str:
    """Return a sentence on what is other than transformers' own; empty where nothing is.

    Args:
        model: As it will be trained.
        collate: Of its batches.
        args: The trainer's.
    """
    attention = model.config._attn_implementation
    told = [f"attention by {attention}"] * (attention in (FLASH, FLEX))
    told += ["batches without padding"] * collate.padding_free
    told += ["Liger's kernels, if it has some for this model"] * args.use_liger_kernel
    return f"Tuning with {', '.join(told)}." if told else ""


def _flash_lacks(dtype: str) -> tuple[str, str] | None:
    """Return why flash-attn cannot be used, and what to do; None where it can."""
    auto = "attention: auto takes what suits the machine."
    if not _has_gpu():
        return "it needs a GPU, and torch finds none.", auto
    if importlib.util.find_spec("flash_attn") is None:
        return "flash-attn is not installed.", f"{FLASH_PIP}, or {auto}"
    from transformers.utils import is_flash_attn_2_available

    if not is_flash_attn_2_available():
        return "the flash-attn that is installed is not one that transformers takes.", f"{FLASH_PIP} --upgrade"
    # The GPUs that compute in bfloat16 themselves are those that it runs on.
    if dtype != "bfloat16" or machine.number_type() != "bfloat16":
        return "it computes in bfloat16, on GPUs that have it.", f"dtype: bfloat16 on such a GPU, or {auto}"
    return None


def _takes_flash(model: Any) -> bool:
    # Some take other implementations of it alone, which transformers would fetch from the Hub.
    others = getattr(model, "_compatible_flash_implementations", None)
    settable = model._supports_flash_attn and model._can_set_attn_implementation()
    return bool(settable) and (others is None or FLASH in others)


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _has_liger() -> bool:
    return importlib.util.find_spec("liger_kernel") is not None
