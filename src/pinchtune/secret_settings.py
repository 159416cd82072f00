"""Settings that look like a key or a password are refused: settings are kept in manifests and recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pinchtune.errors import PinchError

#: Words of a key of settings that hold a secret: "authorization", "x-api-key", "clientSecret".
_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authorization", "bearer", "credential", "credentials", "passphrase", "password", "secret"}
    | {"secrets"}
)
#: What a key that ends in "key" or "token" begins with where it is one: no "prompt_cache_key", no "stop_token".
_OF_SECRETS = frozenset({"access", "account", "api", "auth", "hf", "id", "private", "refresh", "session", "x"})


def refuse_secrets(settings: Mapping[str, Any]) -> None:
    """Refuse settings with a key or password in them, at any depth: settings are kept in manifests.

    Args:
        settings: Of a judge or an engine, such as {"extra": {"extra_headers": {...}}} of an endpoint.

    Raises:
        PinchError: names the place, and the environment variable that keys come from.
    """
    for place, value in _texts(settings, ""):
        name = place.rpartition(".")[2]
        words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        named = words[-1:] in (["key"], ["token"]) and (len(words) == 1 or words[-2] in _OF_SECRETS)
        if value and (named or not _SECRET_WORDS.isdisjoint(words)):
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
