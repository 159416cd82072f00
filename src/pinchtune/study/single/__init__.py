"""One stage at a time, on plain files: what `pinch mix`, `tune`, `generate`, `judge` and `score` do.

Each writes a folder with records.jsonl (for `tune`, the model) and a manifest. The same command on the same files does
nothing again; a killed one goes on; another result in the folder is left alone unless `overwrite`.
"""

from pinchtune.study.single.answers import generate
from pinchtune.study.single.factors import columns_in, correlate_factors, factors
from pinchtune.study.single.scores import contrast_scores, gather, rank_models, score, unanswered
from pinchtune.study.single.stage import Kept
from pinchtune.study.single.training import export_mixture, mix, tune
from pinchtune.study.single.translation import Translation, estimate_translation, translate
from pinchtune.study.single.verdicts import (
    Judging,
    check_judge,
    estimate_judging,
    import_alpaca_eval,
    judge,
    read_batch,
    write_batch,
)

__all__ = [
    "Judging",
    "Kept",
    "Translation",
    "check_judge",
    "columns_in",
    "contrast_scores",
    "correlate_factors",
    "estimate_judging",
    "estimate_translation",
    "export_mixture",
    "factors",
    "gather",
    "generate",
    "import_alpaca_eval",
    "judge",
    "mix",
    "rank_models",
    "read_batch",
    "score",
    "translate",
    "tune",
    "unanswered",
    "write_batch",
]
