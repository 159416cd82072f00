"""The page of a study: gathers what the template shows, and writes index.html and figures' data as CSV.

Everything a model or a data set wrote is escaped by Jinja; the page runs no script and loads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pinchtune import languages, models, store
from pinchtune.recipe import Recipe
from pinchtune.records import Answer, Failure, Identified, Outcome, Prompt, Score, Verdict
from pinchtune.report import pictures
from pinchtune.report.tables import fidelity_rows, percent, side_by_side_rows, span
from pinchtune.scoring.bootstrap import DRAWS


class Study(msgspec.Struct, frozen=True):
    """All that a page shows."""

    recipe: Recipe
    prompts: list[Prompt]
    answers: list[Answer]
    identified: list[Identified]
    outcomes: list[Outcome]
    verdicts: list[Verdict]
    scores: list[Score]
    failures: list[Failure]
    #: Model -> languages of its mixture.
    seen: dict[str, list[str]]
    #: Step -> manifest.
    manifests: dict[str, store.Manifest]


def write_page(study: Study, folder: Path) -> Path:
    """Write the page into `folder` and return its path.

    Raises:
        RunError: the disk refused.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinchtune.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = folder / "index.html"
    store.write_text(page, environment.get_template("page.html.jinja").render(**_view(study)))
    store.write_text(folder / "scores.csv", _csv(study.scores))
    return page


def _view(study: Study) -> dict[str, Any]:
    names = study.recipe.models
    seen = sorted({tag for tags in study.seen.values() for tag in tags} - {"en"})
    fidelity = {
        model: [s for s in study.scores if s.metric == "language_fidelity" and s.model == model] for model in names
    }
    losses = {name: study.manifests[f"tune/{name}"].notes["loss"] for name in study.recipe.mixtures}
    versions = {k: v for manifest in study.manifests.values() for k, v in manifest.libraries.items()}
    return {
        "study": study,
        "n_prompts": len(study.prompts),
        "draws": f"{DRAWS:,}",
        "models": names,
        "tables": [_comparison(study, one.candidate, one.baseline) for one in study.recipe.comparisons],
        "fidelity": fidelity_rows(fidelity, seen=seen),
        "fidelity_picture": pictures.language_fidelity(fidelity),
        "mixtures": [_mixture(study, name) for name in study.recipe.mixtures],
        "loss_picture": pictures.loss_curves(losses),
        "groups": _groups(study),
        "failures": [
            {"stage": stage, "reason": reason, "count": count}
            for (stage, reason), count in sorted(Counter((f.stage, f.reason) for f in study.failures).items())
        ],
        "recipe_text": yaml.safe_dump(study.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        "libraries": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "licence": models.GEMMA_TERMS if study.recipe.base_model == models.EMBEDDED else "",
    }


def _comparison(study: Study, candidate: str, baseline: str) -> dict[str, Any]:
    own = {
        (s.metric, s.language): s for s in study.scores if s.model == candidate and s.baseline == baseline
    }
    scores = [s for (metric, _), s in own.items() if metric == "side_by_side"]
    outcomes = [o for o in study.outcomes if (o.candidate, o.baseline) == (candidate, baseline)]
    seen = [tag for tag in study.seen.get(candidate, []) if tag != "en"]
    cards = []
    for metric, name, text in (
        ("side_by_side", "non_english", f"side by side outside English: {candidate} against {baseline}"),
        ("language_fidelity_gain", "non_english", "points of language fidelity gained outside English"),
        ("language_fidelity_gain", "seen", "points gained in languages seen in tuning"),
        ("language_fidelity_gain", "unseen", "points gained in languages not seen"),
    ):
        score = own.get((metric, name))
        if score is not None:
            value = percent(score.value) + "%" if metric == "side_by_side" else f"{100 * score.value:+.1f}"
            cards.append({"value": value, "text": text, "interval": f"95% interval {span(score)}"})
    return {
        "candidate": candidate,
        "baseline": baseline,
        "judge": ", ".join(sorted({s.judge for s in scores if s.judge})),
        "cards": cards,
        "sentence": _sentence(own.get(("side_by_side", "non_english")), candidate, baseline),
        "rows": side_by_side_rows(scores, own, outcomes, seen=seen),
        "picture": pictures.side_by_side(scores, candidate=candidate, baseline=baseline, seen=seen),
    }


def _sentence(score: Score | None, candidate: str, baseline: str) -> str:
    if score is None:
        return "No pair outside English could be judged."
    if score.low > 0.5:
        verdict = f"{candidate} is preferred to {baseline}"
    elif score.high < 0.5:
        verdict = f"{baseline} is preferred to {candidate}"
    else:
        verdict = f"{candidate} and {baseline} cannot be told apart"
    return (
        f"Outside English, {verdict}: {percent(score.value)}% [{span(score)}], over {score.n_judged} judged "
        f"prompts of {score.n_asked}, one seed."
    )


def _mixture(study: Study, name: str) -> dict[str, Any]:
    mix, tune = study.manifests[f"mix/{name}"].notes, study.manifests[f"tune/{name}"].notes
    stopped = next((s for s in study.scores if (s.metric, s.model, s.language) == ("stopped", name, "all")), None)
    return {
        "name": name,
        "n_examples": mix["n_examples"],
        "languages": ", ".join(f"{tag} {count}" for tag, count in mix["counts"].items()),
        "n_tokens": tune["n_tokens"],
        "n_labels": tune["n_labels"],
        "loss": f"{tune['loss'][-1][1]:.2f}" if tune["loss"] else "",
        "stopped": percent(stopped.value) if stopped else "",
    }


def _groups(study: Study) -> list[dict[str, Any]]:
    answers: dict[tuple[str, str], list[Answer]] = {}
    for answer in study.answers:
        answers.setdefault((answer.id, answer.language), []).append(answer)
    identified = {(i.id, i.language, i.model): i for i in study.identified}
    outcomes: dict[tuple[str, str], list[str]] = {}
    for one in study.outcomes:
        outcomes.setdefault((one.id, one.language), []).append(f"{one.candidate} against {one.baseline}: {one.result}")
    groups = []
    for tag in dict.fromkeys(prompt.language for prompt in study.prompts):
        language = languages.parse(tag)
        items = [
            {
                "prompt": prompt,
                "outcomes": outcomes.get((prompt.id, tag), []),
                "answers": [_answer(one, identified) for one in answers.get((prompt.id, tag), [])],
            }
            for prompt in study.prompts
            if prompt.language == tag
        ]
        groups.append(
            {
                "tag": tag,
                "label": language.name,
                "autonym": language.autonym,
                "direction": language.direction,
                "items": items,
            }
        )
    return groups


def _answer(answer: Answer, identified: Mapping[tuple[str, str, str], Identified]) -> dict[str, Any]:
    found = identified.get((answer.id, answer.language, answer.model))
    return {
        "model": answer.model,
        "text": answer.text,
        "stop": "" if answer.stop_reason == "stop" else "cut at the limit ·",
        "faithful": found.faithful if found else None,
        "found": languages.parse(found.found).name if found and found.found else "another language",
        "tag": found.found if found else None,
    }


def _csv(scores: Sequence[Score]) -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Score.__struct_fields__)
    writer.writerows([getattr(score, name) for name in Score.__struct_fields__] for score in scores)
    return stream.getvalue()
