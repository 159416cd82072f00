"""What many tests share: a tiny randomly initialised model with a real tokenizer, and records made in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from pinchtune.records import Answer, Example, Message, Prompt, Sampling

# A loaded machine is slow now and then; how fast code is belongs to benchmarks.
settings.register_profile("pinchtune", deadline=None, max_examples=50)
settings.load_profile("pinchtune")


def example(identifier: str, language: str = "en", user: str = "A question?", assistant: str = "An answer.") -> Example:
    turns = (Message(role="user", content=user), Message(role="assistant", content=assistant))
    return Example(id=identifier, language=language, messages=turns)


def prompt(
    identifier: str, language: str = "en", text: str = "A question?", reference: str | None = "An answer."
) -> Prompt:
    return Prompt(id=identifier, language=language, messages=(Message(role="user", content=text),), reference=reference)


def answer(identifier: str, language: str = "en", model: str = "candidate", text: str = "An answer.") -> Answer:
    return Answer(
        id=identifier, language=language, model=model, text=text, stop_reason="stop", n_tokens=3, sampling=Sampling()
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    """Keep tests away from the user's cache, save those that need the real base model in it."""
    if "real_model" not in request.keywords:
        monkeypatch.setenv("PINCHTUNE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A Gemma 3 of two layers, random weights, and a byte-level tokenizer with Gemma's turn markers."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from pinchtune.sources import pack

    texts = [turn.content for tag in ("en", "fi", "ar") for e in pack.entries(tag)[:40] for turn in e.turns]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder = tmp_path_factory.mktemp("tiny") / "tiny-gemma"
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Gemma3TextConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    transformers.Gemma3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_model):
    from pinchtune.models import load_tokenizer

    return load_tokenizer(str(tiny_model))
