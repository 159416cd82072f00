"""The card of a data set that pinch made, in the Hugging Face Hub's format.

Front matter as in https://huggingface.co/docs/hub/datasets-cards (language, license, size_categories, configs). Counts
are those of the files; how it was made and on what terms its sources stand comes from the manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml

from pinchtune import languages, store
from pinchtune.errors import PinchError

#: The Hub's classes: each name and the number of rows that is too many for it.
_SIZES = (
    ("n<1K", 10**3),
    ("1K<n<10K", 10**4),
    ("10K<n<100K", 10**5),
    ("100K<n<1M", 10**6),
    ("1M<n<10M", 10**7),
    ("10M<n<100M", 10**8),
    ("100M<n<1B", 10**9),
)
#: Licences that the Hub knows by a name (https://huggingface.co/docs/hub/repositories-licenses), of those we meet.
_HUB_LICENCES = {
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-3.0", "cc-by-sa-3.0", "odc-by", "odbl", "pddl", "gpl-3.0", "gemma", "other", "unknown"),
}
_PACK, _PACK_LICENCE = "pinch-pack", "cc0-1.0"  # docs/pack.md
#: The file of a card, and in a manifest's notes the SHA-256 of the one that was written beside the records.
CARD, CARD_KEY = "README.md", "card_key"
#: File -> the Hub's name of its split; other files with rows are configurations of their own.
_SPLITS = {"records": "train", "train": "train", "eval": "eval"}
_ASIDE = ("failures.jsonl", "ids.jsonl")


class _Row(msgspec.Struct, frozen=True):
    """What is counted of a row, in whatever shape it is."""

    language: str = "und"
    source: str = ""


class _Counts:
    """The rows of all files, by language and source."""

    def __init__(self) -> None:
        self.languages: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()

    def read(self, path: Path) -> None:
        decoder = msgspec.json.Decoder(_Row)
        for line in store.open_lines(path):
            try:
                row = decoder.decode(line)
            except msgspec.DecodeError:
                raise PinchError(f"{path} is not as it was written.", hint="Make it again.") from None
            self.languages[row.language] += 1
            self.sources[row.source] += 1


def write_dataset_card(
    folder: Path,
    paths: Sequence[str],
    manifest: store.Manifest,
    *,
    repo_id: str | None = None,
    title: str | None = None,
    licence: str | None,
) -> tuple[str, tuple[str, ...]]:
    """Return a data set's card, and what a user should read before it goes.

    Args:
        folder: Where the files are.
        paths: Those that go, as they are named there.
        manifest: How they were made.
        repo_id: owner/name on the Hub; None: it stays on this machine.
        title: What it is called; None: the Hub's name.
        licence: As the Hub names it; None: as far as the sources tell.

    Raises:
        PinchError: no file of rows, one that is damaged, or a licence the Hub has no name for.
    """
    tables = [path for path in paths if path.endswith(".jsonl") and PurePosixPath(path).name not in _ASIDE]
    if not tables:
        raise PinchError(f"{folder} has no rows to publish.", hint="Give a folder of `pinch mix`, split or translate.")
    counts = _Counts()
    # An export for OpenAI keeps languages and sources beside its rows, in the same order.
    counted = ["ids.jsonl"] if "ids.jsonl" in paths else tables
    for path in counted:
        counts.read(folder / path)
    known = _licences(manifest, counts)
    chosen, notes = _choose(licence, known)
    front = {
        "language": sorted(tag for tag in counts.languages if tag != "und"),
        "license": chosen,
        "size_categories": [_size(counts.languages.total())],
        "task_categories": ["text-generation"],
        "tags": ["pinchtune", "instruction-tuning", "multilingual"],
        "configs": _configs(tables),
    }
    return _text(front, manifest, counts, known, repo_id, title), notes


def _size(rows: int) -> str:
    return next((name for name, over in _SIZES if rows < over), "n>1B")


def _configs(tables: Sequence[str]) -> list[dict[str, Any]]:
    """Return which file is which split; without it the Hub would take every file of the folder for rows."""
    splits = [{"split": _SPLITS[Path(path).stem], "path": path} for path in tables if Path(path).stem in _SPLITS]
    first = [{"config_name": "default", "data_files": splits}] if splits else []
    others = [path for path in tables if Path(path).stem not in _SPLITS]
    return first + [
        {"config_name": Path(path).stem, "data_files": [{"split": "train", "path": path}]} for path in others
    ]


def _licences(manifest: store.Manifest, counts: _Counts) -> dict[str, str]:
    """Return source -> licence, "" where it is not known here."""
    told = manifest.notes.get("sources", [])
    named = {one["name"]: one.get("licence", "") for one in told if isinstance(one, Mapping) and "name" in one}
    named[_PACK] = _PACK_LICENCE
    return {source: named.get(source, "") for source in sorted(counts.sources)}


def _choose(licence: str | None, known: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return the licence's name on the Hub, and what to say of it."""
    if licence is not None:
        if licence not in _HUB_LICENCES:
            raise PinchError(
                f"The Hub knows no licence {licence!r} that pinch knows, too.",
                hint=f"One of: {', '.join(sorted(_HUB_LICENCES))}.",
            )
        return licence, ()
    unknown = [source or "rows that name no source" for source, one in known.items() if not one]
    if unknown:
        return "unknown", (
            f"The licence of {', '.join(unknown)} is not known here; give it (licence) before others see it.",
        )
    names = {one.lower().replace(" ", "-") for one in known.values()}
    if len(names) == 1 and names <= _HUB_LICENCES:
        return names.pop(), ()
    return "other", (f"Several licences, or one the Hub has no name for: {', '.join(sorted(set(known.values())))}.",)


def _text(
    front: Mapping[str, Any],
    manifest: store.Manifest,
    counts: _Counts,
    known: Mapping[str, str],
    repo_id: str | None,
    title: str | None,
) -> str:
    total = counts.languages.total()
    rows = "\n".join(f"| {_name(tag)} | {tag} | {count} |" for tag, count in counts.languages.most_common())
    terms = "\n".join(
        f"| {_cell(source) or 'not named'} | {counts.sources[source]} | {_cell(one) or 'not known'} |"
        for source, one in known.items()
    )
    settings = "\n".join(
        f"- {name}: `{_cell(value)}`" for name, value in manifest.settings.items() if value is not None
    )
    libraries = ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())
    config = front["configs"][0]
    named = "" if config["config_name"] == "default" else f', "{config["config_name"]}"'
    first = config["data_files"][0]
    of_file = f'"json", data_files="{first["path"]}", split="train"'
    read = of_file if repo_id is None else f'"{repo_id}"{named}, split="{first["split"]}"'
    key = f" Its key is `{manifest.key}`." if repo_id is None else ""
    return f"""---
{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)}---

# {title or (repo_id or "/a mixture").split("/")[1]}

{total} conversations for instruction tuning in {len(front["language"])} languages, made with Pinchtune.

| language | tag | conversations |
| --- | --- | --- |
{rows}

```python
from datasets import load_dataset

rows = load_dataset({read})
```

## Sources
| source | conversations | licence |
| --- | --- | --- |
{terms}

The same `id` in two languages means parallel text.

## How it was made
`pinch {manifest.kind}`, of {manifest.n_in} records, with the settings below; `manifest.json` has all.{key}

{settings}

Made with {libraries}.
"""


def _name(tag: str) -> str:
    return "not named" if tag == "und" else languages.parse(tag).name


def _cell(value: object) -> str:
    """Return a value as one cell of a table, or one code span, that it cannot break."""
    return " ".join(str(value).replace("|", "/").replace("`", "'").split())
