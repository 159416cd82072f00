"""Settings that look like a key or a password are refused: settings are kept in manifests and recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pinchtune.errors import PinchError

#: Words of a key of settings that hold a secret: "authorization", "x-api-key", "clientSecret".
_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "passphrase"}
    | {"password", "secret", "secrets"}
)
#: What a key that ends in "key" or "token" begins with where it is one: no "prompt_cache_key", no "stop_token".
_OF_SECRETS = frozenset({"access", "account", "api", "auth", "hf", "id", "private", "refresh", "session", "x"})

#: Values that are secrets whatever they are called: an Authorization header (of "Basic" what is no plain word, as in
#: "Basic English"), and keys of OpenAI and of those who name theirs alike, and of Hugging Face.
_SECRET_VALUE = re.compile(
    r"bearer\s+\S+|basic\s+(?!(?-i:\w[a-z]*$))[\w+/=-]+"
    r"|(?:.*[^\w-])?(?:(?-i:sk-)[\w-]*\w{10}|(?-i:hf_)[a-z0-9]{10}).*",
    re.IGNORECASE | re.DOTALL,
)
_SECRET_PART = re.compile("key|token|secret|password", re.IGNORECASE)


def holds_secret(text: str) -> bool:
    """Return whether an address in a text holds a user, a password, or a key among what it asks."""
    for word in text.split():
        _, slashes, rest = word.partition("://")
        if not slashes:
            continue
        if "@" in re.split("[/?#]", rest, maxsplit=1)[0]:
            return True
        pairs = (one.partition("=") for one in re.split("[?&]", rest)[1:])
        if any(value and _SECRET_PART.search(name) for name, _, value in pairs):
            return True
    return False


def refuse_secrets(settings: Mapping[str, Any]) -> None:
    """Refuse settings with a key or password in them, at any depth: by its name, or by what its value looks like.

    Args:
        settings: Of a judge or an engine, such as {"extra": {"extra_headers": {...}}} of an endpoint.

    Raises:
        PinchError: names the place, and the environment variable that keys come from.
    """
    for place, value in _texts(settings, ""):
        name = place.rpartition(".")[2]
        words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        named = words[-1:] in (["key"], ["token"]) and (len(words) == 1 or words[-2] in _OF_SECRETS)
        named = named or not _SECRET_WORDS.isdisjoint(words)
        if value and (named or _SECRET_VALUE.fullmatch(value.strip()) or holds_secret(value)):
            raise PinchError(
                f"The setting {place} looks like a key or password; settings are kept in manifests.",
                hint="Leave it out and set the environment variable OPENAI_API_KEY: an endpoint's key comes from it.",
            )


def _texts(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of every text in settings: a schema that describes a key holds none."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one, place)
