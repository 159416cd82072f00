#!/usr/bin/env python3
"""Training tokens a second, ours against TRL's SFTTrainer, on the same examples with the same hyper-parameters.

LoRA r=16 on all linear layers of Gemma 3 270M, 64 conversations of the pack, batches of 8, one pass. TRL runs at the
best of its settings that was found on a CPU: loss on completions alone, no gradient checkpointing, batches grouped by
length where its version has that, and the faster of float32 and bfloat16. Ours runs as it stands, and once in float32.
Each runs in a process of its own. The loss of all tuned models is then computed by one function on the same
conversations: a faster run that learns something else is no gain. Prints one JSON line.

    pip install 'pinchtune[quickstart,trl]' && python benchmarks/training_speed.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EXAMPLES, BATCH, RANK, ALPHA, RATE, SEED = 64, 8, 16, 32, 3e-4, 0


def conversations() -> list[Any]:
    """Return the examples: English with a pinch of other languages, as the tool is for."""
    from pinchtune.mixtures.designs import pinch
    from pinchtune.sources import pack

    tags = ["ar", "fi", "ru", "sw"]
    return pinch(pack.examples(["en", *tags]), languages=tags, n_examples=EXAMPLES, pinch_examples=16, seed=SEED)


def ours(folder: Path, dtype: str, softmax: str) -> dict[str, Any]:
    """Tune with pinchtune and return tokens, seconds and memory."""
    from pinchtune import machine
    from pinchtune.tuning.settings import TuningSettings
    from pinchtune.tuning.train import tune

    ticks: list[float] = []
    settings = TuningSettings(
        rank=RANK,
        alpha=ALPHA,
        learning_rate=RATE,
        epochs=1,
        batch_size=BATCH,
        softmax=softmax,
        warmup_ratio=0.0,
        dtype=dtype,
    )
    made = tune(
        conversations(),
        base="gemma3-270m",
        output=folder,
        settings=settings,
        seed=SEED,
        on_progress=lambda *_: ticks.append(time.perf_counter()),
    )
    dtype = machine.number_type() if dtype == "auto" else dtype
    return {"tokens": made.n_tokens, "seconds": round(ticks[-1] - ticks[0], 2), "dtype": dtype}


def trl(folder: Path, dtype: str, _softmax: str) -> dict[str, Any]:
    """Tune with TRL and return tokens, seconds and memory."""
    import datasets
    import peft
    import torch
    import transformers
    from trl import SFTConfig, SFTTrainer

    from pinchtune import chat, models

    source = models.resolve("gemma3-270m")
    tokenizer = models.load_tokenizer(source.tokenizer)
    chat.ensure_template(tokenizer)
    # As TRL's user would: what this package's own loading does for speed is not the peer's.
    model = transformers.AutoModelForCausalLM.from_pretrained(source.base, dtype=getattr(torch, dtype))
    model.config.use_cache = False
    rows = []
    for one in conversations():
        turns = [{"role": turn.role, "content": turn.content} for turn in one.messages]
        rows.append({"prompt": turns[:-1], "completion": turns[-1:]})
    grouped = {"group_by_length": True} if "group_by_length" in SFTConfig.__dataclass_fields__ else {}
    if "train_sampling_strategy" in SFTConfig.__dataclass_fields__:
        grouped = {"train_sampling_strategy": "group_by_length"}
    config = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        lr_scheduler_type="linear",
        seed=SEED,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=False,
        completion_only_loss=True,
        max_length=2048,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        **grouped,
    )
    lora = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora,
    )
    tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    begun = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begun
    trainer.model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return {"tokens": tokens, "seconds": round(seconds, 2), "dtype": dtype, "settings": sorted(grouped)}


def loss_of(folder: Path) -> float:
    """Return the mean loss of a tuned model over the responses of the conversations it was tuned on."""
    import torch

    from pinchtune import chat, models
    from pinchtune.tuning import loss

    source = models.resolve(str(folder))
    tokenizer = models.load_tokenizer(source.tokenizer)
    chat.ensure_template(tokenizer)
    model = models.load_model(source, dtype="float32").eval()
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    loss.install(causal)
    total, labels = 0.0, 0
    with torch.no_grad():
        for one in conversations():
            encoded = chat.encode(tokenizer, one)
            count = sum(label != chat.IGNORED for label in encoded.labels)
            made = model(input_ids=torch.tensor([encoded.input_ids]), labels=torch.tensor([encoded.labels]))
            total, labels = total + float(made.loss) * count, labels + count
    return total / labels


def in_a_process(kind: str, folder: Path, dtype: str, softmax: str) -> dict[str, Any]:
    """Run one side in a process of its own and return what it printed."""
    command = [
        sys.executable,
        __file__,
        "--only",
        kind,
        "--folder",
        str(folder),
        "--dtype",
        dtype,
        "--softmax",
        softmax,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Run both sides, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("ours", "trl", "loss"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--softmax", default="full", choices=("full", "sampled"))
    given = parser.parse_args()
    if given.only == "loss":
        print(json.dumps({"loss": loss_of(given.folder)}))
        return
    if given.only:
        made = {"ours": ours, "trl": trl}[given.only](given.folder, given.dtype, given.softmax)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(made | {"peak_mb": round(peak)}))
        return
    from pinchtune.store import library_versions

    sides = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, dtype in (("ours", "auto"), ("ours", "float32"), ("trl", "float32"), ("trl", "bfloat16")):
            path = Path(folder) / f"{kind}-{dtype}"
            side = in_a_process(kind, path, dtype, given.softmax)
            side |= in_a_process("loss", path, dtype, given.softmax)
            side["tokens_per_second"] = round(side["tokens"] / side["seconds"], 1)
            sides[kind, dtype] = side
            print(kind, dtype, json.dumps(side), file=sys.stderr)
    ours_, peer = (
        sides["ours", "auto"],
        max(
            (sides["trl", dtype] for dtype in ("float32", "bfloat16")),
            key=lambda side: float(side["tokens_per_second"]),
        ),
    )
    ratio = ours_["tokens_per_second"] / peer["tokens_per_second"]
    float32 = sides["ours", "float32"]["tokens_per_second"] / sides["trl", "float32"]["tokens_per_second"]
    print(
        json.dumps(
            {
                "benchmark": "training_speed",
                "unit": "tokens per second",
                "softmax": given.softmax,
                "ours": ours_,
                "peer": {"name": f"TRL SFTTrainer, {peer['dtype']}"} | peer,
                "ratio": round(ratio, 2),
                "loss_ratio": round(ours_["loss"] / peer["loss"], 4),
                "ratio_both_in_float32": round(float32, 2),
                "versions": dict(library_versions("torch", "transformers", "peft", "trl")),
                "machine": f"{platform.machine()}, {os.cpu_count()} threads, Python {platform.python_version()}",
            }
        )
    )


if __name__ == "__main__":
    main()
