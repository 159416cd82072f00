"""The templates of the report's pages, and what holds for all of them.

Everything a model or a data set wrote is escaped by Jinja; the pages run no script and load nothing.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_GENERATOR = '<meta name="generator" content="Pinchtune">'
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def render(template: str, **view: Any) -> str:
    """Return a page; control characters are no text, and a model may write them: they are replaced."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _environment().get_template(template).render(**view))


def is_ours(path: Path) -> bool:
    """Return whether a file is a page that `render` made."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return _GENERATOR in stream.read(4096)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("pinchtune.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
