"""The shapes in which the field writes instruction data, recognised by their keys.

| shape | keys | seen in |
| --- | --- | --- |
| pinchtune | id, language, messages | our own files |
| messages | messages: [{role, content}] | OpenAI, TRL's conversational format |
| conversations | conversations: [{from, value}] | ShareGPT |
| alpaca | instruction, [input], output | Stanford Alpaca |
| prompt-completion | prompt, completion: text or lists of messages | TRL's prompt-completion format |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pinchtune import languages
from pinchtune.errors import LanguageError
from pinchtune.records import Example, Message

_SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
#: What a row must hold, said to a user whose row holds none of it.
SHAPES = "messages | conversations | instruction, [input], output | prompt, completion"


class ShapeError(ValueError):
    """A row that is no conversation; the caller knows its file and line."""


def to_example(row: Mapping[str, Any], *, language: str | None, source: str) -> Example:
    """Make an `Example` of one row in any of the shapes.

    Args:
        row: Keys and values as read from a file.
        language: The language of rows that have no `language` (or `lang`) of their own.
        source: Where the row comes from.

    Raises:
        ShapeError: the row has none of the shapes, or a wrong turn, or no language.
    """
    messages = _messages(row)
    _check_turns(messages)
    _check_characters(messages)
    tag = row.get("language") or row.get("lang") or language
    if not isinstance(tag, str):
        raise ShapeError("no language: give each row a 'language' key, or name one for the file (--language en)")
    try:
        tag = languages.parse(tag).tag
    except LanguageError as error:
        raise ShapeError(str(error).replace("\n", " ")) from None
    given = row.get("id")
    category = row.get("category")
    return Example(
        id=str(given) if given not in (None, "") else _content_id(messages),
        language=tag,
        messages=messages,
        source=str(row.get("source") or source),
        category=str(category) if category else None,
    )


def _messages(row: Mapping[str, Any]) -> tuple[Message, ...]:
    if row.get("messages") is not None:
        return _turns(row["messages"], "messages", role_key="role", text_key="content")
    if row.get("conversations") is not None:
        return _turns(row["conversations"], "conversations", role_key="from", text_key="value")
    if row.get("instruction") is not None and row.get("output") is not None:
        instruction = _text(row, "instruction")
        extra = _text(row, "input") if row.get("input") else ""
        user = f"{instruction}\n\n{extra}" if extra.strip() else instruction
        return Message(role="user", content=user), Message(role="assistant", content=_text(row, "output"))
    if row.get("prompt") is not None and row.get("completion") is not None:
        if isinstance(row["prompt"], str):
            user, assistant = _text(row, "prompt"), _text(row, "completion")
            return Message(role="user", content=user), Message(role="assistant", content=assistant)
        both = [*_list(row["prompt"], "prompt"), *_list(row["completion"], "completion")]
        return _turns(both, "prompt and completion", role_key="role", text_key="content")
    raise ShapeError(f"has the keys {', '.join(map(repr, row)) or 'none'}; needs {SHAPES}")


def _turns(value: object, key: str, *, role_key: str, text_key: str) -> tuple[Message, ...]:
    turns = []
    for number, turn in enumerate(_list(value, key), 1):
        if not isinstance(turn, Mapping) or role_key not in turn or text_key not in turn:
            raise ShapeError(f"turn {number} of {key!r} needs {role_key!r} and {text_key!r}, got {str(turn)[:60]!r}")
        role = turn[role_key]
        if role_key == "from":
            role = _SHAREGPT_ROLES.get(role, role)
        try:
            turns.append(msgspec.convert({"role": role, "content": turn[text_key]}, Message))
        except msgspec.ValidationError as error:
            raise ShapeError(f"turn {number} of {key!r}: {error}") from None
    return tuple(turns)


def _check_turns(messages: Sequence[Message]) -> None:
    spoken = [message.role for message in messages if message.role != "system"]
    expected = ["user", "assistant"] * (len(spoken) // 2)
    if not spoken or spoken != expected:
        raise ShapeError(
            f"turns must alternate user, assistant and end with assistant; got {', '.join(spoken) or 'none'}"
        )
    if any(message.role == "system" for message in messages[1:]):
        raise ShapeError("a system turn may only come first")
    if not messages[-1].content.strip():
        raise ShapeError("the response is empty")


def _check_characters(messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages, 1):
        try:
            message.content.encode()
        except UnicodeEncodeError as error:
            half = message.content[error.start]
            raise ShapeError(f"turn {number} holds half of a surrogate pair ({half!r}), which is no text") from None


def _list(value: object, key: str) -> Sequence[Any]:
    # Parquet gives numpy arrays where JSON gives lists.
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise ShapeError(f"{key!r} must be a list of turns, got {type(value).__name__}")
    return value


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise ShapeError(f"{key!r} must be text, got {type(value).__name__}")
    return value


def _content_id(messages: Sequence[Message]) -> str:
    text = "\x1f".join(f"{message.role}\x1e{message.content}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
