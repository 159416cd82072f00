"""A model or data set that pinch made, on the Hugging Face Hub: what would go there, and then sending it.

`plan_publication` reads the folder and says which files go with which card; it asks nobody. `publish` sends a plan with
`huggingface_hub.HfApi.upload_folder` (https://huggingface.co/docs/huggingface_hub/guides/upload). Nothing goes that was
not planned: the planned files are linked into a folder of their own, and that is sent.

Secrets are looked for in every text file that would go. The patterns are those that the services publish: Hugging Face,
OpenAI, AWS, GitHub, Google, Slack, DeepL, and private keys in PEM.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from pinchtune import store
from pinchtune.dataset_card import CARD, CARD_KEY, write_dataset_card
from pinchtune.errors import MissingExtraError, PinchError, RunError, did_you_mean
from pinchtune.records import Record

Kind = Literal["model", "dataset"]

_ADAPTER = "adapter_config.json"
#: Kinds of manifests whose folders hold conversations.
_DATA_KINDS = ("examples", "export", "mix", "prompts", "split", "translate")
_WEIGHTS = (".safetensors", ".bin", ".gguf")
#: Folders and files of unfinished work, of trainers' state and of caches.
_LEFT_FOLDERS = re.compile(r"\..*|checkpoints|checkpoint-.*|runs|wandb|logs|prepared|exports|__pycache__")
_LEFT_FILES = re.compile(
    r"\..*|.*\.(partial|sqlite|pyc|lock|tmp)|optimizer\.(pt|bin)|scheduler\.pt|rng_state.*\.pth|trainer_state\.json"
    r"|training_args\.bin|finished\.jsonl"
)
_SECRET_FILES = re.compile(
    r"\.env(\..*)?|\.netrc|\.git-credentials|\.pypirc|id_(rsa|dsa|ecdsa|ed25519)|stored_tokens|.*\.pem"
)
#: What a token is called -> its pattern, and bytes without which it cannot be there.
_TOKENS = {
    "a Hugging Face token": (rb"\bhf_[A-Za-z0-9]{30,}", b"hf_"),
    "an API key": (rb"\bsk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}", b"sk-"),
    "an AWS key": (rb"\bAKIA[0-9A-Z]{16}\b", b"AKIA"),
    "a GitHub token": (rb"\b(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40})", b"gh"),
    "a Google key": (rb"\bAIza[0-9A-Za-z_-]{35}", b"AIza"),
    "a Slack token": (rb"\bxox[abprs]-[0-9A-Za-z-]{10,}", b"xox"),
    "a DeepL key": (rb"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:fx\b", b":fx"),
    "a private key": (rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----", b"PRIVATE KEY"),
}
_CHUNK, _OVERLAP = 1 << 20, 256


class PlannedFile(Record, frozen=True, kw_only=True):
    """One file that goes to the Hub."""

    #: In the repository, with forward slashes.
    path: str
    #: In bytes.
    size: int


class Publication(Record, frozen=True, kw_only=True):
    """What would go to the Hub; holds no token."""

    folder: str
    repo_id: str
    kind: Kind
    #: All that goes, README.md among it, by path.
    files: tuple[PlannedFile, ...]
    #: The text of README.md.
    card: str
    #: Path -> text of files that are made for the Hub and stand so in no folder here.
    made: dict[str, str] = {}
    #: What is in the folder and stays here.
    left_out: tuple[str, ...] = ()
    #: What a user should read before sending.
    notes: tuple[str, ...] = ()
    licence: str | None = None
    base_model: str | None = None

    @property
    def n_bytes(self) -> int:
        """The size of all that goes."""
        return sum(file.size for file in self.files)


class Published(Record, frozen=True, kw_only=True):
    """Where it is now."""

    url: str
    commit: str
    private: bool


# ---------------------------------------------------------------------------------------------------- the plan


def plan_publication(
    folder: Path, repo_id: str, *, kind: Kind = "model", licence: str | None = None, base_model: str | None = None
) -> Publication:
    """Return what of a folder would go to the Hub, without asking the Hub.

    Args:
        folder: What `pinch tune` wrote (kind "model"), or `pinch mix`, `translate`, `split` or an export ("dataset").
        repo_id: owner/name on the Hub.
        kind: What it is there.
        licence: Of a data set, as the Hub names it ("cc-by-4.0"); None: as far as its sources tell.
        base_model: Of a model, its base on the Hub, where it was tuned from a folder on this machine.

    Raises:
        PinchError: not a folder that pinch made and finished, the other kind, a name the Hub does not take, or a secret
            in it; never shows the secret.
    """
    _check_name(repo_id)
    if kind not in ("model", "dataset"):
        raise PinchError(f"There is nothing called {kind!r} on the Hub.", hint=did_you_mean(kind, ("model", "dataset")))
    folder, manifest = _made_by_pinch(folder, kind)
    # A model's card tells how it was made; its manifest may name folders of this machine.
    paths, left_out = _walk(folder, stay={"manifest.json"} if kind == "model" else set())
    _refuse_secrets(folder, paths)
    sizes = {path: (folder / path).stat().st_size for path in paths}
    if kind == "model":
        made, notes = _model_texts(folder, paths, base_model)
    else:
        made, notes = {}, ()
        # The card of a study's mixture, as it was written there, knows neither the name on the Hub nor the licence.
        if CARD not in paths or store.file_key(folder / CARD) == manifest.notes.get(CARD_KEY):
            made[CARD], notes = write_dataset_card(folder, paths, manifest, repo_id=repo_id, licence=licence)
    sizes |= {path: len(text.encode()) for path, text in made.items()}
    return Publication(
        folder=str(folder),
        repo_id=repo_id,
        kind=kind,
        files=tuple(PlannedFile(path=path, size=sizes[path]) for path in sorted(sizes)),
        card=made[CARD] if CARD in made else (folder / CARD).read_text(encoding="utf-8"),
        made=made,
        left_out=left_out,
        notes=notes,
        licence=licence,
        base_model=base_model,
    )


def _check_name(repo_id: str) -> None:
    """Refuse what the Hub would, by the rules of `huggingface_hub.utils.validate_repo_id`."""
    owner, slash, name = repo_id.partition("/")
    parts = [owner, name]
    well_formed = all(re.fullmatch(r"\w(?:[\w.-]{0,94}\w)?", part, re.ASCII) for part in parts)
    if not slash or not well_formed or re.search(r"--|\.\.|\.git$", repo_id):
        raise PinchError(
            f"{repo_id!r} is no name on the Hugging Face Hub.",
            hint="Write owner/name, of letters, digits, '-', '_' and '.': my-name/pinch-gemma",
        )


def _made_by_pinch(folder: Path, kind: Kind) -> tuple[Path, store.Manifest]:
    """Return the folder whose files go, and the manifest that tells how they were made."""
    if not folder.is_dir():
        raise PinchError(f"{folder} is no folder.", hint="Give the --output of `pinch tune` or `pinch mix`.")
    # A study keeps a tuned model in its step's folder `model`, beside the step's manifest.
    above = folder.resolve().parent if folder.resolve().name == "model" else None
    manifest = store.read_manifest(folder) or (store.read_manifest(above) if above else None)
    if manifest is None:
        if (folder / ".key").is_file():
            raise PinchError(f"{folder} is not finished.", hint="Run the command that makes it again; it goes on.")
        raise PinchError(
            f"Nothing in {folder} says that pinch made it (there is no manifest.json), so it is not published.",
            hint="`hf upload OWNER/NAME FOLDER` sends any folder.",
        )
    if kind == "model" and manifest.kind != "tune":
        raise PinchError(f"{folder} holds no model; its manifest says {manifest.kind!r}.", hint="Its kind is dataset.")
    if kind == "dataset" and manifest.kind not in _DATA_KINDS:
        hint = "Its kind is model." if manifest.kind == "tune" else f"Data sets are made by: {', '.join(_DATA_KINDS)}."
        raise PinchError(f"{folder} holds no conversations; its manifest says {manifest.kind!r}.", hint=hint)
    inner = folder / "model"
    return (inner if kind == "model" and inner.is_dir() else folder), manifest


def _walk(folder: Path, stay: set[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the paths that go and those that stay, `stay` among them; a folder that stays ends in a slash."""
    go: list[str] = []
    left_out: list[str] = []
    secret: list[str] = []
    for where, folders, files in os.walk(folder):
        inside = Path(where).relative_to(folder)
        left = [name for name in folders if _LEFT_FOLDERS.fullmatch(name) or (Path(where) / name).is_symlink()]
        left_out += [f"{(inside / name).as_posix()}/" for name in left]
        folders[:] = sorted(set(folders) - set(left))
        for name in files:
            path = (inside / name).as_posix()
            if _SECRET_FILES.fullmatch(name):
                secret.append(path)
            # A link may lead to anything on this machine.
            stays = path in stay or _LEFT_FILES.fullmatch(name) or (Path(where) / name).is_symlink()
            (left_out if stays else go).append(path)
    if secret:
        raise PinchError(
            f"{folder} holds {', '.join(sorted(secret))}, where secrets are kept; nothing of it is published.",
            hint="Move it out of the folder, then plan again.",
        )
    return sorted(go), tuple(sorted(left_out))


