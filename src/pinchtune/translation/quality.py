"""An estimate of how good translations are, where wanted: by translating back, or by COMET.

Back-translation: chrF (Popović 2015, https://aclanthology.org/W15-3049/) of the text translated back against the
source; it finds what is lost, not what reads badly, and an engine's own back-translation is kind to it. COMET (Rei et
al. 2020, https://aclanthology.org/2020.emnlp-main.213/) reads source and translation; its reference-free models are on
the Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pinchtune import plugins
from pinchtune.records import Example
from pinchtune.translation.calls import Caller
from pinchtune.translation.driver import translate
from pinchtune.translation.tally import Tally

COMET_MODEL = "Unbabel/wmt22-cometkiwi-da"


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
    tally = Tally()
    back = translate(translated, caller, source=target, target=source, tally=tally, untranslatable="flag")
    return [
        float(metric.sentence_score(_text(one), [_text(original)]).score) if isinstance(one, Example) else None
        for original, one in zip(sources, back, strict=True)
    ]


def comet(sources: Sequence[Example], translated: Sequence[Example], *, model: str = COMET_MODEL) -> list[float]:
    """Return COMET's reference-free score of each conversation, as its model gives it (about 0 to 1).

    Raises:
        MissingExtraError: `unbabel-comet` is not installed.
    """
    library: Any = plugins.require("comet", "COMET")
    loaded = library.load_from_checkpoint(library.download_model(model))
    pairs = [{"src": _text(one), "mt": _text(other)} for one, other in zip(sources, translated, strict=True)]
    return [float(score) for score in loaded.predict(pairs, batch_size=8, gpus=0).scores]


def _text(example: Example) -> str:
    return "\n\n".join(message.content for message in example.messages)
