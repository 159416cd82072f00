"""Tuning a base model on a mixture, on transformers' Trainer and PEFT.

Before the first step every example is encoded and proven (`pinchtune.chat.encode`); a run that was killed goes on from
its last checkpoint; what is saved loads in transformers, PEFT and vLLM as it stands.
"""

from __future__ import annotations

import gc
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pinchtune import chat, machine, models, plugins
from pinchtune.errors import ModelError, PinchError
from pinchtune.records import Example, Failure
from pinchtune.tuning.card import write_card
from pinchtune.tuning.proof import encode_all, prove_stop_token
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.tuned import Tuned

#: Called with (optimiser steps done, steps in all).
Progress = Callable[[int, int], None]


def tune(
    examples: Sequence[Example],
    *,
    base: str,
    output: Path | str,
    settings: TuningSettings | None = None,
    seed: int = 0,
    on_note: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda _done, _total: None,
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
        PinchError: a tracker that is not installed, or no such accelerate config.
        RunError: the disk refused, or the processes failed.
    """
    settings = settings or TuningSettings()
    if settings.processes > 1 or settings.accelerate_config is not None:
        from pinchtune.tuning.launch import tune_on_processes

        # Once, and not in every process: the embedded model is converted on first use.
        models.resolve(base, on_note=on_note)
        run: Callable[..., Tuned] = tune_on_processes
    else:
        run = tune_here
    return run(
        examples, base=base, output=output, settings=settings, seed=seed, on_note=on_note, on_progress=on_progress
    )


def tune_here(
    examples: Sequence[Example],
    *,
    base: str,
    output: Path | str,
    settings: TuningSettings,
    seed: int = 0,
    on_note: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda _done, _total: None,
) -> Tuned:
    """Tune in this process, which may be one of several that accelerate started; the first alone writes.

    Arguments and errors are those of `tune`.
    """
    output = Path(output)
    transformers = plugins.require("transformers", "Tuning")
    plugins.require("torch", "Tuning")
    plugins.require("accelerate", "Tuning")
    from pinchtune.tuning import kernels

    dtype = kernels.number_type(settings)
    kernels.refuse_what_cannot_work(settings, dtype)
    source = models.resolve(base, on_note=on_note)
    tokenizer = models.load_tokenizer(source.tokenizer)
    stop = chat.ensure_template(tokenizer, settings.chat_template)
    encoded, failures = encode_all(tokenizer, examples, settings)

    machine.keep_freed_memory()
    transformers.set_seed(seed)
    kept = _tokens_of(tokenizer, encoded) if settings.softmax == "sampled" else None
    checkpoints = output / "checkpoints"
    args = _arguments(checkpoints, settings, seed, dtype)
    model = _prepare_model(source, settings, tokenizer, stop, kept, seed, dtype, args.device)
    told = on_progress if args.process_index == 0 else _untold
    trainer = _trainer(model, args, settings, tokenizer, encoded, told, on_note)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        with args.main_process_first(local=False, desc="looking for a checkpoint"):
            checkpoint = _last_whole_checkpoint(checkpoints)
        trainer.train(resume_from_checkpoint=checkpoint)

    if args.world_size > 1:
        on_note(_how_held(args.world_size, model))
    result = _result(trainer, settings, encoded, failures, dtype)
    # By all processes: where the weights are spread, each holds a part of what is written.
    weights = None if args.world_size == 1 else _gathered(trainer)
    if args.process_index == 0:
        model.save_pretrained(str(output), state_dict=weights)
        tokenizer.save_pretrained(str(output))
        model.generation_config.save_pretrained(str(output))
        write_card(output, base=base, settings=settings, examples=examples, seed=seed, tuned=result)
        _keep_logs(checkpoints / "runs", output / "runs")
        shutil.rmtree(checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    # The trainer and the model hold each other; what runs next in this process needs their memory.
    del trainer, model
    gc.collect()
    machine.return_freed_memory()
    return result


def _result(
    trainer: Any, settings: TuningSettings, encoded: Sequence[chat.Encoded], failures: Sequence[Failure], dtype: str
) -> Tuned:
    passes = trainer.state.epoch or settings.epochs
    return Tuned(
        n_examples=len(encoded),
        n_tokens=round(sum(len(one.input_ids) for one in encoded) * passes),
        n_labels=round(sum(label != chat.IGNORED for one in encoded for label in one.labels) * passes),
        loss=tuple((int(row["step"]), float(row["loss"])) for row in trainer.state.log_history if "loss" in row),
        failures=tuple(failures),
        dtype=dtype,
    )


def _how_held(n_processes: int, model: Any) -> str:
    # DTensors of FSDP2, partitioned parameters of ZeRO-3.
    spread = any(hasattr(one, name) for one in model.parameters() for name in ("full_tensor", "ds_tensor"))
    held = "a part of the weights" if spread else "the whole model"
    return f"Tuned on {n_processes} processes, each of which held {held}."


def _gathered(trainer: Any) -> dict[str, Any]:
    weights: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    # Gathered one by one, tied weights are no longer seen to be one.
    tied = getattr(trainer.model, "all_tied_weights_keys", None) or {}
    return {name: weight for name, weight in weights.items() if name not in tied}


def _untold(_done: int, _total: int) -> None:
    pass


def _keep_logs(written: Path, kept: Path) -> None:
    # TensorBoard's files, which transformers writes beside the checkpoints.
    if written.is_dir():
        shutil.copytree(written, kept, dirs_exist_ok=True)


def _tokens_of(tokenizer: Any, encoded: Sequence[chat.Encoded]) -> list[int]:
    return sorted({token for one in encoded for token in one.input_ids} | set(tokenizer.all_special_ids))


def _prepare_model(
    source: models.Source,
    settings: TuningSettings,
    tokenizer: Any,
    stop: str,
    kept: list[int] | None,
    seed: int,
    dtype: str,
    device: Any,
) -> Any:
    from pinchtune.tuning import kernels, loss

    if source.adapter is not None:
        raise ModelError(
            f"{source.adapter} is an adapter; what is tuned is a full model.",
            hint="Merge it first, or tune the base model on both mixtures together.",
        )
    if kept is not None and settings.method == "full":
        raise ModelError("A sampled softmax is for LoRA, whose output layer is frozen.", hint="Use softmax: full.")
    if settings.quantization == "4bit":
        if settings.method == "full":
            raise ModelError(
                "Weights in 4 bits are frozen; method: full trains them all.",
                hint="Use method: lora, or quantization: none.",
            )
        from pinchtune.tuning.quantized import load_4bit

        model = load_4bit(source, dtype=dtype, device=device)
    else:
        model = models.load_model(source, dtype="float32" if settings.method == "full" else dtype)
    kernels.set_attention(model, settings, dtype)
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
        # PEFT makes a set of it, and writes that in whatever order it has in this process.
        config.target_modules = sorted(config.target_modules)
    return model.train()


def _arguments(folder: Path, settings: TuningSettings, seed: int, dtype: str) -> Any:
    import torch
    import transformers

    from pinchtune.tuning.kernels import liger_arguments

    _require_trackers(settings.report_to)
    accelerated = torch.cuda.is_available()
    args = transformers.TrainingArguments(
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
        **liger_arguments(settings),
    )
    if args.n_gpu > 1:
        # One process takes one device: torch's DataParallel copies modules, and our loss holds on to the first.
        args._n_gpu = 1
    if args.device.type == "cpu":
        _let_fsdp_run_on_the_cpu()
    return args


def _let_fsdp_run_on_the_cpu() -> None:
    """Make accelerate take up FSDP where it was asked for, without an accelerator.

    `AcceleratorState` of accelerate 1.15 does so for several accelerators (MULTI_GPU and the like) and trains by DDP,
    silently, where its processes are MULTI_CPU. PyTorch's own `fully_shard` works there over gloo.
    """
    from accelerate.state import DistributedType, PartialState
    from accelerate.utils import parse_flag_from_env

    state = PartialState._shared_state
    if parse_flag_from_env("ACCELERATE_USE_FSDP") and state.get("distributed_type") == DistributedType.MULTI_CPU:
        state["distributed_type"] = DistributedType.MULTI_GPU


def _require_trackers(names: Sequence[str]) -> None:
    from transformers.integrations import get_available_reporting_integrations

    # transformers does not list flyte, whose callback says itself what it misses.
    missing = set(names) - {*get_available_reporting_integrations(), "flyte"}
    if missing:
        raise PinchError(
            f"report_to names {', '.join(sorted(missing))}, which is not installed here.",
            hint=f"pip install {' '.join(sorted(missing))}, or leave it out.",
        )


def _trainer(
    model: Any,
    args: Any,
    settings: TuningSettings,
    tokenizer: Any,
    encoded: Sequence[chat.Encoded],
    told: Progress,
    on_note: Callable[[str], None] = lambda _: None,
) -> Any:
    import transformers

    from pinchtune.tuning import kernels
    from pinchtune.tuning.batches import Collator, LengthGroupedSampler, blank

    lengths = [len(one.input_ids) for one in encoded]
    sampler = LengthGroupedSampler(lengths, settings.batch_size, args.seed, processes=args.world_size)
    pad_id = _pad_id(tokenizer)
    collate = Collator(pad_id, padding_free=kernels.wants_padding_free(settings, model))
    rows = [{"input_ids": one.input_ids, "labels": one.labels} for one in encoded]
    trainer = _trainer_class()(
        model=model,
        args=args,
        # The blank row, last, is only asked for where processes share a last batch that is short.
        train_dataset=[*rows, blank(pad_id)],
        data_collator=collate,
        callbacks=[_progress_callback(told, sampler)],
        sampler=sampler,
    )
    # transformers adds a progress bar and a printer of its own; ours is the caller's.
    for callback in (transformers.trainer_callback.PrinterCallback, transformers.trainer_callback.ProgressCallback):
        trainer.remove_callback(callback)
    if told_of := kernels.describe(model, collate, args):
        on_note(told_of)
    if collate.padding_free:
        longest = max(encoded, key=lambda one: len(one.input_ids)).input_ids
        trainer.add_callback(kernels.wall_check(trainer, collate, longest, settings=settings, on_note=on_note))
    return trainer


def _trainer_class() -> Any:
    import transformers

    class LengthGroupedTrainer(transformers.Trainer):  # type: ignore[misc]
        """transformers' Trainer with batches of like lengths."""

        def __init__(self, *args: Any, sampler: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._sampler = sampler
            # The wrapped forward divides by num_items_in_batch, so that accumulation weighs every label alike. That
            # is counted over all processes, and the trainer undoes their averaging of gradients.
            self.model_accepts_loss_kwargs = True

        def _get_train_sampler(self, *_: Any) -> Any:
            return self._sampler

    return LengthGroupedTrainer


def _progress_callback(on_progress: Progress, sampler: Any) -> Any:
    import transformers

    class Teller(transformers.TrainerCallback):  # type: ignore[misc]
        """Tells the caller how far the run is, and the sampler which epoch comes."""

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            on_progress(state.global_step, state.max_steps)

        def on_epoch_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            # The trainer's own word does not reach it through the wrappers of a resumed run on several processes.
            sampler.set_epoch(int((state.epoch or 0) + 1e-6))

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            on_progress(state.global_step, state.max_steps)

    return Teller()


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
