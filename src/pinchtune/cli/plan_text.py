"""What `pinch study plan` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinchtune.cli.console import table

if TYPE_CHECKING:
    from pinchtune.study.plan import Count, Plan


def plan_text(plan: Plan) -> str:
    """Return the counts, the tables of experiments and steps, and the notes."""
    rows = [
        ("models to tune", _of(plan.models), f"from {plan.base_model}"),
        ("training examples", _of(plan.examples), _tokens(plan.training_tokens, "over all passes")),
        ("answers", _of(plan.answers), ""),
        ("judge calls", _of(plan.judge_calls), f"by {', '.join(plan.judges)}"),
    ]
    if plan.judge_tokens is not None:
        rows.append(("judge's tokens", _rounded(plan.judge_tokens.todo), f"at most; {_money(plan.judge_cost)}"))
    if plan.characters is not None:
        rows.append(("characters to translate", _rounded(plan.characters.todo), _money(plan.translation_cost)))
    rows.append(("time", _time(plan.total_seconds), _times(plan)))
    width = max(len(row[0]) for row in rows)
    amount = max(len(row[1]) for row in rows)
    counts = [f"{name.ljust(width)}  {number.rjust(amount)}  {more}".rstrip() for name, number, more in rows]
    parts = ["\n".join([f"{plan.name}: to be done", *counts])]
    if plan.experiments:
        parts.append(_experiments(plan))
    steps = [(kind, one.all, one.todo) for kind, one in plan.steps.items()]
    # Of the rows, not of plan.todo: that has every name, and two names of one mixture are one step here.
    steps.append(("all", sum(one.all for one in plan.steps.values()), sum(one.todo for one in plan.steps.values())))
    shown = [(kind, f"{every:,}", f"{every - todo:,}", f"{todo:,}") for kind, every, todo in steps]
    parts.append(table(["step", "all", "there", "to do"], shown))
    if plan.notes:
        parts.append("\n".join(plan.notes))
    return "\n\n".join(parts)


def _experiments(plan: Plan) -> str:
    header = ["experiment", "design", "models", "new", "comparisons", "new", "judge calls"]
    rows = []
    for one in plan.experiments:
        numbers = [one.n_models, one.n_new_models, one.n_cells, one.n_new_cells, one.n_judge_calls]
        rows.append([one.name, one.design, *("not known" if n is None else f"{n:,}" for n in numbers)])
    return table(header, rows) + "\nNew is what no experiment above needs; a comparison is two models in one language."


def _of(count: Count | None) -> str:
    if count is None:
        return "not known"
    return f"{count.todo:,}" if count.todo == count.all else f"{count.todo:,} of {count.all:,}"


def _tokens(count: Count | None, more: str) -> str:
    return "" if count is None else f"about {_rounded(count.todo)} tokens {more}"


def _rounded(number: float) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{float(f'{number:.3g}'):,.0f}"


def _money(dollars: float | None) -> str:
    return "cost not known" if dollars is None else f"about ${dollars:,.{0 if dollars >= 100 else 2}f}"


def _times(plan: Plan) -> str:
    long = {kind: seconds for kind, seconds in plan.seconds.items() if seconds is None or seconds >= 60}
    said = ", ".join(f"{kind} {_time(seconds)}" for kind, seconds in long.items())
    measured = "measured here" if plan.calibrated else "roughly"
    return f"{measured}: {said}" if said else measured


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
