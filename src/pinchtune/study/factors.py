"""Factors of languages: what each kind of them is made from, for a study's steps and for `pinch factors`.

A kind is a step: "tokens" (the tokenizer alone) and "bits" (the base model) are measured on parallel text; "shares" are
a table that the user gives; "similarity" and "distances" are of pairs of languages, and stand in `PAIRS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pinchtune import models, store
from pinchtune.errors import PinchError
from pinchtune.scoring.factors import ENGLISH, Factor, from_english
from pinchtune.scoring.shares import pretraining_shares
from pinchtune.scoring.similarity import PairFactor, pair_features
from pinchtune.sources import pack
from pinchtune.study.keep import RECORDS, Result
from pinchtune.tuning.pretraining_fit import Ratio, bits_per_character, fertility, parallel_responses

if TYPE_CHECKING:
    from pinchtune.recipe import Recipe
    from pinchtune.study.graph import Graph, Step
    from pinchtune.study.steps import Context

ROOM = "factors"
#: Factors of pairs of languages, beside the records.
PAIRS = "pairs.jsonl"
#: Seconds on two slow cores: to open a model, and for a text of the pack's shortest in one language.
_OPEN, _TEXT = 12, 0.8

Texts = Mapping[str, Sequence[str]]
Note = Callable[[str], None]
Advance = Callable[[float], None]


def texts_of_pack(tags: Sequence[str], limit: int | None) -> dict[str, tuple[str, ...]]:
    """Return the pack's shortest responses, parallel, in English and those of the languages that it has."""
    known = [tag for tag in with_english(tags) if tag in pack.tags()]
    return parallel_responses(pack.examples(known), limit=limit)


def with_english(tags: Sequence[str]) -> list[str]:
    """Return the languages in order, English first: all is measured beside it."""
    return [ENGLISH, *(tag for tag in dict.fromkeys(tags) if tag != ENGLISH)]


# ----------------------------------------------------------------------------------- what kinds are made from


def tokens(model: str, texts: Texts, *, on_note: Note = lambda _: None) -> list[Factor]:
    """Return what a model's tokenizer makes of parallel texts.

    Raises:
        PinchError: there is no text, or there are not as many in each language.
        ModelError: no such model.
    """
    tokenizer = models.load_tokenizer(models.resolve(model, on_note=on_note).tokenizer)
    found = []
    for one in fertility(tokenizer, texts):
        found.append(_measured("tokens_relative_to_english", one.language, one.tokens_relative_to_english, one.n_texts))
        found.append(_measured("tokens_per_word", one.language, one.tokens_per_word, one.n_texts, "no_spaces"))
    return found


def bits(
    model: str, texts: Texts, *, on_note: Note = lambda _: None, advance: Advance = lambda _: None
) -> list[Factor]:
    """Return what parallel texts cost a model.

    Raises:
        PinchError: there is no text, or there are not as many in each language.
        ModelError: no such model, or it has no start token, or its probabilities are no numbers.
        MissingExtraError: a library is not installed.
    """
    found = []
    told = bits_per_character(
        model, texts, on_note=on_note, on_progress=lambda done, total: advance(done / max(total, 1))
    )
    for one in told:
        found.append(_measured("bits_relative_to_english", one.language, one.bits_relative_to_english, one.n_texts))
        found.append(_measured("bits_per_character", one.language, one.bits_per_character, one.n_texts))
    return found


def shares(given: Mapping[str, float], tags: Sequence[str]) -> list[Factor]:
    """Return the shares of pretraining of the languages, those that a table has not with a reason."""
    return [
        Factor(
            name="pretraining_share",
            language=tag,
            value=given.get(tag),
            reason=None if tag in given else "not_in_table",
        )
        for tag in tags
    ]


def distances(tags: Sequence[str], *, on_note: Note = lambda _: None) -> tuple[list[Factor], list[PairFactor]]:
    """Return the languages' distances from English, and those of all pairs, by URIEL+.

    Raises:
        MissingExtraError: `urielplus` is not installed.
        LanguageError: not a language tag.
    """
    from pinchtune.scoring.uriel import uriel_distances

    pairs = uriel_distances(with_english(tags), on_note=on_note)
    return from_english(pairs), pairs


def unmeasured(names: Sequence[str], tags: Sequence[str]) -> list[Factor]:
    """Return factors of languages that the texts have not."""
    return [Factor(name=name, language=tag, value=None, reason="not_in_pack") for tag in tags for name in names]


