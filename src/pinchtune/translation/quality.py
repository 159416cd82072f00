"""An estimate of how much a translation kept, where wanted: chrF of the text translated back, against the source.

chrF is Popović 2015 (https://aclanthology.org/W15-3049/), sacrebleu's implementation. Translating back finds what was
lost, not what reads badly, and an engine's own back-translation is kind to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pinchtune.records import Example
from pinchtune.translation.calls import Caller
from pinchtune.translation.driver import translate
from pinchtune.translation.tally import Tally


def back_translation_chrf(
    sources: Sequence[Example], translated: Sequence[Example], caller: Caller, *, source: str, target: str
) -> list[float | None]:
    """Return chrF, 0 to 100, of each conversation translated back; None where it could not be translated back.

    Args:
        sources: The originals.
        translated: Their translations, in the same order.
        caller: Translates from `target` into `source`.
        source: Tag of the originals.
        target: Tag of the translations.
    """
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    back = translate(translated, caller, source=target, target=source, tally=Tally(), untranslatable="flag")
    return [
        float(metric.sentence_score(_text(one), [_text(original)]).score) if isinstance(one, Example) else None
        for original, one in zip(sources, back, strict=True)
    ]


def _text(example: Example) -> str:
    return "\n\n".join(message.content for message in example.messages)
