"""The claims of Shaham et al. 2024 (arXiv 2401.01854) as tests on a study's own data.

A study on another model, other data or another judge need not find what the paper found; and where its prompts are too
few to say, it says so. The paper gives its numbers without intervals: where a claim needs a line ("almost", "similar",
"high"), the line is ours and is written in the claim. Intervals are over prompts, with the seeds as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pinchtune.experiments import Arm, Figure
from pinchtune.records import Score
from pinchtune.report import claims_monolingual as monolingual
from pinchtune.report.claim import Claim, Verdict, all_over, at_least, enough, needed, needed_of_cells, percent, points
from pinchtune.report.evidence import Estimate, Evidence, Lift, combine, seedless, seen_languages, unseen_languages
from pinchtune.report.figure_data import count_mean
from pinchtune.report.figures import main_monolingual, without_pinch
from pinchtune.report.heat_map import is_slavic
from pinchtune.report.pictures import label
from pinchtune.scoring.equivalence import MARGIN, equivalence_from_draws
from pinchtune.scoring.multiplicity import ALPHA, max_t

#: A pinch is at most so many percent of the tuning set (ours; the paper's is 40 of 4,640, 0.9%).
PINCH = 10.0

#: Name -> what it says and where; the order of the list. The texts of those that were not asked.
_ASKED = {
    "over_zero": (
        "Every model tuned on one language scores over 0 in every other language.",
        "Monolingual models, Fig. 1",
    ),
    "weakest_over_30": (
        "Even the model with the lowest mean scores over 30 in 9 of 11 other languages.",
        "Monolingual models, Fig. 1",
    ),
    "english_best": (
        "The model tuned on English has the highest mean over the other languages.",
        "Monolingual models, Fig. 1",
    ),
    "italian_spanish_high": (
        "The models tuned on Italian and on Spanish are both better than the average model.",
        "Monolingual models, Fig. 1",
    ),
    "in_the_language": ("Models tuned on one language answer in the instruction's language.", "Monolingual models"),
    "pinch_lifts": (
        "A pinch (the paper's: 1%) lifts the languages other than English over English alone.",
        "How many examples, Fig. 3",
    ),
    "even_split_similar": (
        "An even split is similar to or better than the monolingual model in 8 of 12 languages.",
        "How many examples, Fig. 3",
    ),
    "pinch_lifts_unseen": (
        "A pinch (the paper's: 1%) lifts both the languages in it and those not in it.",
        "Seen and unseen, Fig. 4",
    ),
    "few_languages": (
        "With 3 to 4 tuning languages the mean of the unseen is almost 50.",
        "How many languages, Fig. 5",
    ),
    "bilingual": ("Half and half beats one language, in the languages outside the pair.", "Bilingual, Fig. 6"),
    "similarity": (
        "Between Slavic languages, subfamily, script and intelligibility give no strong signal.",
        "Language similarity, Fig. 7 and Table 1",
    ),
    "pretraining_share": (
        "The pretraining share of the tuning language goes weakly with the score.",
        "Pretraining share, Fig. 8",
    ),
}


def claims(
    figures: Sequence[Figure],
    evidence: Evidence,
    *,
    scores: Sequence[Score] = (),
    shares: Mapping[str, float] | None = None,
) -> list[Claim]:
    """Return the verdict on every claim, in the paper's order.

    Args:
        figures: Of `pinchtune.experiments.expand`.
        evidence: The points of all outcomes.
        scores: For language fidelity.
        shares: Language -> share of the base model's pretraining.
    """
    made: dict[str, Claim | None] = {}
    main = main_monolingual(figures)
    table = monolingual.Table(main, evidence) if main else None
    if main and table and table.cells:
        made["over_zero"] = monolingual.everywhere_over_zero(table)
        made["weakest_over_30"] = monolingual.weakest_over_thirty(table)
        made["english_best"] = monolingual.english_best(table)
        made["italian_spanish_high"] = monolingual.italian_and_spanish_high(table)
        made["in_the_language"] = monolingual.in_the_language(table, scores)
        made["pretraining_share"] = monolingual.pretraining_share(main, evidence, shares) if shares else None
    slavic = _first(figures, lambda one: one.design == "monolingual" and is_slavic(one.languages))
    if slavic:
        made["similarity"] = monolingual.similarity(monolingual.Table(slavic, evidence))
    every = _first(figures, lambda one: one.design == "pinch" and not unseen_languages(one))
    some = _first(figures, lambda one: one.design == "pinch" and bool(unseen_languages(one)))
    if every:
        made["pinch_lifts"] = _pinch_lifts(every, figures, evidence)
        made["even_split_similar"] = _even_split(every, evidence)
    if some:
        made["pinch_lifts_unseen"] = _lifts_unseen(some, figures, evidence)
    counts = _first(figures, lambda one: one.design == "add_languages")
    made["few_languages"] = _few_languages(counts, evidence) if counts else None
    pairs = _first(figures, lambda one: one.design == "bilingual_pairs")
    made["bilingual"] = _bilingual(pairs, evidence) if pairs else None
    return [made.get(name) or _not_asked(name, shares_given=bool(shares)) for name in _ASKED]


def _first(figures: Sequence[Figure], wanted: Callable[[Figure], bool]) -> Figure | None:
    return next((one for one in figures if wanted(one)), None)


def _not_asked(name: str, *, shares_given: bool) -> Claim:
    text, source = _ASKED[name]
    told = "The study has no experiment, or no judged answers, that ask it."
    if name == "pretraining_share":
        few = "Fewer than four languages beside English have a share of pretraining and a model tuned on them alone."
        told = few if shares_given else "No shares of pretraining are given (factors: shares: FILE, in the recipe)."
    return Claim(name=name, text=text, source=source, verdict="not asked", numbers=told)


def _claim(name: str, verdict: Verdict, numbers: str, n: int, wanted: int | None = None, text: str = "") -> Claim:
    said, source = _ASKED[name]
    return Claim(name=name, text=text or said, source=source, verdict=verdict, numbers=numbers, n=n, needed=wanted)


def _lift(figure: Figure, figures: Sequence[Figure], evidence: Evidence) -> tuple[Arm, Lift] | None:
    """Return the smallest pinch and its lift over the model without; None where there is no pinch, or no such model."""
    small = [arms for arms in seedless(figure.arms) if 0 < (arms[0].percent or 0.0) <= PINCH]
    none = [arm for arm in figure.arms if arm.percent == 0] or without_pinch(figure, figures)
    if not small or not none:
        return None
    arms = min(small, key=lambda one: one[0].percent or 0.0)
    return arms[0], evidence.lift(arms, none)


def _pinch_lifts(figure: Figure, figures: Sequence[Figure], evidence: Evidence) -> Claim | None:
    found = _lift(figure, figures, evidence)
    if found is None:
        return None
    arm, lift = found
    tags = [tag for tag in lift.languages if tag in seen_languages(figure)]
    mean = lift.over(tags)
    if mean is None:
        return None
    verdict = all_over([mean])
    each = {tag: one for tag in tags if (one := lift.over([tag])) is not None}
    lifted = _lifted(each)
    most = max(each, key=lambda tag: each[tag].value)
    told = (
        f"{_size(arm)}: {points(mean)} points over English alone, in the mean of {len(tags)} languages; most in "
        f"{label(most)}, {points(each[most])}; lifted, corrected over all, in {lifted} of {len(each)}."
    )
    return _claim("pinch_lifts", verdict, told, mean.n, needed([mean], 0.0, verdict))


def _lifts_unseen(figure: Figure, figures: Sequence[Figure], evidence: Evidence) -> Claim | None:
    found = _lift(figure, figures, evidence)
    if found is None:
        return None
    arm, lift = found
    means = {"seen": lift.over(seen_languages(figure)), "unseen": lift.over(unseen_languages(figure))}
    there = {name: one for name, one in means.items() if one is not None}
    if len(there) < 2:
        return None
    verdict = all_over(list(there.values()))
    told = ", ".join(f"{name} {points(one)} points" for name, one in there.items())
    told = f"{_size(arm)}, over English alone: {told}."
    wanted = needed(list(there.values()), 0.0, verdict)
    return _claim("pinch_lifts_unseen", verdict, told, min(one.n for one in there.values()), wanted)


def _even_split(figure: Figure, evidence: Evidence) -> Claim | None:
    whole = next((arms for arms in seedless(figure.arms) if arms[0].percent == 100), None)
    if whole is None:
        return None
    cells = {tag: one for tag in whole[0].cells if (one := evidence.mean(whole, [tag])) is not None}
    if not cells:
        return None
    stands = {
        tag: equivalence_from_draws(one.value - 0.5, one.draws_B - 0.5, prompts=one.n, bounds=(-0.5, 0.5))
        for tag, one in cells.items()
    }
    sure = [tag for tag, one in stands.items() if one.similar_or_better]
    # Beyond the margin on the wrong side, with the two-sided interval.
    worse = [tag for tag, one in cells.items() if one.interval().high < 0.5 - MARGIN]
    wanted = enough(len(cells), 8, 12)
    verdict = at_least(len(sure), len(cells) - len(worse), wanted)
    better = sum(one.standing == "better" for one in stands.values())
    told = (
        f"similar or better, within {100 * MARGIN:.0f} points, in {len(sure)} of {len(cells)} languages ({better} "
        f"better), worse in {len(worse)}, not known in the rest; {wanted} are wanted."
    )
    unsure = [one for tag, one in cells.items() if tag not in sure and tag not in worse]
    prompts = needed_of_cells(unsure, 0.5 - MARGIN, len(sure), wanted) if verdict == "cannot tell" else None
    return _claim("even_split_similar", verdict, told, min(one.n for one in cells.values()), prompts)


def _few_languages(figure: Figure, evidence: Evidence) -> Claim | None:
    groups = seedless(figure.arms)
    found = {count: count_mean(count, "unseen", groups, figure, evidence) for count in (1, 2, 3, 4)}
    means = {count: one for count, one in found.items() if one is not None}
    asked = {count: one for count, one in means.items() if count in (3, 4)}
    if not asked:
        return None
    line = 0.5 - MARGIN
    # Either will do, so each is tested at its part of 5%.
    if any(one.interval(ALPHA / len(asked)).low > line for one in asked.values()):
        verdict: Verdict = "holds"
    elif all(one.interval().high < line for one in asked.values()):
        verdict = "does not hold"
    else:
        verdict = "cannot tell"
    told = ", ".join(f"{count}: {percent(one)}" for count, one in means.items())
    text = f"With 3 to 4 tuning languages the mean of the unseen is almost 50: over {100 * line:.0f} (our line)."
    wanted = needed(list(asked.values()), line, verdict)
    n = min(one.n for one in asked.values())
    return _claim("few_languages", verdict, f"unseen, by number of languages: {told}.", n, wanted, text)


def _bilingual(figure: Figure, evidence: Evidence) -> Claim | None:
    gaps: list[list[Estimate]] = []
    groups = seedless(figure.arms)
    for pair in dict.fromkeys(arms[0].pair for arms in groups if arms[0].pair):
        own = [arms for arms in groups if arms[0].pair == pair]
        both = next((arms for arms in own if len(arms[0].languages) == 2), None)
        lifts = [evidence.lift(both, arms) for arms in own if len(arms[0].languages) == 1] if both else []
        means = [one for lift in lifts if (one := lift.over(lift.languages)) is not None]
        if len(means) == 2:
            gaps.append(means)
    if not gaps:
        return None
    parts = [one for means in gaps for one in means]
    mean = combine([(1 / len(parts), one) for one in parts], bounds=(-1.0, 1.0))
    verdict = all_over([mean])
    over_both = sum(all(one.value > 0 for one in means) for means in gaps)
    surely = sum(all_over(means) == "holds" for means in gaps)
    told = (
        f"{points(mean)} points over the two monolingual models, in the mean of {len(gaps)} pairs; over both of them "
        f"in {over_both}, surely in {surely}."
    )
    return _claim("bilingual", verdict, told, mean.n, needed([mean], 0.0, verdict))


def _lifted(each: Mapping[str, Estimate]) -> int:
    """Return in how many languages a difference is above 0, corrected over all of them (max-T)."""
    import numpy as np

    values = {tag: one.value for tag, one in each.items()}
    draws_BK = np.stack([one.draws_B for one in each.values()], 1)
    table = max_t(values, draws_BK, prompts={tag: one.n for tag, one in each.items()})
    return sum(cell.rejected and cell.value > 0 for cell in table.cells.values())


def _size(arm: Arm) -> str:
    return f"{arm.n_pinch} examples ({arm.percent:.2g}%)"
