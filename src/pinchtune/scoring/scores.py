"""The scores of a study: every comparison by every judge, language fidelity, and averages over languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pinchtune.records import Answer, Identified, Outcome, Prompt, Score
from pinchtune.scoring.bootstrap import Interval, PromptBootstrap
from pinchtune.scoring.cells import cell_items, length_items, lengths_of
from pinchtune.scoring.language_gate import line_passes
from pinchtune.scoring.length_control import length_controlled

Items = Mapping[tuple[str, str], float]
Groups = Mapping[str, Sequence[str]]


class Comparison(msgspec.Struct, frozen=True):
    """A candidate set against a baseline, as a recipe names them."""

    candidate: str
    baseline: str
    #: Those in which they meet; none: all.
    languages: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """A model that meets another baseline in each language, as in the paper: the model tuned on that language."""

    model: str
    #: What the baselines are together ("monolingual"), for `Score.baseline`.
    baseline: str
    #: Language -> baseline there.
    cells: dict[str, str]
    #: Languages in its tuning set.
    seen: tuple[str, ...] = ()


def language_groups(languages: Sequence[str], seen: Iterable[str]) -> dict[str, list[str]]:
    """Return the named means of a study: every language by itself, then all, non_english, seen and unseen.

    Args:
        languages: Tags evaluated on.
        seen: Tags with examples in the candidate's tuning set; English counts for neither seen nor unseen.
    """
    in_tuning = set(seen)
    others = [tag for tag in languages if tag != "en"]
    groups = {tag: [tag] for tag in languages}
    groups |= {
        "all": list(languages),
        "non_english": others,
        "seen": [tag for tag in others if tag in in_tuning],
        # Where nobody said what was seen, nothing is known to be unseen.
        "unseen": [tag for tag in others if tag not in in_tuning] if in_tuning else [],
    }
    return {name: tags for name, tags in groups.items() if tags}


def score_study(
    *,
    prompts: Sequence[Prompt],
    answers: Sequence[Answer],
    outcomes: Sequence[Outcome],
    identified: Sequence[Identified],
    comparisons: Sequence[Comparison],
    seen: Mapping[str, Iterable[str]],
    rows: Sequence[Row] = (),
    seed: int = 0,
) -> list[Score]:
    """Return every score of a study, with 95% intervals and denominators.

    `language_fidelity` is over a model's own answers whose language could be told. `language_fidelity_gain` is over the
    prompts told for both models, `n_judged` of them: it need not be the difference of the two models' fidelities, which
    may be over different prompts.

    Args:
        prompts: All that were asked, each (id, language) once.
        answers: Of all models.
        outcomes: Of all comparisons and judges.
        identified: Language identification of the answers.
        comparisons: Which candidate is compared with which baseline.
        seen: Model -> languages in its tuning set.
        rows: Models whose baseline differs by language, for their means over languages.
        seed: Of the bootstrap.
    """
    languages = list(dict.fromkeys(prompt.language for prompt in prompts))
    bootstrap = PromptBootstrap([prompt.id for prompt in prompts], seed=seed)
    tally = _Tally(prompts, answers, bootstrap)
    scores: list[Score] = []
    models = list(dict.fromkeys(answer.model for answer in answers))
    # The seen languages are the study's: those of any model's tuning set, so that models are averaged over the same.
    any_seen = {tag for tags in seen.values() for tag in tags}
    groups = language_groups(languages, any_seen)
    faithful = {model: _faithful(identified, model) for model in models}
    for model in models:
        own_identified = [one for one in identified if one.model == model]
        of_model = {
            "language_fidelity": faithful[model],
            "line_pass_rate": line_passes(own_identified, model),
            "mixed_languages": {(one.id, one.language): float(one.mixed) for one in own_identified if one.lines},
            "stopped": {(a.id, a.language): float(a.stop_reason == "stop") for a in answers if a.model == model},
        }
        for metric, items in of_model.items():
            scores += tally.scores(metric, groups, model, items)
    by_pair: dict[tuple[str, str], dict[str, list[Outcome]]] = {}
    for one in outcomes:
        by_pair.setdefault((one.candidate, one.baseline), {}).setdefault(one.judge, []).append(one)
    own: dict[tuple[str, str], dict[str, list[str]]] = {}
    for comparison in comparisons:
        pair = (comparison.candidate, comparison.baseline)
        where = list(comparison.languages) or languages
        own[pair] = language_groups(where, seen.get(comparison.candidate, any_seen))
        there = faithful.get(pair[0], {}), faithful.get(pair[1], {})
        for judge, decided in by_pair.get(pair, {}).items():
            for metric, items in cell_items(decided, candidate=there[0], baseline=there[1]).items():
                scores += tally.scores(metric, own[pair], pair[0], items, baseline=pair[1], judge=judge)
        for name, tags in own[pair].items():
            gain = bootstrap.difference(*there, tags)
            scores += tally.as_score("language_fidelity_gain", name, tags, pair[0], gain, baseline=pair[1])
    scores += _length_controlled(by_pair, lengths_of(answers), own, tally, seed)
    return scores + [score for row in rows for score in _of_row(row, by_pair, faithful, tally)]


ByPair = Mapping[tuple[str, str], Mapping[str, Sequence[Outcome]]]


def _of_row(row: Row, by_pair: ByPair, faithful: Mapping[str, Items], tally: _Tally) -> list[Score]:
    """Return a row's scores over its cells: side by side and ties, in the means over languages."""
    groups = language_groups(list(row.cells), row.seen)
    judges = dict.fromkeys(judge for tag in row.cells for judge in by_pair.get((row.model, row.cells[tag]), {}))
    scores: list[Score] = []
    for judge in judges:
        found: dict[str, dict[tuple[str, str], float]] = {}
        for tag, baseline in row.cells.items():
            decided = [one for one in by_pair.get((row.model, baseline), {}).get(judge, ()) if one.language == tag]
            sides = faithful.get(row.model, {}), faithful.get(baseline, {})
            for metric, items in cell_items(decided, candidate=sides[0], baseline=sides[1]).items():
                found.setdefault(metric, {}).update(items)
        for metric, all_items in found.items():
            scores += tally.scores(metric, groups, row.model, all_items, baseline=row.baseline, judge=judge)
    return scores


