"""`pinch generate`: a model's answers to prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pinchtune.engine import open_engine
from pinchtune.errors import PluginError
from pinchtune.records import Prompt, Sampling
from pinchtune.study import work
from pinchtune.study.keep import Result
from pinchtune.study.single.stage import Kept, Note, stage
from pinchtune.study.work import Advance


def generate(
    prompts: Sequence[Prompt],
    output: Path,
    *,
    model: str,
    name: str,
    engine: str,
    engine_settings: Mapping[str, Any] | None = None,
    sampling: Sampling,
    batch_size: int,
    on_note: Note,
    advance: Advance,
    overwrite: bool = False,
) -> Kept:
    """Answer prompts with a model into `output`; `name` is what the answers call it."""
    opened = []

    def ask() -> Result:
        if taken := sorted({"name", "model", "on_note"} & set(engine_settings or {})):
            raise PluginError(f"{engine} has no setting {taken[0]!r}.", hint="--model and --engine are given apart.")

        def open_once() -> Any:
            opened.append(open_engine(engine, model, on_note=on_note, **(engine_settings or {})))
            return opened[0]

        try:
            return work.generate(
                output,
                prompts,
                open_engine=open_once,
                model=name,
                sampling=sampling,
                batch_size=batch_size,
                advance=advance,
            )
        finally:
            for one in opened:
                one.close()

    keyed = {"model": model, "name": name, "engine": engine, "batch_size": batch_size, **sampling.to_dict()}
    if engine_settings:
        keyed["engine_settings"] = dict(engine_settings)
    return stage("answer", output, keyed, {"prompts": list(prompts)}, ask, overwrite=overwrite)
