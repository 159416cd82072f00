import base64
import http.server
import json
import logging
import socket
import threading
import traceback

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pinchtune import publishing, store
from pinchtune.dataset_card import write_dataset_card
from pinchtune.errors import PinchError, RunError
from pinchtune.mixtures.designs import describe
from pinchtune.publishing import plan_publication, publish
from pinchtune.tuning.card import write_card
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.tuned import Tuned
from tests.conftest import example

# Put together here, so that no scanner takes this file for a leak.
TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"


def mixture(folder, *, source="pinch-pack", kind="mix", notes=None, n=6):
    drawn = [
        msgspec.structs.replace(example(f"e{number}", "fi" if number % 3 == 0 else "en"), source=source)
        for number in range(n)
    ]
    store.write_records(folder / "records.jsonl", drawn)
    settings = {"design": "pinch", "languages": ["fi"], "seed": 3}
    made = {"key": "k", "step": "mix", "kind": kind, "version": 1, "settings": settings, "n_in": 40, "n_out": n}
    manifest = store.Manifest(**made, libraries={"pinchtune": "0.1.0"}, notes=describe(drawn) | (notes or {}))
    store.write_json(folder / "manifest.json", manifest)
    return folder


def model(folder, base="google/gemma-3-270m", manifest=None):
    folder.mkdir(parents=True)
    settings = TuningSettings()
    tuned = Tuned(n_examples=1, n_tokens=9, n_labels=4, loss=((1, 2.0),))
    write_card(folder, base=base, settings=settings, examples=[example("a")], seed=0, tuned=tuned)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 16}))
    (folder / "adapter_model.safetensors").write_bytes(b"\0weights")
    made = {"key": "k", "step": "tune", "kind": "tune", "version": 1, "settings": {}}
    store.write_json((manifest or folder) / "manifest.json", store.Manifest(**made))
    return folder


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def planned(folder, **options):
    return plan_publication(folder, "me/name", kind="dataset", **options)


# ---------------------------------------------------------------------------------------------------- the plan


def test_a_plan_names_every_file_with_its_size_and_makes_the_card_of_a_mixture(tmp_path):
    plan = planned(mixture(tmp_path / "mix"))
    assert [file.path for file in plan.files] == ["README.md", "manifest.json", "records.jsonl"]
    assert plan.files[2].size == (tmp_path / "mix" / "records.jsonl").stat().st_size
    assert plan.n_bytes == sum(file.size for file in plan.files)
    assert plan.files[0].size == len(plan.card.encode())
    assert not (tmp_path / "mix" / "README.md").exists()
    said = front(plan.card)
    assert (said["language"], said["license"], said["size_categories"]) == (["en", "fi"], "cc0-1.0", ["n<1K"])
    rows = [{"split": "train", "path": "records.jsonl"}]
    assert said["configs"] == [{"config_name": "default", "data_files": rows}]
    assert "| English | en | 4 |\n| Finnish | fi | 2 |" in plan.card
    assert 'load_dataset("me/name", split="train")' in plan.card
    assert "- design: `pinch`" in plan.card
    assert plan.notes == ()


def test_a_card_that_is_there_goes_as_it_is(tmp_path):
    folder = mixture(tmp_path / "mix", source="mine")
    (folder / "README.md").write_text("My words.\n")
    plan = planned(folder)
    assert (plan.card, plan.made) == ("My words.\n", {})