def _length_controlled(
    by_pair: ByPair,
    lengths: Mapping[tuple[str, str, str], int],
    own: Mapping[tuple[str, str], Mapping[str, Sequence[str]]],
    tally: _Tally,
    seed: int,
) -> list[Score]:
    """Return the scores at equal lengths; candidates with one baseline and judge share the effect of length."""
    scores: list[Score] = []
    for baseline in dict.fromkeys(baseline for _, baseline in own):
        candidates = [candidate for candidate, other in own if other == baseline]
        # Candidates may have seen different languages, so a mean's name alone does not say over which it goes.
        named = {(name, tuple(tags)): tags for one in candidates for name, tags in own[one, baseline].items()}
        groups = {str(number): tags for number, tags in enumerate(named.values())}
        keys = list(named)
        for judge in dict.fromkeys(judge for one in candidates for judge in by_pair.get((one, baseline), {})):
            items = [
                item
                for one in candidates
                for item in length_items(
                    by_pair.get((one, baseline), {}).get(judge, ()), lengths, model=one, baseline=baseline
                )
            ]
            for made in length_controlled(items, groups, seed=seed):
                name, tags = keys[int(made.language)]
                if tuple(own[made.model, baseline].get(name, ())) == tags:
                    interval = Interval(made.value, made.low, made.high, made.n)
                    scores += tally.as_score(
                        "length_controlled", name, tags, made.model, interval, baseline=baseline, judge=judge
                    )
    return scores


class _Tally:
    """Turns items into scores, with the denominators of the study."""

    def __init__(self, prompts: Sequence[Prompt], answers: Sequence[Answer], bootstrap: PromptBootstrap) -> None:
        self._asked = Counter(prompt.language for prompt in prompts)
        keys = {(prompt.id, prompt.language) for prompt in prompts}
        told = {(answer.model, answer.id, answer.language) for answer in answers}
        self._answered = Counter((model, tag) for model, identifier, tag in told if (identifier, tag) in keys)
        self._models = {model for model, _ in self._answered}
        self._bootstrap = bootstrap

    def scores(self, metric: str, groups: Groups, model: str, items: Items, **who: str | None) -> list[Score]:
        """Return a metric's score in every group, from one table of draws."""
        draws = self._bootstrap.of(items)
        return [
            score
            for name, tags in groups.items()
            for score in self.as_score(metric, name, tags, model, draws.mean(tags), **who)
        ]

    def as_score(
        self, metric: str, name: str, tags: Sequence[str], model: str, interval: Interval | None, **who: str | None
    ) -> list[Score]:
        if interval is None:
            return []
        # A baseline that is no model is several, one in each language.
        models = {model, who.get("baseline") or model} & (self._models | {model})
        return [
            Score(
                metric=metric,
                language=name,
                model=model,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                error=interval.error,
                n_asked=sum(self._asked[tag] for tag in tags),
                n_answered=min(self._n_answered(one, tags) for one in models),
                n_judged=interval.n,
                **who,
            )
        ]

    def _n_answered(self, model: str, tags: Sequence[str]) -> int:
        return sum(self._answered[model, tag] for tag in tags)


def _faithful(identified: Sequence[Identified], model: str) -> dict[tuple[str, str], float]:
    return {(i.id, i.language): float(i.faithful) for i in identified if i.model == model and i.faithful is not None}
