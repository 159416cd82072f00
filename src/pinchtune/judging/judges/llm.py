"""A language model as judge: a prompt and a strict parser over any generation engine.

The forced choice is one token, read with its probabilities where the engine gives them (Wang, Zhang and Choi 2025,
arXiv 2503.03064: the distribution says more than its mode, and reasoning first makes it collapse); `explain` asks for
reasons first, as a check of robustness. Each call has markers of its own around each answer, drawn from a hash of
everything in the call: the same in every run, and in no text of it.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import inspect
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pinchtune import engine as engines
from pinchtune import languages as tags
from pinchtune import plugins, store
from pinchtune.engine import Asked, Generated
from pinchtune.errors import CallFailure, DataError, PinchError, PluginError
from pinchtune.judging.judge import Call, JudgeFailure, Judgement
from pinchtune.judging.parse import parse_label, parse_logprobs, parse_marked
from pinchtune.judging.tally import BYTES_PER_TOKEN
from pinchtune.records import Answer, Message, Prompt, Sampling
from pinchtune.secret_settings import refuse_secrets

PROMPT = "side-by-side-1"
EXPLAINED = "side-by-side-explained-1"
#: Tokens that an estimate takes for the reasons of a verdict.
_EXPLANATION = 200
_LABELS = ("AB", "12")
#: What a setting of the engine begins with that the judge has one of the same name of: `engine.attempts`.
_ENGINES_OWN = "engine."
#: As many as OpenAI's API takes.
_TOP_LOGPROBS = 20
#: What a prompt may have beside what it must have.
_MARKERS = frozenset({"begin_first", "end_first", "begin_second", "end_second"})
_OPTIONAL = _MARKERS | {"begin_user", "end_user"}


class LLMJudge:
    """A chat model's choice between two answers.

    Args:
        model: The model, as the engine takes it.
        languages: As of every judge.
        engine: A generation engine: "endpoint", "transformers", "vllm", "ctranslate2" or a third party's.
        prompt: The name of a prompt that comes with pinchtune, or the path of a text file with the same `$` names;
            None: `side-by-side-1`, or `side-by-side-explained-1` with `explain`.
        explain: Ask for reasons before the verdict; there are no probabilities then.
        labels: What the answers are called, "AB" or "12"; which of the two the first shown is called is drawn per pair.
        max_tokens: Most tokens of a reply; None: 1, or 1,024 with `explain`. Models that think first need more.
        attempts: Calls made, each with markers of its own, before a reply that is no verdict is a failure. How often an
            endpoint is asked again after a fault of its own is `engine.attempts`.
        on_note: Called with sentences a user should read.
        settings: The engine's own, such as `base_url` and `workers` of an endpoint; with "engine." before the name of
            one that the judge has too ("engine.attempts").

    Raises:
        PluginError: no such engine, or setting of it, or one that is given twice.
        PinchError: no model, labels that are not offered, a number below 1, or settings that hold a key or password.
        DataError: the prompt's file is missing, lacks a `$` name, or has one that means nothing.
    """

    def __init__(
        self,
        model: str = "",
        *,
        languages: tuple[str, ...] = (),
        engine: str = "endpoint",
        prompt: str | None = None,
        explain: bool = False,
        labels: str = "AB",
        max_tokens: int | None = None,
        attempts: int = 3,
        on_note: Callable[[str], None] = lambda _: None,
        **settings: Any,
    ) -> None:
        del languages
        if not model:
            raise PinchError("The llm judge needs a model.", hint="Name it after a colon: --judge llm:MODEL")
        if labels not in _LABELS:
            raise PinchError(f"labels is {labels!r}.", hint=f"Allowed: {', '.join(_LABELS)}.")
        for setting, number in (("attempts", attempts), ("max_tokens", max_tokens)):
            if number is not None and number < 1:
                raise PinchError(f"{setting} is {number}.", hint="Give 1 or more.")
        refuse_secrets(settings)
        self._model = model
        self._explain = explain
        self._labels = labels
        #: Calls that one question may take; a cost cap reserves for all of them.
        self.attempts = attempts
        name = prompt or (EXPLAINED if explain else PROMPT)
        self._text, shipped = _read_prompt(name, explain)
        self._template = string.Template(self._text)
        if unmarked := sorted(_MARKERS - set(self._template.get_identifiers())):
            on_note(f"The prompt {name} lacks {', '.join(unmarked)}: an answer can imitate the end of an answer in it.")
        self._sampling = Sampling(max_new_tokens=max_tokens or (1024 if explain else 1))
        self._engine = engines.open_engine(engine, model, on_note=on_note, **_of_engine(settings))
        self.name = f"llm-{_named(model, engine, self._engine.name)}-{Path(name).stem}"
        if max_tokens is not None:
            self.name += f"-max-{max_tokens}"
        if not shipped:
            # Two texts under one file name are two judges, and so is one text with and without reasons.
            self.name += f"-{store.content_key(self._text)[:8]}" + "-explained" * explain
        if labels != _LABELS[0]:
            self.name += f"-labels-{labels}"
        #: What verdicts depend on beside the call; where the model is served is no part of it, but its engine is.
        self._identity = [self._text, model, self._engine.name, explain, labels, self._sampling.max_new_tokens]

    @staticmethod
    def check_settings(settings: Mapping[str, Any]) -> None:
        """Refuse settings that are neither the judge's nor its engine's.

        Raises:
            PluginError: names one.
        """
        own = inspect.signature(LLMJudge).parameters
        left = {name: value for name, value in settings.items() if name not in own}
        plugins.check("engines", settings.get("engine", "endpoint"), _of_engine(left))

    def key(self, call: Call) -> str:
        """Return the hash of everything that the verdict depends on."""
        return store.content_key([*self._identity, *_content(call)])

    def tokens_of_call(self, call: Call) -> tuple[int, int]:
        """Estimate the tokens that a call reads and writes."""
        read = len(self._render(call, 0)[0].encode()) / BYTES_PER_TOKEN
        return round(read), _EXPLANATION if self._explain else self._sampling.max_new_tokens

    def judge(self, prompt: Prompt, first: Answer, second: Answer) -> Judgement:
        """Choose.

        Raises:
            JudgeFailure: the engine failed after its own retries, or no reply was a verdict.
        """
        ((_, made),) = self.stream([Call(prompt, first, second)])
        if isinstance(made, JudgeFailure):
            raise made
        return made

    def stream(self, calls: Iterable[Call]) -> Iterator[tuple[Call, Judgement | JudgeFailure]]:
        """Yield the judgement of each call as it comes; a reply that is no verdict is asked for again."""
        left: Iterable[tuple[Call, int, int]] = ((call, 0, 0) for call in calls)
        for attempt in range(self.attempts):
            again: list[tuple[Call, int, int]] = []
            for asked, made in engines.stream(self._engine, self._questions(left, attempt)):
                call, before, written, parser = asked.tag
                if isinstance(made, CallFailure):
                    yield call, JudgeFailure(made.reason, made.detail, n_prompt_tokens=before, n_tokens=written)
                    continue
                before, written = before + (made.n_prompt_tokens or 0), written + made.n_tokens
                judgement = parser(made, before, written)
                if judgement is not None:
                    yield call, judgement
                elif attempt + 1 < self.attempts:
                    again.append((call, before, written))
                else:
                    said = " ".join(made.text.split())[:200]
                    yield call, JudgeFailure("unparsable", said, n_prompt_tokens=before, n_tokens=written)
            if not again:
                return
            left = again

    def request(self, call: Call) -> dict[str, Any]:
        """Return what asks about a call over OpenAI's chat completions, for files of requests.

        An engine that has settings of requests says it itself (`request(asked: Asked) -> dict`).
        """
        text, labels, _ = self._render(call, 0)
        own: Any = getattr(self._engine, "request", None)
        if own is not None:
            choices = () if self._explain else tuple(sorted(labels))
            made: dict[str, Any] = own(Asked((Message(role="user", content=text),), self._sampling, choices=choices))
            return made
        sampling = self._sampling
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
        }
        return body if self._explain else body | {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}

    def parse(self, call: Call, made: Generated) -> Judgement | None:
        """Return the verdict that a reply to `request(call)` is, read as in a live call; None: it is none."""
        _, labels, markers = self._render(call, 0)
        return self._parse(made, labels, markers, made.n_prompt_tokens or 0, made.n_tokens)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _questions(self, calls: Iterable[tuple[Call, int, int]], attempt: int) -> Iterator[Asked]:
        for call, before, written in calls:
            text, labels, markers = self._render(call, attempt)

            def parser(
                made: Generated, read: int, wrote: int, labels: str = labels, markers: tuple[str, str] = markers
            ) -> Judgement | None:
                return self._parse(made, labels, markers, read, wrote)

            yield Asked(
                (Message(role="user", content=text),),
                self._sampling,
                choices=() if self._explain else tuple(sorted(labels)),
                tag=(call, before, written, parser),
            )

    def _render(self, call: Call, attempt: int) -> tuple[str, str, tuple[str, str]]:
        """Return the prompt, the labels of the first and second answer, and the markers of the verdict."""
        token = store.content_key([*self._identity, *_content(call), attempt])[:16]
        # The same for both orders of a pair, so that a taste for a letter is none for a place over many pairs.
        both = sorted((call.first.text, call.second.text))
        swap = hashlib.sha256("\0".join([call.prompt.instruction, *both]).encode()).digest()[0] % 2
        labels = self._labels[::-1] if swap else self._labels
        names = dict(zip(("first", "second"), labels, strict=True))
        markers = f"<verdict-{token}>", f"</verdict-{token}>"
        values = {
            "language": tags.describe(call.prompt.language),
            "conversation": _conversation(call.prompt),
            "first": call.first.text,
            "second": call.second.text,
            "begin_user": f"<user-{token}>",
            "end_user": f"</user-{token}>",
            "begin_verdict": markers[0],
            "end_verdict": markers[1],
        }
        for place, label in names.items():
            values |= {
                f"label_{place}": label,
                f"begin_{place}": f"<answer-{label}-{token}>",
                f"end_{place}": f"</answer-{label}-{token}>",
            }
        return self._template.substitute(values), labels, markers

    def _parse(
        self, made: Generated, labels: str, markers: tuple[str, str], n_prompt_tokens: int, n_tokens: int
    ) -> Judgement | None:
        probability = None
        if self._explain:
            said = parse_marked(made.text, labels, *markers)
        else:
            said = parse_label(made.text, labels)
            # A label likely to come first may begin something else, where there is room: "A closer look ...".
            if made.logprobs is not None and (said is not None or self._sampling.max_new_tokens == 1):
                said, probability = parse_logprobs(made.logprobs, labels) or (None, None)
        if said is None:
            return None
        return Judgement(
            "first" if said == labels[0] else "second",
            probability,
            reply=made.text,
            labels=labels,
            n_prompt_tokens=n_prompt_tokens,
            n_tokens=n_tokens,
        )


def _of_engine(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's settings under the engine's names for them.

    Raises:
        PluginError: one is given twice, or is none of an engine.
    """
    found: dict[str, Any] = {}
    for setting, value in settings.items():
        name = setting.removeprefix(_ENGINES_OWN)
        if name in ("name", "model", "on_note"):
            raise PluginError(f"{setting} is no setting of an engine.", hint="The model stands in the judge's name.")
        if name in found:
            raise PluginError(f"The setting {name} is given twice.", hint=f"Give {name}, or {_ENGINES_OWN}{name}.")
        found[name] = value
    return found


