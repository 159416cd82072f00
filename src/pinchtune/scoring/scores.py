"""The scores of a study: side by side with discounted ties, language fidelity, and averages over languages.

Discounted ties (Shaham et al. 2024, arXiv 2401.01854): a win counts 1, a tie one half, a loss 0, averaged over the
instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pinchtune.records import Answer, Identified, Outcome, Prompt, Score
from pinchtune.scoring.bootstrap import Interval, PromptBootstrap

POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
Items = Mapping[tuple[str, str], float]


class Comparison(msgspec.Struct, frozen=True):
    """A candidate set against a baseline, as a recipe names them."""

    candidate: str
    baseline: str


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
    seed: int = 0,
) -> list[Score]:
    """Return every score of a study, with 95% intervals and denominators.

    Args:
        prompts: All that were asked, each (id, language) once.
        answers: Of all models.
        outcomes: Of all comparisons and judges.
        identified: Language identification of the answers.
        comparisons: Which candidate is compared with which baseline.
        seen: Model -> languages in its tuning set.
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
        stopped = {(a.id, a.language): float(a.stop_reason == "stop") for a in answers if a.model == model}
        for name, tags in groups.items():
            scores += tally.score("language_fidelity", name, tags, model, faithful[model])
            scores += tally.score("stopped", name, tags, model, stopped)
    for comparison in comparisons:
        own = language_groups(languages, seen.get(comparison.candidate, any_seen))
        pair = (comparison.candidate, comparison.baseline)
        for judge in dict.fromkeys(o.judge for o in outcomes if (o.candidate, o.baseline) == pair):
            decided = [o for o in outcomes if (o.candidate, o.baseline, o.judge) == (*pair, judge)]
            points = {(o.id, o.language): POINTS[o.result] for o in decided}
            ties = {(o.id, o.language): float(o.result == "tie") for o in decided}
            for name, tags in own.items():
                scores += tally.score("side_by_side", name, tags, pair[0], points, baseline=pair[1], judge=judge)
                scores += tally.score("tie_rate", name, tags, pair[0], ties, baseline=pair[1], judge=judge)
        for name, tags in own.items():
            gain = bootstrap.difference(faithful.get(pair[0], {}), faithful.get(pair[1], {}), tags)
            scores += tally.as_score("language_fidelity_gain", name, tags, pair[0], gain, baseline=pair[1])
    return scores


class _Tally:
    """Turns items into scores, with the denominators of the study."""

    def __init__(self, prompts: Sequence[Prompt], answers: Sequence[Answer], bootstrap: PromptBootstrap) -> None:
        self._asked = [prompt.language for prompt in prompts]
        keys = {(prompt.id, prompt.language) for prompt in prompts}
        told = {(answer.model, answer.id, answer.language) for answer in answers}
        self._answered = [(model, tag) for model, identifier, tag in told if (identifier, tag) in keys]
        self._bootstrap = bootstrap

    def score(
        self, metric: str, name: str, tags: Sequence[str], model: str, items: Items, **who: str | None
    ) -> list[Score]:
        return self.as_score(metric, name, tags, model, self._bootstrap.mean(items, tags), **who)

    def as_score(
        self, metric: str, name: str, tags: Sequence[str], model: str, interval: Interval | None, **who: str | None
    ) -> list[Score]:
        if interval is None:
            return []
        models = {model, who.get("baseline") or model}
        return [
            Score(
                metric=metric,
                language=name,
                model=model,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                n_asked=sum(tag in tags for tag in self._asked),
                n_answered=min(sum(m == one and tag in tags for m, tag in self._answered) for one in models),
                n_judged=interval.n,
                **who,
            )
        ]


def _faithful(identified: Sequence[Identified], model: str) -> dict[tuple[str, str], float]:
    return {(i.id, i.language): float(i.faithful) for i in identified if i.model == model and i.faithful is not None}
