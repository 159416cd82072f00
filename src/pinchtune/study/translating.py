"""What the translation of one language does once its inputs are read: opens engine and cache, drives, keeps, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pinchtune import store
from pinchtune.records import Example, Failure, Message, Prompt, Sampling
from pinchtune.study.keep import RECORDS, Result
from pinchtune.study.work import Advance, with_failures
from pinchtune.translation.cache import TranslationCache, default_path
from pinchtune.translation.calls import Caller
from pinchtune.translation.driver import Untranslatable, prepare_segments
from pinchtune.translation.driver import translate as translate_examples
from pinchtune.translation.engine import Translator, open_translator, require_support
from pinchtune.translation.quality import back_translation_chrf, comet
from pinchtune.translation.regenerate import Responder, regenerate
from pinchtune.translation.tally import Tally
from pinchtune.translation.untranslatable import why_untranslatable


def translate(
    folder: Path,
    records: Sequence[Example] | Sequence[Prompt],
    *,
    engine: str,
    engine_settings: Mapping[str, Any],
    source: str,
    target: str,
    names: Sequence[str],
    untranslatable: Untranslatable,
    advance: Advance,
    cache_path: Path | None = None,
    max_cost: float | None = None,
    responder: Responder | None = None,
    ask: bool = False,
    keep_source: bool = True,
    back_translate: bool = False,
    with_comet: bool = False,
) -> Result:
    """Translate examples, or prompts with their references, into one language; ids are kept, failures counted.

    Args:
        folder: Where the records go.
        records: In the source language.
        engine: A translation engine, by name.
        engine_settings: Its own.
        source: Tag translated from.
        target: Tag translated into.
        names: Words kept as they are.
        untranslatable: What becomes of conversations about the language itself.
        advance: Told how far it is.
        cache_path: The cache; None: the user's.
        max_cost: Money at which calls stop.
        responder: Makes responses anew, in the place of translated ones.
        ask: Ask the engine, an LLM, what is untranslatable, besides the rules.
        keep_source: Write out, in the source language, what is not translated because it is about that language; a
            study has it there already.
        with_comet: Note COMET's mean too.
        back_translate: Translate back too, and note the chrF of each conversation's way there and back.
    """
    translator = open_translator(engine, **engine_settings)
    cache = TranslationCache(cache_path or default_path())
    tally = Tally(translator.price)
    try:
        require_support(translator, source, [target])
        caller = Caller(translator, cache, source=source, tally=tally, max_cost=max_cost)
        made: Iterable[Example | Failure] = translate_examples(
            [_as_example(one) for one in records],
            caller,
            source=source,
            target=target,
            tally=tally,
            names=names,
            untranslatable=untranslatable,
            engine_name=translator.name,
            roles=("system", "user") if responder else ("system", "user", "assistant"),
            on_done=lambda done: advance(done / len(records)),
            ask=caller.ask_untranslatable if ask else None,
        )
        if responder is not None:
            sampling = Sampling(max_new_tokens=1024)
            made = regenerate(made, responder, cache, target=target, tally=tally, sampling=sampling)
        done = list(made)
        quality = _back(records, done, translator, cache, source, target) if back_translate else {}
        quality |= _comet(records, done, target) if with_comet else {}
    finally:
        cache.close()
        translator.close()
    of_prompts = bool(records) and isinstance(records[0], Prompt)
    kept = [one for one in done if isinstance(one, Example) and (keep_source or one.language == target)]
    store.write_records(folder / RECORDS, [_as_prompt(one) for one in kept] if of_prompts else kept)
    failures = [one for one in done if isinstance(one, Failure)]
    notes: dict[str, Any] = quality | {
        "languages": tally.as_dict(),
        "cost": tally.cost,
        "engine": translator.name,
        "version": translator.version,
    }
    return with_failures(folder, len(records), len(kept), failures, notes=notes)


def _back(
    records: Sequence[Example] | Sequence[Prompt],
    done: Sequence[Example | Failure],
    translator: Translator,
    cache: TranslationCache,
    source: str,
    target: str,
) -> dict[str, Any]:
    """Return what a manifest says of the way back: mean chrF, over how many, and the ten lowest ids."""
    require_support(translator, target, [source])
    originals = {one.id: _as_example(one) for one in records}
    there = [one for one in done if isinstance(one, Example) and one.language == target]
    caller = Caller(translator, cache, source=target, tally=Tally(translator.price))
    scores = back_translation_chrf([originals[one.id] for one in there], there, caller, source=source, target=target)
    scored = sorted((score, one.id) for score, one in zip(scores, there, strict=True) if score is not None)
    mean = sum(score for score, _ in scored) / len(scored) if scored else None
    lowest = [{"id": identifier, "chrf": round(score, 1)} for score, identifier in scored[:10]]
    return {"back_translation_chrf": {"mean": mean, "n": len(scored), "of": len(there), "lowest": lowest}}


def _comet(
    records: Sequence[Example] | Sequence[Prompt], done: Sequence[Example | Failure], target: str
) -> dict[str, Any]:
    originals = {one.id: _as_example(one) for one in records}
    there = [one for one in done if isinstance(one, Example) and one.language == target]
    scores = comet([originals[one.id] for one in there], there) if there else []
    return {"comet": {"mean": sum(scores) / len(scores) if scores else None, "n": len(scores)}}


def estimate(
    records: Sequence[Example] | Sequence[Prompt],
    *,
    engine: str,
    engine_settings: Mapping[str, Any],
    source: str,
    targets: Sequence[str],
    cache_path: Path | None = None,
    untranslatable: Untranslatable = "keep",
    regenerate_responses: bool = False,
) -> dict[str, Any]:
    """Return, per language, how many segments and characters would be sent, and what they would cost in US dollars.

    Raises:
        LanguageError: the engine cannot do a language.
    """
    translator = open_translator(engine, **engine_settings)
    cache = TranslationCache(cache_path or default_path())
    try:
        require_support(translator, source, targets)
        caller = Caller(translator, cache, source=source, tally=Tally(translator.price))
        examples = [_as_example(one) for one in records]
        sent = [one for one in examples if untranslatable == "flag" or why_untranslatable(one.messages) is None]
        roles = ("system", "user") if regenerate_responses else ("system", "user", "assistant")
        segments = prepare_segments(sent, whole=caller.uses_context, roles=roles)
        found = {}
        for target in targets:
            missing = caller.missing(segments, target)
            found[target] = {
                "segments": len(segments),
                "to_send": len(missing),
                "characters": sum(len(request.text) for request in missing),
            }
    finally:
        cache.close()
        translator.close()
    total = sum(one["characters"] for one in found.values())
    return {"languages": found, "cost": None if translator.price is None else total * translator.price / 1e6}


def _as_example(record: Example | Prompt) -> Example:
    if isinstance(record, Example):
        return record
    turns = record.messages
    if record.reference is not None:
        turns = (*turns, Message(role="assistant", content=record.reference))
    return Example(id=record.id, language=record.language, messages=turns, category=record.category)


def _as_prompt(example: Example) -> Prompt:
    answered = example.messages[-1].role == "assistant"
    return Prompt(
        id=example.id,
        language=example.language,
        messages=example.messages[:-1] if answered else example.messages,
        reference=example.response if answered else None,
        category=example.category,
    )
