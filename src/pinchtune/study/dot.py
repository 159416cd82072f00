"""The picture of a graph of steps, in Graphviz's language (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

import json
from collections.abc import Collection

from pinchtune.study.graph import Graph, Step

_DONE, _TODO, _PARTLY = "#d5e8d4", "#ffffff", "#fff2cc"


def dot(graph: Graph, there: Collection[str] = ()) -> str:
    """Return the graph as DOT text: languages are put together, so that a node is a kind of step of one model.

    Args:
        graph: Of a study.
        there: Names of the steps that are done: green; yellow where some of a node's are.
    """
    groups: dict[str, list[Step]] = {}
    for step in graph.steps.values():
        groups.setdefault(_group(step), []).append(step)
    lines = ["digraph study {", '  rankdir="LR"; node [shape=box, style=filled, fontname="sans-serif"];']
    for name, steps in groups.items():
        done = sum(step.name in there for step in steps)
        colour = _DONE if done == len(steps) else _PARTLY if done else _TODO
        times = f" × {len(steps)}" if len(steps) > 1 else ""
        lines.append(f"  {_quoted(name)} [label={_quoted(name + times)}, fillcolor={_quoted(colour)}];")
    edges: dict[tuple[str, str], None] = {}
    for name, steps in groups.items():
        # What score and report read follows from the rest, and would cover it with lines.
        if name not in ("score", "report"):
            edges |= {(_group(graph.steps[one]), name): None for step in steps for one in step.inputs}
    last = [name for name, steps in groups.items() if steps[0].kind == "judge"]
    edges |= {(name, "score"): None for name in last} | {("score", "report"): None}
    lines += [f"  {_quoted(one)} -> {_quoted(other)};" for one, other in edges]
    return "\n".join([*lines, "}"])


def _group(step: Step) -> str:
    room, _, rest = step.name.partition("/")
    if step.kind in ("examples", "prompts", "translate"):
        return room if step.kind != "translate" else f"translate {room}"
    if step.kind == "judge":
        return f"judge/{next(iter(step.names.values()))}"
    return f"{room}/{rest.split('/')[0]}" if rest else room


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