def _refuse_secrets(folder: Path, paths: list[str]) -> None:
    found = [f"{path}, line {line}: {what}" for path in paths for line, what in _secrets_in(folder / path)]
    if found:
        shown = "\n".join(f"  - {one}" for one in found[:10])
        raise PinchError(
            f"{folder} holds what looks like a secret; nothing of it is published.\n{shown}",
            hint="Take it out of the text and revoke it where it was made: it may have been seen.",
        )


def _secrets_in(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line from 1, what it is) of each kind of secret's first place in a text file; weights are passed over."""
    open_kinds = {what: (re.compile(pattern), needle) for what, (pattern, needle) in _TOKENS.items()}
    line, kept = 1, b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if b"\0" in chunk[:4096]:
                return
            window = kept + chunk
            for what, (pattern, needle) in list(open_kinds.items()):
                match = pattern.search(window) if needle in window else None
                if match:
                    del open_kinds[what]
                    yield line + window.count(b"\n", 0, match.start()), what
            kept = window[-_OVERLAP:]
            line += window.count(b"\n", 0, len(window) - len(kept))


def _model_texts(folder: Path, paths: list[str], base_model: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the texts of a model that must change for the Hub: those that name a base model on this machine."""
    if CARD not in paths or not any(path.endswith(_WEIGHTS) for path in paths):
        missing = "README.md" if CARD not in paths else "file with weights"
        raise PinchError(f"{folder} has no {missing}.", hint="Give the --output of a finished `pinch tune`.")
    if base_model is not None:
        _check_name(base_model)
    card = (folder / CARD).read_text(encoding="utf-8")
    front, body = _front_matter(card)
    adapter: dict[str, Any] = json.loads((folder / _ADAPTER).read_bytes()) if _ADAPTER in paths else {}
    named = [front.get("base_model"), *([adapter.get("base_model_name_or_path")] if adapter else [])]
    if base_model is None:
        local = next((name for name in named if name is not None and not _on_the_hub(str(name))), None)
        if local is not None:
            raise PinchError(
                f"The base model is {local} on this machine, where nobody else finds it.",
                hint="Name it as it is on the Hub: --base NAME; gemma3-270m is google/gemma-3-270m there.",
            )
        return {}, ()
    made = {}
    if front:
        before = str(front.get("base_model") or "")
        front["base_model"] = base_model
        if before and not _on_the_hub(before):
            body = body.replace(before, base_model)
        made[CARD] = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{body}"
    if adapter:
        adapter["base_model_name_or_path"] = base_model
        made[_ADAPTER] = json.dumps(adapter, indent=2, sort_keys=True) + "\n"
    return made, (f"{', '.join(sorted(made))} will name {base_model} as the base model.",)


def _on_the_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~"))


def _front_matter(card: str) -> tuple[dict[str, Any], str]:
    match = re.match(r"---\n(.*?\n)---\n", card, re.DOTALL)
    found = yaml.safe_load(match[1]) if match else None
    return (found, card[match.end() :]) if match and isinstance(found, dict) else ({}, card)


# ------------------------------------------------------------------------------------------------ sending it


def publish(
    plan: Publication, *, private: bool = True, token: str | None = None, endpoint: str | None = None
) -> Published:
    """Send a plan to the Hub, making the repository where there is none.

    Args:
        plan: From `plan_publication`; the folder is looked through again, and must have the same files, as large.
        private: Whether only its owner may see it. A repository that is there already stays as it is, and is refused
            where it is public and `private` is asked for.
        token: With write access; None: that of `hf auth login` or HF_TOKEN, as huggingface_hub finds it.
        endpoint: Address of the Hub; None: the usual one, or HF_ENDPOINT.

    Raises:
        PinchError: no token, one without the right, a folder that has changed, or a public repository.
        RunError: the Hub could not be reached, or failed.
        MissingExtraError: huggingface_hub is not installed.
    """
    hub = _library()
    secret = token or hub.get_token()
    if not secret:
        raise PinchError(
            "Publishing needs a token of the Hugging Face Hub, and there is none here.",
            hint="Make one with write access on https://huggingface.co/settings/tokens, then: hf auth login",
        )
    folder = Path(plan.folder)
    again = plan_publication(folder, plan.repo_id, kind=plan.kind, licence=plan.licence, base_model=plan.base_model)
    if msgspec.structs.replace(again, left_out=plan.left_out) != plan:
        raise PinchError(f"{folder} has changed since it was planned.", hint="Plan again, and look at it again.")
    api = hub.HfApi(endpoint=endpoint, token=secret)
    where = {"repo_id": plan.repo_id, "repo_type": plan.kind}
    with _staged(plan) as staged, _hub_errors(plan, secret):
        address = api.create_repo(**where, private=private, exist_ok=True)
        is_private = bool(api.repo_info(**where).private)
        if private and not is_private:
            raise PinchError(
                f"{plan.repo_id} is there already and is public; nothing was sent.",
                hint="Choose another name, make it private in its settings, or say that it may be public.",
            )
        sent = api.upload_folder(**where, folder_path=staged, commit_message="Made with Pinchtune")
    return Published(url=str(address), commit=str(sent.oid), private=is_private)


def _library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise MissingExtraError("Publishing on the Hugging Face Hub", "datasets") from None
    return huggingface_hub


@contextlib.contextmanager
def _staged(plan: Publication) -> Iterator[Path]:
    """Make a folder of exactly the planned files: links, and the texts made for the Hub."""
    with tempfile.TemporaryDirectory(prefix="pinch-publish-") as name:
        staged = Path(name)
        with store.disk_errors(staged):
            for file in plan.files:
                target = staged / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if file.path in plan.made:
                    target.write_text(plan.made[file.path], encoding="utf-8")
                    continue
                source = (Path(plan.folder) / file.path).resolve()
                try:
                    target.symlink_to(source)
                except OSError:  # some file systems have no links
                    shutil.copy2(source, target)
        yield staged


@contextlib.contextmanager
def _hub_errors(plan: Publication, secret: str) -> Iterator[None]:
    """Turn what the Hub and its library raise into sentences without the token; only their calls stand in this block.

    Their errors have no common base, and that of a connection that fails belongs to the HTTP client of the day.
    """
    try:
        yield
    except PinchError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = str(error).replace(secret, "[token]").strip()
        raise _meaning(plan, type(error).__name__, status, said) from None


def _meaning(plan: Publication, name: str, status: int | None, said: str) -> PinchError:
    first = said.partition("\n")[0].rstrip(".")[:300]
    if status == 401:
        return PinchError("The Hub does not know this token.", hint="Log in again: hf auth login")
    if status in (403, 404):
        return PinchError(
            f"The token may not write to {plan.repo_id}.",
            hint="Give one with write access, and an owner that is you or an organisation of yours: hf auth whoami",
        )
    if name == "OfflineModeIsEnabled":
        return PinchError("HF_HUB_OFFLINE keeps this machine off the Hub.", hint="unset HF_HUB_OFFLINE")
    if status is None and re.search(r"Connect|Timeout|Network|Protocol|Proxy", name):
        return RunError(f"The Hub could not be reached: {first or name}.", hint="Try again; what was sent is kept.")
    if status is None and name == "ValueError":
        shown = " ".join(said.split())[:300]
        return PinchError(f"The Hub refuses the card: {shown}", hint=f"Mend {CARD} in {plan.folder}.")
    code = "" if status is None else f" ({status})"
    return RunError(f"The Hub did not take {plan.repo_id}{code}: {first or name}.", hint="Try again later.")
