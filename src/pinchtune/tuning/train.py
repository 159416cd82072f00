"""Tuning a base model on a mixture, on transformers' Trainer and PEFT.

Before the first step every example is encoded and proven (`pinchtune.chat.encode`); a run that was killed goes on from
its last checkpoint; what is saved loads in transformers, PEFT and vLLM as it stands.
"""

from __future__ import annotations

import functools
import gc
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pinchtune import chat, models, plugins
from pinchtune.errors import ModelError
from pinchtune.records import Example
from pinchtune.tuning.card import write_card
from pinchtune.tuning.proof import encode_all, prove_stop_token
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.tuned import Tuned


def tune(
    examples: Sequence[Example],
    *,
    base: str,
    output: Path | str,
    settings: TuningSettings | None = None,
    seed: int = 0,
    on_note: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Tuned:
    """Tune `base` on `examples` and write the model to `output`.

    Args:
        examples: The mixture.
        base: A model as `pinchtune.models.resolve` takes it.
        output: Folder of the tuned model; checkpoints go to its `checkpoints` folder until the end.
        settings: How to tune.
        seed: Of the batches' order, the adapters' first values and dropout.
        on_note: Called with sentences a user should read.
        on_progress: Called with (optimiser steps done, steps in all).

    Raises:
        ModelError: no such model, or no chat template for it.
        TrainingDataError: an example that would not train its response.
        RunError: the disk refused.
    """
    settings = settings or TuningSettings()
    output = Path(output)
    torch = plugins.require("torch", "Tuning")
    transformers = plugins.require("transformers", "Tuning")
    plugins.require("accelerate", "Tuning")
    source = models.resolve(base, on_note=on_note)
    tokenizer = models.load_tokenizer(source.tokenizer)
    stop = chat.ensure_template(tokenizer, settings.chat_template)
    encoded, failures = encode_all(tokenizer, examples, settings)

    transformers.set_seed(seed)
    kept = _tokens_of(tokenizer, encoded) if settings.softmax == "sampled" else None
    model, dtype = _prepare_model(source, settings, tokenizer, stop, kept, seed)
    lengths = [len(one.input_ids) for one in encoded]
    checkpoints = output / "checkpoints"
    trainer = _trainer_class()(
        model=model,
        args=_arguments(checkpoints, settings, seed, dtype, torch.cuda.is_available()),
        train_dataset=[{"input_ids": one.input_ids, "labels": one.labels} for one in encoded],
        data_collator=functools.partial(_collate, pad_id=_pad_id(tokenizer)),
        callbacks=[_progress_callback(on_progress)],
        lengths=lengths,
    )
    # transformers adds a progress bar and a printer of its own; ours is the caller's.
    for callback in (transformers.trainer_callback.PrinterCallback, transformers.trainer_callback.ProgressCallback):
        trainer.remove_callback(callback)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer.train(resume_from_checkpoint=_last_whole_checkpoint(checkpoints))

    loss = tuple((int(row["step"]), float(row["loss"])) for row in trainer.state.log_history if "loss" in row)
    passes = trainer.state.epoch or settings.epochs
    result = Tuned(
        n_examples=len(encoded),
        n_tokens=round(sum(lengths) * passes),
        n_labels=round(sum(label != chat.IGNORED for one in encoded for label in one.labels) * passes),
        loss=loss,
        failures=tuple(failures),
    )
    model.save_pretrained(str(output))
    tokenizer.save_pretrained(str(output))
    model.generation_config.save_pretrained(str(output))
    write_card(output, base=base, settings=settings, examples=examples, seed=seed, tuned=result)
    shutil.rmtree(checkpoints, ignore_errors=True)
    # The trainer and the model hold each other; what runs next in this process needs their memory.
    del trainer, model
    gc.collect()
    return result


def _tokens_of(tokenizer: Any, encoded: Sequence[chat.Encoded]) -> list[int]:
    return sorted({token for one in encoded for token in one.input_ids} | set(tokenizer.all_special_ids))


def _prepare_model(
    source: models.Source, settings: TuningSettings, tokenizer: Any, stop: str, kept: list[int] | None, seed: int
) -> tuple[Any, str]:
    import torch

    from pinchtune.tuning import loss

    if source.adapter is not None and settings.method == "lora":
        raise ModelError(
            f"{source.adapter} is an adapter; LoRA is trained on a full model.",
            hint="Merge it first, or tune the base model on both mixtures together.",
        )
    if kept is not None and settings.method == "full":
        raise ModelError("A sampled softmax is for LoRA, whose output layer is frozen.", hint="Use softmax: full.")
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    dtype = settings.dtype if settings.dtype != "auto" else ("bfloat16" if native else "float32")
    model = models.load_model(source, dtype="float32" if settings.method == "full" else dtype)
    if settings.method == "lora":
        prove_stop_token(model.get_output_embeddings().weight, tokenizer, stop)
    model.config.use_cache = False
    stop_ids = {tokenizer.convert_tokens_to_ids(stop), tokenizer.eos_token_id} - {None}
    model.generation_config.eos_token_id = sorted(stop_ids)
    loss.install(model, kept=kept, seed=seed)
    if settings.method == "lora":
        peft = plugins.require("peft", "LoRA")
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model = peft.get_peft_model(model, config)
    return model.train(), dtype


def _arguments(folder: Path, settings: TuningSettings, seed: int, dtype: str, accelerated: bool) -> Any:
    import transformers

    return transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        seed=seed,
        data_seed=seed,
        bf16=accelerated and dtype == "bfloat16",
        use_cpu=not accelerated,
        logging_steps=1,
        save_strategy="steps",
        save_steps=25,
        save_total_limit=2,
        remove_unused_columns=False,
        report_to=list(settings.report_to) or "none",
        disable_tqdm=True,
    )


def _trainer_class() -> Any:
    import transformers

    from pinchtune.tuning.batches import LengthGroupedSampler

    class LengthGroupedTrainer(transformers.Trainer):  # type: ignore[misc]
        """transformers' Trainer with batches of like lengths."""

        def __init__(self, *args: Any, lengths: Sequence[int], **options: Any) -> None:
            super().__init__(*args, **options)
            self._lengths = lengths
            # The wrapped forward divides by num_items_in_batch, so that accumulation weighs every label alike.
            self.model_accepts_loss_kwargs = True

        def _get_train_sampler(self, *_: Any) -> Any:
            return LengthGroupedSampler(self._lengths, self.args.per_device_train_batch_size, self.args.seed)

    return LengthGroupedTrainer


def _collate(rows: Sequence[Any], *, pad_id: int) -> dict[str, Any]:
    from pinchtune.tuning.batches import collate

    return collate(rows, pad_id=pad_id)


def _progress_callback(on_progress: Callable[[int, int], None]) -> Any:
    import transformers

    class Progress(transformers.TrainerCallback):  # type: ignore[misc]
        """Tells the caller how far the run is."""

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            on_progress(state.global_step, state.max_steps)

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            on_progress(state.global_step, state.max_steps)

    return Progress()


def _pad_id(tokenizer: Any) -> int:
    # Padding is masked out of attention and loss, so any token will do where there is none of its own.
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)


def _last_whole_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint that was written to its end, removing torn ones after it."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in found:
        try:
            # The trainer's state is written after weights, optimiser and schedule.
            json.loads((checkpoint / "trainer_state.json").read_text())
        except (OSError, ValueError):
            shutil.rmtree(checkpoint, ignore_errors=True)
            continue
        return str(checkpoint)
    return None