def test_the_card_of_a_studys_mixture_is_made_anew_for_the_hub_unless_somebody_wrote_in_it(tmp_path):
    folder = mixture(tmp_path / "mix")
    manifest = store.read_manifest(folder)
    text, _ = write_dataset_card(folder, ["records.jsonl"], manifest, title="pinch-2-of-6", licence=None)
    assert "# pinch-2-of-6\n" in text
    assert 'load_dataset("json", data_files="records.jsonl", split="train")' in text
    (folder / "README.md").write_text(text)
    notes = manifest.notes | {"card_key": store.file_key(folder / "README.md")}
    store.write_json(folder / "manifest.json", msgspec.structs.replace(manifest, notes=notes))
    plan = planned(folder, licence="cc-by-4.0")
    assert 'load_dataset("me/name", split="train")' in plan.card
    assert front(plan.card)["license"] == "cc-by-4.0"
    (folder / "README.md").write_text(text + "My words.\n")
    assert planned(folder).card == text + "My words.\n"


def test_splits_are_splits_and_failures_are_no_rows(tmp_path):
    folder = mixture(tmp_path / "split", kind="split")
    (folder / "records.jsonl").rename(folder / "train.jsonl")
    store.write_records(folder / "eval.jsonl", [example("z", "sw")])
    store.write_records(folder / "failures.jsonl", [])
    said = front(planned(folder).card)
    files = [{"split": "eval", "path": "eval.jsonl"}, {"split": "train", "path": "train.jsonl"}]
    assert said["configs"][0]["data_files"] == files
    assert said["language"] == ["en", "fi", "sw"]


def test_an_export_without_languages_in_its_rows_is_counted_by_the_file_beside_it(tmp_path):
    folder = mixture(tmp_path / "openai", kind="export")
    (folder / "records.jsonl").rename(folder / "ids.jsonl")
    (folder / "train.jsonl").write_text('{"messages":[]}\n' * 6)
    said = front(planned(folder).card)
    assert said["language"] == ["en", "fi"]
    assert [one["path"] for one in said["configs"][0]["data_files"]] == ["train.jsonl"]


