"""Language fidelity: is the answer in the language of the instruction? Too short to tell is counted apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pinchtune.identification import Identifier
from pinchtune.records import Answer, Identified, Prompt


def fidelity(
    answers: Iterable[Answer], prompts: Mapping[tuple[str, str], Prompt], identifier: Identifier
) -> Iterator[Identified]:
    """Yield, for each answer, whether it is in its prompt's language.

    Args:
        answers: Of any models.
        prompts: (id, language) -> prompt; text quoted from it is not counted.
        identifier: Does the identification.
    """
    for answer in answers:
        prompt = prompts.get((answer.id, answer.language))
        said = identifier.check(answer.text, answer.language, prompt=prompt.instruction if prompt else "")
        yield Identified(
            id=answer.id,
            language=answer.language,
            model=answer.model,
            faithful=said.expected,
            found=said.found,
            reason=said.reason,
        )
