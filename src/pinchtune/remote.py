"""What the engines behind an HTTP service share: retries, what a status means, keys, and languages to codes.

A fault that may pass (`PassingFault`) is retried with exponential backoff and full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), no sooner than the service's Retry-After
(https://www.rfc-editor.org/rfc/rfc9110#field.retry-after); one that lies with the texts is a `CallFailure` at
once; one that would meet every batch alike (key, address, quota) is a `PinchError`, which ends the run.

No key may leave the process but in its header. So an error is explained and dropped before another is raised, outside
the `except`: nothing hangs on `__context__`. What a service says is quoted without keys, and not at all where it
refuses a key.
"""

from __future__ import annotations

import dataclasses
import email.utils
import os
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from pinchtune import languages
from pinchtune.errors import CallFailure, LanguageError, MissingExtraError, PinchError
from pinchtune.secret_settings import holds_secret

T = TypeVar("T")
_QUOTED = 200  # characters of a service's message that a failure keeps
_SECRETS = re.compile(r"(?i)\b(bearer|basic|deepl-auth-key)\s+\S+")
#: 4xx that say "not now" rather than "not so".
_LATER = {408: "timeout", 409: "server_error", 425: "server_error", 429: "rate_limited"}

#: What a client trips over in a body that is no JSON, or JSON of another shape than its service's.
WRONG_SHAPE = (ValueError, TypeError, AttributeError, KeyError, IndexError)


