#!/usr/bin/env python3
"""How many segments a second pass through everything of a translation that is not the engine.

Masking, cutting, the cache (cold, then warm) and the integrity checks, over an engine that costs nothing: the pack's
English and its own Spanish, looked up. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from pinchtune.records import Example
from pinchtune.sources import pack
from pinchtune.store import library_versions
from pinchtune.translation.cache import TranslationCache
from pinchtune.translation.calls import Caller
from pinchtune.translation.driver import translate
from pinchtune.translation.segments import cut
from pinchtune.translation.spans import mask
from pinchtune.translation.tally import Tally

COPIES = 8


class LookUp:
    """Gives the Spanish segment that stands where the English one does; the English one where they do not match."""

    name, version, workers, max_texts, max_characters, price = "look-up", "1", 1, 512, 10**6, None

    def __init__(self) -> None:
        self._table: dict[str, str] = {}
        for english, spanish in zip(pack.examples(["en"]), pack.examples(["es"]), strict=True):
            for turn, other in zip(english.messages, spanish.messages, strict=True):
                pairs = [
                    [mask(p.text).text for p in cut(t.content, fine=fine) if p.translate]
                    for t, fine in ((turn, False), (other, False))
                ]
                if len(pairs[0]) == len(pairs[1]):
                    self._table |= dict(zip(*pairs, strict=True))

    def supports(self, _source: str, _target: str) -> bool:
        """Say yes."""
        return True

    def translate(self, texts: list[str], _source: str, _target: str) -> list[str]:
        """Look up; copies carry a number at their end."""
        found = []
        for text in texts:
            body, _, number = text.rpartition(" #")
            found.append(f"{self._table.get(body, body)} #{number}" if body else self._table.get(text, text))
        return found

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Run twice over one cache and print what each took."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    examples = []
    for copy in range(COPIES):
        for one in pack.examples(["en"]):
            turns = tuple(
                type(turn)(
                    role=turn.role,
                    content="".join(f"{p.text} #{copy}" if p.translate else p.text for p in cut(turn.content)),
                )
                for turn in one.messages
            )
            examples.append(Example(id=f"{one.id}-{copy}", language="en", messages=turns))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "warm"):
            tally = Tally()
            cache = TranslationCache(Path(folder) / "cache.sqlite")
            engine = LookUp()
            caller = Caller(engine, cache, source="en", tally=tally)
            began = time.perf_counter()
            made = list(translate(examples, caller, source="en", target="es", tally=tally))
            seconds = time.perf_counter() - began
            cache.close()
            segments = tally.segments["es"]
            found[state] = {
                "segments": segments,
                "seconds": round(seconds, 2),
                "segments_per_second": round(segments / seconds),
                "conversations": len(made),
                "failed": sum(tally.failed.get("es", {}).values()),
            }
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(json.dumps({"benchmark": "translation_overhead", **found, "machine": machine, **library_versions("msgspec")}))


if __name__ == "__main__":
    main()
