"""The records that flow between stages: one frozen type per meaning, one JSON line each (shared by every stage).

A record is never mutated; `msgspec.structs.replace` makes a changed copy. Languages are BCP 47 tags. Absence is None
with a reason beside it, never NaN. Unknown keys in a file are refused, so that a misspelt one cannot be lost silently.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant"]
Choice = Literal["first", "second", "tie"]
Result = Literal["win", "tie", "loss"]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What all records have in common: frozen, compared by value, written as one JSON line."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain Python values, defaults included."""
        return {name: msgspec.json.decode(msgspec.json.encode(getattr(self, name))) for name in self.__struct_fields__}


class Message(Record, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Role
    content: str


class Example(Record, frozen=True, kw_only=True):
    """One instruction-response conversation in one language, to tune on.

    `id` is the content group: the same id in two languages means parallel text. `(id, language)` is unique.
    """

    id: str
    language: str
    #: Alternating turns; the last is the assistant's, the response that is trained.
    messages: tuple[Message, ...]
    #: Where it comes from ("pack", a file's name, a Hub data set).
    source: str = ""
    category: str | None = None
    #: How it came into its language: "translated:ENGINE", "regenerated:ENGINE", "kept:REASON"; "" where written so.
    made: str = ""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the last response."""
        return self.messages[:-1]

    @property
    def response(self) -> str:
        """The text of the last turn."""
        return self.messages[-1].content


class Prompt(Record, frozen=True, kw_only=True):
    """An evaluation instruction, the language wanted and, where there is one, a reference response."""

    id: str
    language: str
    #: Turns up to and including the user's last.
    messages: tuple[Message, ...]
    reference: str | None = None
    category: str | None = None

    @property
    def instruction(self) -> str:
        """The text of the last user turn."""
        return self.messages[-1].content


class Sampling(Record, frozen=True, kw_only=True):
    """How tokens were chosen: temperature 0 is greedy; lengths are in tokens."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no engine can mean."""
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be 1 or more")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must be 0 or more, top_p in (0, 1]")


class Answer(Record, frozen=True, kw_only=True):
    """What one model said to one prompt, why it stopped, with what sampling. An empty text is an answer."""

    id: str
    language: str
    model: str
    text: str
    #: "stop": the stop token came. "length": max_new_tokens was reached first.
    stop_reason: Literal["stop", "length"]
    #: Tokens generated, the stop token not counted.
    n_tokens: int
    sampling: Sampling
    engine: str = ""


class Verdict(Record, frozen=True, kw_only=True):
    """One judge's choice for one ordered pair of answers."""

    id: str
    language: str
    judge: str
    #: Model names, in the order in which the judge saw the answers.
    first: str
    second: str
    #: "tie" only from people, panels and other tools' judges, or for identical answers, which no judge is asked about.
    choice: Choice
    #: Probability of the choice, where the engine gives one.
    probability: float | None = None
    #: The raw reply of the judge, kept.
    reply: str = ""
    #: What the first and the second answer were called before the judge ("AB", "BA"), where they were called anything.
    labels: str = ""


class Outcome(Record, frozen=True, kw_only=True):
    """Both orders of one pair put together: a different response chosen in each order is a tie."""

    id: str
    language: str
    judge: str
    candidate: str
    baseline: str
    result: Result
    #: Mean over both orders of the candidate's probability to be chosen, where the judge gives one.
    preference: float | None = None


class Score(Record, frozen=True, kw_only=True):
    """A number with its interval and denominators. Fractions in [0, 1]; pages show percent."""

    #: "side_by_side" and what stands beside it (`pinchtune.scoring.cells`), "language_fidelity", "line_pass_rate",
    #: "mixed_languages", "stopped"; "language_fidelity_gain" is a difference, in [-1, 1], over
    #: the prompts told for both models
    metric: str
    #: A language tag, or a named mean: "all", "seen", "unseen", "non_english".
    language: str
    model: str
    value: float
    #: 95% bootstrap interval over prompts.
    low: float
    high: float
    #: Standard error, where there is more than one item.
    error: float | None = None
    baseline: str | None = None
    judge: str | None = None
    #: Prompts asked, answers had, items that could be judged (the mean is over these).
    n_asked: int
    n_answered: int
    n_judged: int


class Failure(Record, frozen=True, kw_only=True):
    """A record that could not be done. Counted in every denominator."""

    id: str
    language: str
    stage: str
    #: A short code, e.g. "missing_answer", "unparsable".
    reason: str
    detail: str = ""


class Identified(Record, frozen=True, kw_only=True):
    """Which language an answer is in, for language fidelity."""

    id: str
    language: str
    model: str
    #: True or False, or None where the text is too short, in a language no identifier knows, or asked for otherwise.
    faithful: bool | None
    #: The language found, by the first identifier that names one.
    found: str | None = None
    #: Why `faithful` is None: "too_short", "unsupported_language", "asks_for_other_language".
    reason: str | None = None
    #: Lines long enough to tell, and how many of them are in another language. 0 lines: not in the line pass rate.
    lines: int = 0
    wrong_lines: int = 0
    #: Some lines or sentences are in the prompt's language and some in another.
    mixed: bool = False
    #: ISO 15924 code of the script of most letters: "Cyrl" or "Latn" for Serbian, "Hans" or "Hant" for Chinese.
    script: str | None = None