class PassingFault(Exception):
    """A fault that the next attempt may not meet.

    Args:
        reason: As of `CallFailure`.
        detail: What was got; never a key.
        retry_after: Seconds that the service asks to wait.
    """

    def __init__(self, reason: str, detail: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a call is made again.

    Args:
        attempts: Calls in all, the first included.
        base_delay: Seconds; the n-th pause is drawn from 0 to `base_delay` times 2 to the power n - 1.
        longest_delay: Seconds; no pause is longer, and a service that asks for a longer one is given up at once.

    Raises:
        PinchError: there would be no call at all.
    """

    attempts: int = 6
    base_delay: float = 1.0
    longest_delay: float = 120.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise PinchError(f"attempts is {self.attempts}.", hint="Give 1 or more.")

    def run(self, once: Callable[[], T], explain: Callable[[Exception], Exception]) -> T:
        """Return what `once` returns, calling it again after each `PassingFault`.

        Args:
            once: One call to the service.
            explain: Turns an exception of the service's client into ours, or returns it if it is none of the client's.

        Raises:
            CallFailure: the attempts are used up, or the texts are at fault.
            PinchError: every other call would fail too.
        """
        import tenacity

        def attempt() -> T:
            try:
                return once()
            except (PassingFault, CallFailure, PinchError):
                raise
            except Exception as error:  # explained, or given back and raised again
                fault = explain(error)
            raise fault

        retrying = tenacity.Retrying(**self._patience())
        try:
            result: T = retrying(attempt)
            return result
        except PassingFault as fault:
            failure = _given_up(fault, retrying)
        raise failure

    async def run_async(self, once: Callable[[], Awaitable[T]], explain: Callable[[Exception], Exception]) -> T:
        """Do as `run` does for a call that is awaited; the pauses are those of the event loop.

        Raises:
            CallFailure: the attempts are used up, or the texts are at fault.
            PinchError: every other call would fail too.
        """
        import tenacity

        async def attempt() -> T:
            try:
                return await once()
            except (PassingFault, CallFailure, PinchError):
                raise
            except Exception as error:  # explained, or given back and raised again
                fault = explain(error)
            raise fault

        retrying = tenacity.AsyncRetrying(**self._patience())
        try:
            result: T = await retrying(attempt)
            return result
        except PassingFault as fault:
            failure = _given_up(fault, retrying)
        raise failure

    def _patience(self) -> dict[str, Any]:
        """Return what tenacity is told: what is retried, how often, and after how long."""
        import tenacity

        backoff = tenacity.wait_random_exponential(multiplier=self.base_delay, max=self.longest_delay)
        return {
            "retry": tenacity.retry_if_exception_type(PassingFault),
            "stop": lambda retry_state: (
                retry_state.attempt_number >= self.attempts or _asked(retry_state) > self.longest_delay
            ),
            "wait": lambda retry_state: _asked(retry_state) + backoff(retry_state),
            "reraise": True,
        }


def _given_up(fault: PassingFault, retrying: Any) -> CallFailure:
    made = retrying.statistics.get("attempt_number", 1)
    return CallFailure(fault.reason, f"{fault.detail} (attempts: {made})".lstrip())


def _asked(retry_state: Any) -> float:
    fault = retry_state.outcome.exception()
    return float(fault.retry_after) if isinstance(fault, PassingFault) else 0.0


def require_tenacity(feature: str, extra: str) -> None:
    """Refuse to open an engine whose retries could not work.

    Raises:
        MissingExtraError: tenacity is not installed.
    """
    try:
        import tenacity  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError(feature, extra) from None


def key_from(variable: str, service: str, *, hint: str = "") -> str:
    """Return a service's key from the environment.

    Raises:
        PinchError: it is not set, or holds what no header may hold (HTTP clients quote such a header in their errors).
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise PinchError(f"{service} needs a key.", hint=f"Set the environment variable {variable}. {hint}".rstrip())
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise PinchError(
            f"The environment variable {variable} holds a space, a line break or a letter that no key has.",
            hint=f"Set {variable} to the key alone.",
        )
    return key


def check_url(url: str | None, setting: str) -> str | None:
    """Return `url`, or refuse what is no address.

    Raises:
        PinchError: it does not begin with http:// or https://.
    """
    if url is not None and not re.match(r"https?://[^/\s]", url):
        raise PinchError(f"{setting} is not an address.", hint=f"{setting} begins with https:// (or http://).")
    if url is not None and holds_secret(url):
        # Settings are kept in manifests, which are for others to read.
        raise PinchError(
            f"{setting} holds a key or password.", hint="Keys come from the environment, not from addresses."
        )
    return url


def cleaned(text: object, secret: str | None = None) -> str:
    """Return the beginning of a service's message in one line, with no key in it."""
    shown = str(text)
    if secret:
        shown = shown.replace(secret, "[key]")
    return " ".join(_SECRETS.sub(r"\1 [key]", shown).split())[:_QUOTED]


def retry_after(headers: Mapping[str, str] | None) -> float:
    """Return the seconds that a response's Retry-After asks for (a number or a date), 0 where it asks for none."""
    value = (headers or {}).get("Retry-After") or ""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def aligned(made: Sequence[object], texts: Sequence[str]) -> list[str]:
    """Return a batch's translations as strings.

    Raises:
        PassingFault: they are not as many as the texts, or one is empty (as clients read one that is missing).
    """
    if len(made) != len(texts):
        raise PassingFault("wrong_count", f"{len(made)} translations for {len(texts)} texts")
    if any(text.strip() and not (isinstance(one, str) and one.strip()) for one, text in zip(made, texts, strict=True)):
        raise PassingFault("unreadable", "an empty translation")
    return [str(one) for one in made]


def from_status(
    status: int, detail: str, *, service: str, credentials: str, address: str, headers: Mapping[str, str] | None = None
) -> Exception:
    """Return what an HTTP status of 400 and over means.

    Args:
        status: The status.
        detail: What the service says, cleaned.
        service: Its name.
        credentials: What to type next where it refuses the key.
        address: What to type next where it does not know what is asked for.
        headers: Of the response.
    """
    said = f"HTTP {status}: {detail}" if detail else f"HTTP {status}"
    if status in _LATER or status >= 500:
        reason = _LATER.get(status, "timeout" if status == 504 else "server_error")
        return PassingFault(reason, said, retry_after=retry_after(headers))
    if status in (401, 403, 407):
        return PinchError(f"{service} refused the credentials (HTTP {status}).", hint=credentials)
    if status in (402, 456):  # 456: DeepL's own, https://developers.deepl.com/docs/best-practices/error-handling
        return out_of_quota(service)
    if status == 404:
        return PinchError(f"{service} does not know what it was asked for ({said}).", hint=address)
    return CallFailure("refused", said)


def out_of_quota(service: str) -> PinchError:
    """Return the error of an account with nothing left."""
    return PinchError(
        f"The account's quota with {service} is used up.",
        hint="Raise it, or wait for the next period; what was translated is kept, the same command goes on from there.",
    )


def code_of(tag: str, codes: Collection[str], aliases: Mapping[str, str]) -> str | None:
    """Return a service's code of a language: the tag's own, that of its script, or the language's; None without one.

    A tag in another script than the language's usual one has only a code that says so: "sr-Latn" is not "sr".

    Args:
        tag: BCP 47.
        codes: Codes of the service.
        aliases: Lower-case tag -> code, where the two differ.

    >>> codes, aliases = ["en", "sr", "zh-TW"], {"zh-hant": "zh-TW"}
    >>> [code_of(tag, codes, aliases) for tag in ("en-AU", "sr-Latn", "zh-HK", "fi")]
    ['en', None, 'zh-TW', None]
    """
    try:
        language = languages.parse(tag)
        usual = languages.parse(language.base).script
    except LanguageError:
        return None
    table = {code.lower(): code for code in codes} | dict(aliases)
    tried = [language.tag, f"{language.base}-{language.script}"]
    if language.script == usual:
        tried.append(language.base)
    return next((table[one.lower()] for one in tried if one.lower() in table), None)
