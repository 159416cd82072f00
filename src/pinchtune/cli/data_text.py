"""What `pinch data` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinchtune.cli.console import table

if TYPE_CHECKING:
    from pinchtune.sources.dedupe import Deduplicated
    from pinchtune.sources.describe import Description, Lengths

LISTED = 20


def _spread(lengths: Lengths | None) -> str:
    return "-" if lengths is None else f"{lengths.shortest} / {lengths.median:g} / {lengths.longest}"


def _listed(counts: dict[Any, int]) -> str:
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:LISTED]]
    return ", ".join(shown) + (f" and {len(counts) - LISTED} more" if len(counts) > LISTED else "")


def description(found: Description) -> str:
    """Return the table of a file's languages, and what else there is to say of it."""

    def share(one: Any) -> str:
        return "-" if one is None or one.share is None else f"{100 * one.share:.1f}"

    header = ["language", "examples", "duplicates", "as declared, %", "prompt words", "response words"]
    header.append("response characters")
    profiles = found.languages | ({"all": found.total} if len(found.languages) != 1 else {})
    rows = [
        [
            tag,
            one.n_examples,
            one.n_duplicates,
            share(one.agreement),
            _spread(one.prompt_words),
            _spread(one.response_words),
            _spread(one.response_characters),
        ]
        for tag, one in profiles.items()
    ]
    lines = [table(header, rows), "Lengths are shortest / median / longest.", ""]
    lines.append(f"{found.n_ids} ids, {found.n_parallel_ids} of them in more than one language.")
    if found.n_reused_ids:
        lines.append(f"{found.n_reused_ids} examples have an id that names another text of their language already.")
    lines.append(f"Turns: {_listed(found.total.turns) or 'none'}")
    if found.total.categories:
        lines.append(f"Categories: {_listed(found.total.categories)}")
    told = found.total.agreement
    if told is not None:
        if told.untold:
            lines.append(f"Language not told: {_listed(told.untold)}")
        lines += [f"{one.id}: declared {one.language}, looks {one.found or 'unlike it'}" for one in told.disagreeing]
        if told.n_told - told.n_agreeing > len(told.disagreeing):
            lines.append(f"and {told.n_told - told.n_agreeing - len(told.disagreeing)} more")
    return "\n".join(lines)


def counts(found: Deduplicated) -> dict[str, Any]:
    """Return how many examples were read, left out by reason, and kept."""
    reasons = [match.reason for match in found.duplicates]
    return {
        "n_examples": len(found.kept) + len(found.duplicates) + len(found.overlaps),
        "n_overlaps": len(found.overlaps),
        "n_exact": reasons.count("exact"),
        "n_near": reasons.count("near"),
        "n_kept": len(found.kept),
        "n_shared_ids": found.n_shared_ids,
    }


def deduplication(found: Deduplicated, *, against: str | None) -> str:
    """Return the counts, and the first examples left out with what they repeat."""
    numbers = counts(found)
    names = {"n_examples": "read", "n_overlaps": f"overlap with {against}", "n_exact": "exact duplicates"}
    names |= {"n_near": "near duplicates", "n_kept": "left"}
    if against is None:
        del names["n_overlaps"]
    lines = [table(["", "examples"], [[name, numbers[key]] for key, name in names.items()])]
    for matches in (found.overlaps, found.duplicates):
        for one in matches[:LISTED]:
            how = one.reason if one.similarity is None else f"{one.reason}, {one.similarity:.2f}"
            lines.append(f"{one.id} ({one.language}): repeats {one.of_id} ({one.of_language}), {how}")
        if len(matches) > LISTED:
            lines.append(f"and {len(matches) - LISTED} more; --json lists all")
    if found.n_shared_ids:
        lines.append(f"{found.n_shared_ids} ids are also in {against}, with another text; --same-id leaves them out.")
    return "\n".join(lines)
