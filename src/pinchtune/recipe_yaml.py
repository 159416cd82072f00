"""Reading a recipe's YAML: a key that is given twice in one mapping is a fault; YAML keeps the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


def read(text: str) -> tuple[Any, list[str]]:
    """Return what a YAML text holds, and a sentence for each key that is given twice.

    Raises:
        yaml.YAMLError: not YAML.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        faults = [] if node is None else list(_repeated(node, "", set()))
        return (None if node is None else loader.construct_document(node)), faults
    finally:
        loader.dispose()


def _repeated(node: yaml.Node, place: str, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, one in enumerate(node.value):
            yield from _repeated(one, f"{place}.{number}".lstrip("."), seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], list[int]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag != _MERGE:
                lines.setdefault((key.tag, key.value), []).append(key.start_mark.line + 1)
            yield from _repeated(value, f"{place}.{key.value}".lstrip("."), seen)
        for (_, name), given in lines.items():
            if len(given) > 1:
                times = "twice" if len(given) == 2 else f"{len(given)} times"
                *first, last = map(str, dict.fromkeys(given))
                said = f"lines {', '.join(first)} and {last}" if first else f"line {last}"
                yield f"{place}.{name}".lstrip(".") + f" is given {times}, in {said}."