def _measured(name: str, language: str, ratio: Ratio | None, n_texts: int, reason: str | None = None) -> Factor:
    if ratio is None:
        return Factor(name=name, language=language, value=None, n_texts=n_texts, reason=reason or "no_english")
    return Factor(name=name, language=language, value=ratio.value, low=ratio.low, high=ratio.high, n_texts=n_texts)


# ------------------------------------------------------------------------------------------ a study's steps


def add_steps(graph: Graph, recipe: Recipe, base: str, tags: Sequence[str]) -> list[str]:
    """Add the steps that a recipe's section of factors asks for, and return their names; none where there is none.

    Args:
        graph: Holds the base model's step.
        recipe: Its experiments put into mixtures.
        base: The name of the base model's step.
        tags: The languages evaluated in and tuned on.

    Raises:
        DataError: the table of shares cannot be read.
    """
    wanted = recipe.factors
    if wanted is None:
        return []
    every = with_english(tags)
    added = []
    if wanted.fertility or wanted.bits:
        texts = texts_of_pack(every, wanted.texts)
        measured = {"languages": every, "texts": wanted.texts, "texts_key": store.content_key(texts)}
        cost = _OPEN + _TEXT * len(texts) * wanted.texts
        if wanted.fertility:
            added.append(graph.add(f"{ROOM}/tokens", ROOM, {"factor": "tokens", **measured}, [base], cost=3))
        if wanted.bits:
            added.append(graph.add(f"{ROOM}/bits", ROOM, {"factor": "bits", **measured}, [base], cost=cost))
    if wanted.shares is not None:
        # The shares themselves, not the file's name: they may be done on a machine that has it not.
        table = pretraining_shares(wanted.shares)
        held = {tag: table[tag] for tag in every if tag in table}
        added.append(graph.add(f"{ROOM}/shares", ROOM, {"factor": "shares", "languages": every, "shares": held}))
    if wanted.similarity != "none":
        added.append(graph.add(f"{ROOM}/similarity", ROOM, {"factor": "similarity", "languages": every}))
    if wanted.distances:
        settings = {"factor": "distances", "languages": every}
        added.append(graph.add(f"{ROOM}/distances", ROOM, settings, cost=90))
    return added


def do(step: Step, folder: Path, context: Context) -> Result:
    """Do a step of factors."""
    settings = step.settings
    kind, tags = settings["factor"], settings["languages"]
    note = context.reporter.note
    pairs: list[PairFactor] = []
    if kind in ("tokens", "bits"):
        base = context.graph.steps[step.inputs[0]].settings["base_model"]
        texts = texts_of_pack(tags, settings["texts"])
        if kind == "tokens":
            found = tokens(base, texts, on_note=note)
        else:
            found = bits(base, texts, on_note=note, advance=context.reporter.advance)
        found += unmeasured(list(dict.fromkeys(one.name for one in found)), [tag for tag in tags if tag not in texts])
    elif kind == "shares":
        found = shares(settings["shares"], tags)
    elif kind == "similarity":
        found, pairs = [], pair_features(tags)
    else:
        found, pairs = distances(tags, on_note=note)
    return write(folder, found, pairs, n_in=len(tags), kinds=[kind])


def write(
    folder: Path, found: Sequence[Factor], pairs: Sequence[PairFactor], *, n_in: int, kinds: Sequence[str]
) -> Result:
    """Write factors of languages and of pairs into a folder, and count them."""
    store.write_records(folder / RECORDS, found)
    if pairs:
        store.write_records(folder / PAIRS, pairs)
    unknown: list[str | None] = [one.reason for one in found if one.value is None]
    unknown += [one.reason for one in pairs if one.value is None]
    reasons = dict(Counter(reason or "unknown" for reason in unknown))
    libraries = {"tokens": ("transformers",), "bits": ("torch", "transformers"), "distances": ("urielplus",)}
    return Result(
        n_in=n_in,
        n_out=len(found) + len(pairs),
        notes={"unknown": reasons} if reasons else {},
        libraries=tuple(dict.fromkeys(name for kind in kinds for name in libraries.get(kind, ()))),
    )


def require_languages(tags: Sequence[str]) -> None:
    """Refuse no language, or English alone.

    Raises:
        PinchError: says what to type.
    """
    if not [tag for tag in tags if tag != ENGLISH]:
        raise PinchError("Factors are of languages beside English, and there is none.", hint="--languages fi,ru,sw")
