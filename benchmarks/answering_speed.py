#!/usr/bin/env python3
"""Answering tokens a second of the default CPU engine (CTranslate2, int8) against transformers' `generate`.

Gemma 3 270M, one batch of 32 prompts of the pack in several languages, greedy, at most 64 new tokens. The peer is
transformers as it comes, in float32 and in bfloat16, each side in a process of its own. Also the share of answers that
are the same text as transformers' in float32: other numbers round otherwise, so greedy paths part somewhere. Prints one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

NEW_TOKENS, BATCH = 64, 32


def conversations() -> list[Any]:
    """Return the batch."""
    from pinchtune.sources import pack

    return [one.messages for one in pack.prompts(["en", "es", "fi", "he"], limit=BATCH // 4)]


def ours(engine: str) -> dict[str, Any]:
    """Answer the batch with an engine and return texts, tokens and seconds; opening the engine is not counted."""
    from pinchtune.engine import open_engine
    from pinchtune.records import Sampling

    prompts = conversations()
    opened = open_engine(engine, "gemma3-270m")
    try:
        opened.generate(prompts[:1], Sampling(max_new_tokens=2))
        begun = time.perf_counter()
        made = opened.generate(prompts, Sampling(max_new_tokens=NEW_TOKENS))
        seconds = time.perf_counter() - begun
    finally:
        opened.close()
    texts = [one.text for one in made]
    return {"texts": texts, "tokens": sum(one.n_tokens for one in made), "seconds": round(seconds, 2)}


def stock(dtype: str) -> dict[str, Any]:
    """Answer the batch with transformers as its user would, prompts padded on the left."""
    import torch
    import transformers

    from pinchtune import chat, models

    source = models.resolve("gemma3-270m")
    tokenizer = models.load_tokenizer(source.tokenizer)
    stop = tokenizer.convert_tokens_to_ids(chat.ensure_template(tokenizer))
    model = transformers.AutoModelForCausalLM.from_pretrained(source.base, dtype=getattr(torch, dtype)).eval()
    prompts = [chat.encode_prompt(tokenizer, messages) for messages in conversations()]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(one)) + one for one in prompts])
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
    ends = sorted({stop, tokenizer.eos_token_id})

    def generate(n: int, rows: int) -> Any:
        with torch.inference_mode():
            return model.generate(
                input_ids=ids[:rows],
                attention_mask=mask[:rows],
                max_new_tokens=n,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=0,
            )[:, longest:]

    generate(2, 1)
    begun = time.perf_counter()
    made = generate(NEW_TOKENS, len(prompts)).tolist()
    seconds = time.perf_counter() - begun
    kept = [row[: min((row.index(end) for end in ends if end in row), default=len(row))] for row in made]
    texts = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in kept]
    return {"texts": texts, "tokens": sum(map(len, kept)), "seconds": round(seconds, 2)}


def in_a_process(side: str) -> dict[str, Any]:
    """Run one side in a process of its own and return what it printed."""
    command = [sys.executable, __file__, "--only", side]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"tokens_per_second": round(found["tokens"] / found["seconds"], 1)}


def main() -> None:
    """Run the sides one after the other, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="ctranslate2")
    parser.add_argument("--only", help="ENGINE, or stock:DTYPE")
    given = parser.parse_args()
    if given.only:
        kind, _, dtype = given.only.partition(":")
        print(json.dumps(stock(dtype) if kind == "stock" else ours(kind)))
        return
    from pinchtune.store import library_versions

    sides = {name: in_a_process(name) for name in (given.engine, "transformers", "stock:float32", "stock:bfloat16")}
    texts = {name: side.pop("texts") for name, side in sides.items()}

    def same(name: str) -> str:
        pairs = zip(texts[name], texts["stock:float32"], strict=True)
        return f"{sum(one == other for one, other in pairs)} of {BATCH}"

    peer = sides["stock:float32"]
    print(
        json.dumps(
            {
                "benchmark": "answering_speed",
                "unit": "tokens per second",
                "ours": {"name": given.engine} | sides[given.engine],
                "peer": {"name": "transformers generate, float32"} | peer,
                "ratio": round(sides[given.engine]["tokens_per_second"] / peer["tokens_per_second"], 2),
                "identical_greedy_answers": same(given.engine),
                "our_transformers_engine": sides["transformers"] | {"identical": same("transformers")},
                "peer_in_bfloat16": sides["stock:bfloat16"] | {"identical": same("stock:bfloat16")},
                "versions": dict(library_versions("torch", "transformers", "ctranslate2")),
                "machine": f"{platform.machine()}, {os.cpu_count()} threads, Python {platform.python_version()}",
            }
        )
    )


if __name__ == "__main__":
    main()
