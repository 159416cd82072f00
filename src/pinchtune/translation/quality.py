"""An estimate of how good translations are, where wanted: chrF of the text translated back, or COMET.

COMET (Rei et al. 2022, https://aclanthology.org/2022.wmt-1.60/) reads source and translation; its models come from the
Hub, and the default one is under CC BY-NC-SA 4.0 and gated. chrF is Popović 2015 (https://aclanthology.org/W15-3049/),
sacrebleu's implementation. Translating back finds what was lost, not what reads badly, and an engine's own
back-translation is kind to it.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    back = translate(translated, caller, source=target, target=source, tally=Tally(), untranslatable="flag")
    return [
        float(metric.sentence_score(_text(one), [_text(original)]).score) if isinstance(one, Example) else None
        for original, one in zip(sources, back, strict=True)
    ]


def comet(sources: Sequence[Example], translated: Sequence[Example], *, model: str = COMET_MODEL) -> list[float]:
    """Return COMET's reference-free score of each conversation, about 0 to 1.

    Args:
        sources: The originals.
        translated: Their translations, in the same order.
        model: A reference-free model of the Hub.

    Raises:
        MissingExtraError: `unbabel-comet` is not installed.
    """
    library = plugins.require("comet", "COMET")
    loaded = library.load_from_checkpoint(library.download_model(model))
    pairs = [{"src": _text(one), "mt": _text(other)} for one, other in zip(sources, translated, strict=True)]
    return [float(score) for score in loaded.predict(pairs, batch_size=8, gpus=0).scores]


def _text(example: Example) -> str:
    return "\n\n".join(message.content for message in example.messages)
