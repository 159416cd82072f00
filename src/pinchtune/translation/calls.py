"""Segments to translations: the cache first, then the engine in batches and threads; what is paid for is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from pinchtune.errors import RunError
from pinchtune.translation.cache import TranslationCache, segment_key
from pinchtune.translation.engine import TranslationFailure, Translator
from pinchtune.translation.tally import Tally

#: Reasons that may lie with one text of a batch: each is then tried alone.
_OF_ONE_TEXT = {"refused", "truncated", "unreadable", "wrong_count"}


class Caller:
    """Translates segments through one engine and one cache.

    Args:
        translator: The engine.
        cache: Finished translations.
        source: Tag translated from.
        settings: What else of the engine changes translations; part of the key.
        tally: Counts.
        max_cost: Money at which calls stop, or None.
    """

    def __init__(
        self,
        translator: Translator,
        cache: TranslationCache,
        *,
        source: str,
        tally: Tally,
        settings: Mapping[str, Any] | None = None,
        max_cost: float | None = None,
    ) -> None:
        self._translator = translator
        self._cache = cache
        self._source = source
        self._tally = tally
        self._settings = dict(settings or {})
        self._max_cost = max_cost

    def key(self, text: str, target: str) -> str:
        """Return the cache's key of a segment."""
        engine = self._translator
        return segment_key(
            text, self._source, target, engine=engine.name, version=engine.version, settings=self._settings
        )

    def missing(self, texts: Sequence[str], target: str) -> list[str]:
        """Return the distinct segments that the cache has not."""
        keys = {self.key(text, target): text for text in texts}
        found = self._cache.get(list(keys))
        return [text for key, text in keys.items() if key not in found]

    def translate(self, texts: Sequence[str], target: str) -> dict[str, str | TranslationFailure]:
        """Return segment -> translation, or why there is none.

        Raises:
            RunError: the cost cap is reached; what was paid for is in the cache.
        """
        keys = {text: self.key(text, target) for text in dict.fromkeys(texts)}
        known = self._cache.get(list(keys.values()))
        result: dict[str, str | TranslationFailure] = {t: known[key] for t, key in keys.items() if key in known}
        self._tally.segments[target] += len(keys)
        self._tally.cached[target] += len(result)
        left = [text for text in keys if text not in result]
        with ThreadPoolExecutor(max_workers=max(1, self._translator.workers)) as pool:
            waiting: list[Future[dict[str, str | TranslationFailure]]] = []
            try:
                waiting = [pool.submit(self._call, batch, target) for batch in self._batches(left)]
                for future in as_completed(waiting):
                    result.update(future.result())
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
        return result

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            full = len(batch) >= self._translator.max_texts or size + len(text) > self._translator.max_characters
            if batch and full:
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            yield batch

    def _call(self, batch: list[str], target: str) -> dict[str, str | TranslationFailure]:
        characters = sum(map(len, batch))
        self._check_cost(characters)
        try:
            made = self._translator.translate(batch, self._source, target)
            if len(made) != len(batch):
                raise TranslationFailure("wrong_count", f"{len(made)} translations for {len(batch)} texts")
        except TranslationFailure as failure:
            if len(batch) == 1 or failure.reason not in _OF_ONE_TEXT:
                return dict.fromkeys(batch, failure)
            alone: dict[str, str | TranslationFailure] = {}
            for text in batch:
                alone.update(self._call([text], target))
            return alone
        pairs = list(zip(batch, made, strict=True))
        rows = [(self.key(text, target), translated) for text, translated in pairs]
        self._cache.put(rows, engine=self._translator.name, source=self._source, target=target)
        self._tally.paid(target, len(batch), characters)
        return dict(pairs)

    def _check_cost(self, characters: int) -> None:
        price = self._translator.price
        if self._max_cost is None or price is None:
            return
        cost = (sum(self._tally.characters.values()) + characters) * price / 1e6
        if cost > self._max_cost:
            raise RunError(
                f"The next call would bring the cost to ${cost:.4f}, over the cap of ${self._max_cost:.4f}.",
                hint="What was paid for is in the cache: the same command with a higher --max-cost goes on from there.",
            )