@pytest.mark.parametrize(("n", "said"), [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K")])
def test_the_size_is_in_the_hubs_classes(tmp_path, n, said):
    assert front(planned(mixture(tmp_path / "mix", n=n)).card)["size_categories"] == [said]


@pytest.mark.parametrize(
    ("source", "told", "licence", "note"),
    [
        ("CohereForAI/aya_dataset", [{"name": "CohereForAI/aya_dataset", "licence": "Apache-2.0"}], "apache-2.0", ""),
        ("tatsu-lab/alpaca_farm", [{"name": "tatsu-lab/alpaca_farm", "licence": "CC BY-NC 4.0"}], "cc-by-nc-4.0", ""),
        ("GAIR/lima", [{"name": "GAIR/lima", "licence": "CC BY-NC-SA, or stricter"}], "other", "CC BY-NC-SA"),
        ("my-file", [], "unknown", "The licence of my-file is not known here"),
    ],
)
def test_a_licence_is_what_the_sources_tell(tmp_path, source, told, licence, note):
    folder = mixture(tmp_path / "mix", source=source, notes={"sources": told})
    plan = planned(folder)
    assert front(plan.card)["license"] == licence
    assert note in "".join(plan.notes)
    assert bool(plan.notes) == bool(note)
    assert front(planned(folder, licence="cc-by-4.0").card)["license"] == "cc-by-4.0"


def test_a_licence_the_hub_has_no_name_for_is_refused(tmp_path):
    with pytest.raises(PinchError, match="no licence 'CC BY'") as caught:
        planned(mixture(tmp_path / "mix"), licence="CC BY")
    assert "cc-by-4.0" in caught.value.hint


def test_checkpoints_caches_hidden_files_and_links_stay_here(tmp_path):
    folder = model(tmp_path / "m")
    for name in ("checkpoints/checkpoint-5/model.safetensors", ".cache/x", "__pycache__/a.pyc", "wandb/run/log.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for name in (".key", ".README.md.12-ab.partial", "optimizer.pt", "cache.sqlite"):
        (folder / name).write_text("x")
    (tmp_path / "elsewhere.txt").write_text("mine")
    (folder / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "folder").symlink_to(tmp_path)
    plan = plan_publication(folder, "me/m")
    assert [file.path for file in plan.files] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    stays = {".cache/", ".key", "checkpoints/", "folder/", "link.txt", "manifest.json", "optimizer.pt", "wandb/"}
    assert stays < set(plan.left_out)


# ------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", [".env", ".env.local", "deep/er/.env", ".netrc", "id_rsa", "server.pem"])
def test_a_file_where_secrets_are_kept_stops_everything(tmp_path, name):
    folder = mixture(tmp_path / "mix")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")
    with pytest.raises(PinchError, match="where secrets are kept") as caught:
        planned(folder)
    assert name in caught.value.message


SECRETS = [
    TOKEN,
    "sk-" + "proj-a1B2c3D4e5F6g7H8i9J0",
    "AKIA" + "ABCDEFGH12345678",
    "ghp_" + "a" * 36,
    "AIza" + "b" * 35,
    "xoxb-" + "123456789012",
    "12345678-1234-1234-1234-123456789abc" + ":fx",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
]


@given(secret=st.sampled_from(SECRETS), before=st.text("ab \n", max_size=90), after=st.text("\n .", max_size=30))
def test_a_secret_is_found_wherever_it_stands_and_is_never_shown(tmp_path_factory, secret, before, after):
    folder = mixture(tmp_path_factory.mktemp("mix"))
    text = f"{before} {secret} {after}"
    (folder / "notes.txt").write_text(text, newline="")
    whole = publishing._CHUNK
    publishing._CHUNK = 64  # a secret across two reads
    try:
        with pytest.raises(PinchError, match="looks like a secret") as caught:
            planned(folder)
    finally:
        publishing._CHUNK = whole
    assert f"notes.txt, line {before.count(chr(10)) + 1}: a" in caught.value.message
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "task-oriented-dialogue-in-2024-and-2025",
        "sk-learn-like-estimators-everywhere",
        "hf_hub_download(repo_id)",
        "AKIA",
    ],
)
def test_a_word_that_only_begins_like_a_secret_is_none(tmp_path, text):
    folder = mixture(tmp_path / "mix")
    (folder / "notes.txt").write_text(text)
    assert "notes.txt" in [file.path for file in planned(folder).files]


# ------------------------------------------------------------------------------------------ what is refused


def test_a_folder_that_pinch_did_not_make_or_finish_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(PinchError, match="Nothing in .* says that pinch made it"):
        planned(tmp_path)
    (tmp_path / ".key").write_text("k")
    with pytest.raises(PinchError, match="is not finished"):
        planned(tmp_path)
    with pytest.raises(PinchError, match="is no folder"):
        planned(tmp_path / "none")


def test_a_model_is_no_data_set_and_the_other_way_round(tmp_path):
    with pytest.raises(PinchError, match="holds no conversations") as caught:
        planned(model(tmp_path / "m"))
    assert caught.value.hint == "Its kind is model."
    with pytest.raises(PinchError, match="holds no model; its manifest says 'mix'"):
        plan_publication(mixture(tmp_path / "mix"), "me/name", kind="model")


@pytest.mark.parametrize("name", ["name", "a/b/c", "me/-x", "me/x--y", "me/x.git", "me/ä", "/x", "me/"])
def test_a_name_the_hub_would_refuse_is_refused_here(tmp_path, name):
    with pytest.raises(PinchError, match="no name on the Hugging Face Hub"):
        plan_publication(mixture(tmp_path / "mix"), name, kind="dataset")


@given(st.text("aB1-_./", max_size=12))
def test_names_are_judged_as_the_hubs_own_library_does(name):
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    def refused(check, error):
        try:
            check(name)
        except error:
            return True
        return False

    if name.count("/") == 1:  # the library takes names without an owner, too
        assert refused(publishing._check_name, PinchError) == refused(validate_repo_id, HFValidationError)


# ---------------------------------------------------------------------------------------------------- models


def test_a_model_goes_with_the_card_that_tuning_wrote(tmp_path):
    folder = model(tmp_path / "m")
    plan = plan_publication(folder, "me/m")
    assert plan.card == (folder / "README.md").read_text()
    assert plan.made == {}


def test_a_base_model_on_this_machine_must_be_named_as_on_the_hub(tmp_path):
    folder = model(tmp_path / "m", base="/home/me/.cache/base")
    with pytest.raises(PinchError, match="where nobody else finds it"):
        plan_publication(folder, "me/m")
    plan = plan_publication(folder, "me/m", base_model="google/gemma-3-270m")
    assert front(plan.card)["base_model"] == "google/gemma-3-270m"
    assert json.loads(plan.made["adapter_config.json"]) == {"base_model_name_or_path": "google/gemma-3-270m", "r": 16}
    assert "/home/me" not in plan.card + plan.made["adapter_config.json"]
    assert "/home/me" in (folder / "README.md").read_text()
    assert "google/gemma-3-270m" in plan.notes[0]


def test_a_studys_model_is_found_from_its_step_and_from_inside(tmp_path):
    inner = model(tmp_path / "step" / "model", manifest=tmp_path / "step")
    outer = plan_publication(tmp_path / "step", "me/m")
    assert outer.files == plan_publication(inner, "me/m").files
    assert outer.folder == str(inner)


def test_a_model_without_weights_or_card_is_refused(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(PinchError, match="no file with weights"):
        plan_publication(folder, "me/m")
    (folder / "README.md").unlink()
    with pytest.raises(PinchError, match=r"no README\.md"):
        plan_publication(folder, "me/m")


# ---------------------------------------------------------------------------------------------- sending it


class FakeHub(http.server.BaseHTTPRequestHandler):
    """The endpoints of the Hub that huggingface_hub calls: make a repository, look at it, preupload, commit."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        hub = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append((self.command, self.path, self.headers["Authorization"]))
        status, value = hub.status, {"error": f"no, {self.headers['Authorization']}"}
        if not status:
            status, value = self.answer(hub, body)
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self, hub, body):
        repo = f"/api/{hub.kind}s/me/name"
        told = [json.loads(line) for line in body.splitlines()]
        if self.path == "/api/repos/create":
            assert (told[0]["organization"], told[0]["name"], told[0]["type"]) == ("me", "name", hub.kind)
            status = 200 if hub.private is None else 409
            if hub.private is None:
                hub.private = told[0]["visibility"] == "private"
            value = {"url": hub.page}
        elif self.path == repo:
            status, value = 200, {"id": "me/name", "private": hub.private, "sha": "0" * 40, "siblings": []}
        elif self.path == "/api/validate-yaml":
            hub.card = told[0]["content"]
            status, value = (400, {"errors": [{"message": hub.fault}]}) if hub.fault else (200, {})
        elif self.path == f"{repo}/preupload/main":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in told[0]["files"]
            ]
            status, value = 200, {"files": files}
        else:
            assert self.path == f"{repo}/commit/main"
            sent = [line["value"] for line in told if line["key"] == "file"]
            hub.files |= {file["path"]: base64.b64decode(file["content"]) for file in sent}
            status, value = 200, {"success": True, "commitUrl": f"{hub.page}/commit/1", "commitOid": "1" * 40}
        return status, value

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def hub():
    pytest.importorskip("huggingface_hub")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.asked, server.files = [], {}
    server.kind, server.private, server.status, server.fault, server.card = "dataset", None, None, "", None
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.page = f"{server.address}/datasets/me/name"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def refused(kind, call):
    """Return the error of a call, after looking for the token in all that it would show."""
    with pytest.raises(kind) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert TOKEN not in repr(caught.value.__dict__)
    return caught.value


def test_exactly_the_planned_files_arrive_and_the_token_is_told_to_the_hub_alone(tmp_path, hub, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    folder = mixture(tmp_path / "mix")
    (folder / "[odd] name*.txt").write_text("text")
    plan = planned(folder)
    (folder / ".later.partial").write_text("not planned, and hidden")
    done = publish(plan, token=TOKEN, endpoint=hub.address)
    assert set(hub.files) == {file.path for file in plan.files}
    assert hub.files["README.md"].decode() == plan.card == hub.card
    assert hub.files["records.jsonl"] == (folder / "records.jsonl").read_bytes()
    assert (done.commit, done.private, hub.private) == ("1" * 40, True, True)
    assert done.url == hub.page
    assert {token for _, _, token in hub.asked} == {f"Bearer {TOKEN}"}
    printed = "".join(capfd.readouterr())
    assert TOKEN not in f"{plan!r} {plan.to_dict()} {done!r} {caplog.text} {printed}"
    assert not (folder / "README.md").exists()


def test_a_model_arrives_with_the_base_it_has_on_the_hub(tmp_path, hub):
    hub.kind, hub.page = "model", f"{hub.address}/me/name"
    plan = plan_publication(model(tmp_path / "m", base="/mine"), "me/name", base_model="google/gemma-3-270m")
    publish(plan, private=False, token=TOKEN, endpoint=hub.address)
    assert json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "google/gemma-3-270m"
    assert hub.files["adapter_model.safetensors"] == b"\0weights"
    assert b"/mine" not in b"".join(hub.files.values())
    assert hub.private is False


def test_what_is_to_be_private_is_not_sent_to_a_public_repository(tmp_path, hub):
    hub.private = False
    plan = planned(mixture(tmp_path / "mix"))
    error = refused(PinchError, lambda: publish(plan, token=TOKEN, endpoint=hub.address))
    assert "is there already and is public" in error.message
    assert not hub.files
    assert publish(plan, private=False, token=TOKEN, endpoint=hub.address).private is False
    assert hub.files


@pytest.mark.parametrize(
    ("status", "kind", "message", "hint"),
    [
        (401, PinchError, "does not know this token", "hf auth login"),
        (403, PinchError, "may not write to me/name", "write access"),
        (418, RunError, r"did not take me/name (418)", "Try again"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_type(tmp_path, hub, status, kind, message, hint):
    hub.status = status
    plan = planned(mixture(tmp_path / "mix"))
    error = refused(kind, lambda: publish(plan, token=TOKEN, endpoint=hub.address))
    assert message in error.message
    assert hint in error.hint


def test_a_card_that_the_hub_refuses_is_named(tmp_path, hub):
    hub.fault = '"license" must be one of'
    plan = planned(mixture(tmp_path / "mix"))
    error = refused(PinchError, lambda: publish(plan, token=TOKEN, endpoint=hub.address))
    assert '"license" must be one of' in error.message
    assert not hub.files


def test_no_hub_to_be_reached_and_no_wish_to_reach_it_are_two_sentences(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    plan = planned(mixture(tmp_path / "mix"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = refused(RunError, lambda: publish(plan, token=TOKEN, endpoint=address))
    assert "could not be reached" in error.message
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = refused(PinchError, lambda: publish(plan, token=TOKEN, endpoint=address))
    assert error.hint == "unset HF_HUB_OFFLINE"


def test_without_a_token_it_says_what_to_type(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    plan = planned(mixture(tmp_path / "mix"))
    with pytest.raises(PinchError, match="needs a token") as caught:
        publish(plan)
    assert "hf auth login" in caught.value.hint


def test_a_folder_that_changed_since_it_was_planned_is_not_sent(tmp_path, hub):
    folder = mixture(tmp_path / "mix")
    plan = planned(folder)
    (folder / "more.txt").write_text("x")
    error = refused(PinchError, lambda: publish(plan, token=TOKEN, endpoint=hub.address))
    assert "has changed since it was planned" in error.message
    assert not hub.asked
