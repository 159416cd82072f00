"""Language fidelity: is the answer in the language of its instruction, as a whole and line by line?

The line rule is that of the language confusion benchmark (Marchisio et al. 2024, https://arxiv.org/abs/2406.20052;
compute_metrics.py of https://github.com/for-ai/language-confusion): lines of five tokens or more are looked at, an
answer without such a line is skipped, and the line pass rate is the share of the others in which no line is in another
language. It differs in what is counted and in who decides:

- code, addresses and lines quoted from the prompt are taken out first; the benchmark looks at all lines;
- a line must also be long enough to tell (`identification.long_enough`: 20 letters); in a script without spaces, where
  the benchmark counts words by jieba, seven characters do for five tokens;
- a line is wrong where neither py3langid nor lingua, among likely languages only, names the expected one or one that
  passes for it; the benchmark takes fastText's best of 176 languages, and a score of 0.3 or less is wrong too. What
  our identifiers cannot tell is not counted.
"""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import msgspec

from pinchtune.identification import Identifier, count_letters, long_enough, script_of, strip_unspoken
from pinchtune.judging.other_language import REASON
from pinchtune.records import Answer, Identified, Prompt

#: Tokens between white space, without ASCII punctuation, that a line needs; as in the language confusion benchmark.
MIN_TOKENS = 5
#: Answers that are looked at together, and that a process is handed at a time.
CHUNK = 512

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SENTENCES = re.compile(r"(?<=[.!?…؟।])[\"'»”’)\]]*\s+|(?<=[。！？])")


class _Asked(msgspec.Struct, frozen=True):
    answer: Answer
    instruction: str
    exempt: bool


class _Read(msgspec.Struct, frozen=True):
    """An answer, and what of it is looked at; nothing where its language cannot be told."""

    asked: _Asked
    spoken: str = ""
    lines: Sequence[str] = ()
    sentences: Sequence[str] = ()
    #: All that are long enough to be told.
    texts: Sequence[str] = ()


def fidelity(
    answers: Iterable[Answer],
    prompts: Mapping[tuple[str, str], Prompt],
    identifier: Identifier,
    *,
    exempt: Mapping[str, str] = {},
    processes: int = 1,
) -> Iterator[Identified]:
    """Yield, for each answer in turn, whether it is in its prompt's language.

    Args:
        answers: Of any models.
        prompts: (id, language) -> prompt; text quoted from it is not counted.
        identifier: Does the identification.
        exempt: id -> why the prompt asks for another language or for code (`other_language.exempt_ids`); an answer to
            it has `faithful=None` and the reason "asks_for_other_language".
        processes: More than one divides the work: the same records in the same order. Each loads the models of the
            identifiers anew (some 5 seconds, 600 MB), so it pays from some fifty thousand short answers on.
    """
    asked = (
        _Asked(answer, prompt.instruction if prompt else "", answer.id in exempt)
        for answer, prompt in ((one, prompts.get((one.id, one.language))) for one in answers)
    )
    if processes > 1:
        yield from _in_processes(asked, identifier, processes)
    else:
        while chunk := list(itertools.islice(asked, CHUNK)):
            yield from _identify_all(chunk, identifier)


def is_kept(line: str) -> bool:
    """Return whether a line is long enough for the line rule: five tokens and 20 letters, or seven dense characters."""
    if not long_enough(line):
        return False
    if len(line.translate(_PUNCTUATION).split(None, MIN_TOKENS)) >= MIN_TOKENS:
        return True
    letters, dense = count_letters(line)
    return 2 * dense > letters


def _identify_all(chunk: Sequence[_Asked], identifier: Identifier) -> list[Identified]:
    read = [_read(one) for one in chunk]
    names = identifier.name_all(text for one in read for text in one.texts)
    return [_identify(one, identifier, names) for one in read]


def _read(asked: _Asked) -> _Read:
    if asked.exempt:
        return _Read(asked)
    spoken = strip_unspoken(asked.answer.text, prompt=asked.instruction)
    if not long_enough(spoken):
        return _Read(asked, spoken)
    kept = [line for line in spoken.splitlines() if is_kept(line)]
    sentences = []
    for line in kept:
        parts = _SENTENCES.split(line)
        sentences += [part.strip() for part in parts if len(parts) == 1 or is_kept(part)]
    lines = [line.strip() for line in kept]
    return _Read(asked, spoken, lines, sentences, texts=(spoken, *lines, *sentences))


def _identify(one: _Read, identifier: Identifier, names: Mapping[str, str]) -> Identified:
    answer, spoken = one.asked.answer, one.spoken
    if one.asked.exempt:
        return Identified(id=answer.id, language=answer.language, model=answer.model, faithful=None, reason=REASON)
    said = identifier.check_spoken(spoken, answer.language, names=names)
    lines: list[bool] = []
    sentences: list[bool] = []
    if said.expected is not None:
        # An answer of one line, and a line of one sentence, are asked about once.
        told = {spoken.strip(): said.expected}
        for parts, found in ((one.lines, lines), (one.sentences, sentences)):
            for part in parts:
                if part not in told:
                    told[part] = bool(identifier.check_spoken(part, answer.language, whole=said, names=names).expected)
                found.append(told[part])
    return Identified(
        id=answer.id,
        language=answer.language,
        model=answer.model,
        faithful=said.expected,
        found=said.found,
        reason=said.reason,
        lines=len(lines),
        wrong_lines=lines.count(False),
        mixed=len({*lines, *sentences}) > 1,
        script=script_of(spoken),
    )


def _in_processes(asked: Iterator[_Asked], identifier: Identifier, processes: int) -> Iterator[Identified]:
    # Spawned, for a fork would copy the locks of threads that lingua or torch started.
    context = multiprocessing.get_context("spawn")
    waiting: collections.deque[Future[list[Identified]]] = collections.deque()
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(identifier.candidates,)
    ) as pool:
        while chunk := list(itertools.islice(asked, CHUNK)):
            waiting.append(pool.submit(_identify_chunk, chunk))
            # A few chunks ahead, so that neither answers nor records pile up.
            if len(waiting) > 2 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


_identifier: Identifier | None = None


def _start(candidates: Sequence[str]) -> None:
    global _identifier  # noqa: PLW0603  one per process, for its models are large
    _identifier = Identifier(candidates)


def _identify_chunk(chunk: Sequence[_Asked]) -> list[Identified]:
    assert _identifier is not None
    return _identify_all(chunk, _identifier)
