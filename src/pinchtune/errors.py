"""The errors a user can meet: each says what happened and what to type next, and is printed without a traceback.

    PinchError                  exit code 2: something given is wrong
    ├── DataError               a line of a file that cannot be a record
    ├── RecipeError             every fault of a recipe at once
    ├── LanguageError           not a language we can work with
    ├── PluginError             no engine, judge or design of that name
    ├── MissingExtraError       a library that an extra would bring
    ├── ModelError              not a model, or one without a chat template
    ├── TrainingDataError       an example that would not train what it says
    └── RunError                exit code 1: the work was rightly asked for and failed (a full disk, a failed step)

A record that could not be done is data (`pinchtune.records.Failure`), not an error; `CallFailure` is what an engine
raises on the way there. A bug is an assertion.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class PinchError(Exception):
    """Something a user can mend.

    Args:
        message: What was given and what is wrong with it, one sentence.
        hint: What is allowed, or what to type next.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class DataError(PinchError):
    """A place in a file that cannot be read as a record.

    Args:
        path: The file.
        line: Line number from 1, or None where the file as a whole is meant.
        message: What is wrong there.
        hint: What is allowed.
    """

    def __init__(self, path: object, line: int | None, message: str, *, hint: str = "") -> None:
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {message}", hint=hint)


class RecipeError(PinchError):
    """All faults of one recipe, one sentence each."""

    def __init__(self, source: object, faults: Sequence[str]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(
            f"{source}: {count}\n" + "\n".join(f"  - {fault}" for fault in faults),
            hint="`pinch recipe schema` prints every key that a recipe may have.",
        )
        self.faults = tuple(faults)


class LanguageError(PinchError):
    """Not a language tag, or one the work at hand cannot do."""


class PluginError(PinchError):
    """No implementation of that name."""


class MissingExtraError(PinchError):
    """A feature whose library is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a library that is not installed.", hint=f"pip install 'pinchtune[{extra}]'")


class ModelError(PinchError):
    """A folder or name that is not a model we can use."""


class TrainingDataError(PinchError):
    """Examples that would not train what they say (no labels, a cut response, no stop token)."""


class RunError(PinchError):
    """The request was right and the work failed."""

    exit_code = 1


class CallFailure(Exception):
    """A call to an engine that failed, after its own retries. Never shown as such: the caller makes `Failure` records.

    Args:
        reason: A short code: "rate_limited", "server_error", "timeout", "connection", "refused", "truncated",
            "wrong_count", "unreadable", "program_failed".
        detail: What was got; never a key.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return a sentence that names the nearest allowed words, then all of them; "" where there are none.

    >>> did_you_mean("crf", ["chrf", "bleu"])
    'Did you mean chrf? Allowed: bleu, chrf.'
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=2, cutoff=0.5)
    if not names:
        return ""
    listed = f"Allowed: {', '.join(names)}."
    return f"Did you mean {' or '.join(near)}? {listed}" if near else listed