def _named(model: str, engine: str, opened: str) -> str:
    """Return what of model and engine tells one judge from another: two under one name would be one in every table."""
    short = Path(model).name if Path(model).is_dir() else model.strip("/").replace("/", "--")
    # The endpoint's own name ends in a hash where a setting of it changes what it says.
    return short + (opened.removeprefix(f"endpoint-{model}") if engine == "endpoint" else "")


def _content(call: Call) -> list[object]:
    prompt = call.prompt
    return [prompt.language, prompt.messages, call.first.text, call.second.text]


def _conversation(prompt: Prompt) -> str:
    """Return the user's text; where there are several turns, each under the name of its role."""
    if len(prompt.messages) == 1:
        return prompt.instruction
    return "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in prompt.messages)


def _read_prompt(name: str, explain: bool) -> tuple[str, bool]:
    """Return the text of a prompt, by its name or its path, and whether it came with pinchtune.

    Raises:
        DataError: there is none, or it lacks a `$` name, or has one that means nothing.
    """
    folder = importlib.resources.files("pinchtune.judging") / "prompts"
    shipped = folder / f"{name}.txt"
    path = Path(name)
    ours = "/" not in name and shipped.is_file()
    if not ours and not path.is_file():
        known = sorted(one.name.removesuffix(".txt") for one in folder.iterdir())
        raise DataError(
            path, None, "there is no such prompt.", hint=f"Give a text file, or one of: {', '.join(known)}."
        )
    try:
        text = (shipped if ours else path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(path, None, "the prompt is not text in UTF-8.", hint="Save it in UTF-8.") from None
    needed = {"language", "conversation", "first", "second", "label_first", "label_second"}
    needed |= {"begin_verdict", "end_verdict"} if explain else set()
    template = string.Template(text)
    if not template.is_valid():
        fault = "the prompt has a $ that begins no name."
    elif missing := sorted(needed - set(template.get_identifiers())):
        fault = f"the prompt lacks {', '.join(missing)}."
    elif unknown := sorted(set(template.get_identifiers()) - needed - _OPTIONAL):
        fault = f"the prompt has {', '.join(unknown)} after a $, which means nothing here."
    else:
        return text, ours
    raise DataError(
        path,
        None,
        fault,
        hint=f"A prompt has, each with a $ before it: {', '.join(sorted(needed))}; it may have "
        f"{', '.join(sorted(_OPTIONAL))}. With explain, and only then, it has begin_verdict and end_verdict. "
        "Write $$ for a dollar sign.",
    )
