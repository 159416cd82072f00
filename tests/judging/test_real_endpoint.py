"""`pinch judge` against a real server: `transformers serve` with the embedded base model on loopback. Minutes.

A base model of 270 million parameters is no judge; what is looked at is what goes over the line and what comes back.
The server takes `logprobs` without a word and gives none, so choices are read from the replies' text.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pinchtune import chat, models
from pinchtune.records import Verdict
from pinchtune.store import read_manifest, read_records, write_records
from tests.cli.in_process import pinch
from tests.conftest import answer, prompt

pytestmark = pytest.mark.real_model
pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn")
pytest.importorskip("uvicorn")

#: For a model that goes on with a text, and was never told to answer.
FEW_SHOT = """Which answer is better, A or B? Reply with one letter.

Question: Say hello.
Answer A: Hello!
Answer B: Tomato.
Better: A

Question: What is two and two?
Answer A: Green.
Answer B: Four.
Better: B

Question ($language): $conversation
Answer $label_first: $first
Answer $label_second: $second
Better:"""


def model_folder(folder, *, template=None):
    """Make a folder that is the embedded model with a chat template, as `pinch tune` saves one, or with another."""
    folder.mkdir()
    base = models.embedded()
    for path in base.iterdir():
        if not path.name.startswith("tokenizer"):
            (folder / path.name).symlink_to(path)
    tokenizer = models.load_tokenizer(str(base))
    if template is None:
        chat.ensure_template(tokenizer)
    else:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def served(log):
    """Run `transformers serve`, and give its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    words = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("wb") as stream, subprocess.Popen(words, stdout=stream, stderr=stream, env=environment) as server:
        try:
            deadline = time.monotonic() + 180
            while not healthy(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def healthy(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        return reply.status == 200
    return False


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with served(tmp_path_factory.mktemp("log") / "serve.log") as address:
        yield address


@pytest.fixture
def judge(tmp_path, url, monkeypatch):
    """Return a function that judges six pairs by a model of the server."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked = {"en": ("Name a fruit.", "Count to three.", "Say hello."), "fi": ("Sano hei.", "Mikä on puu?", "Laula.")}
    prompts = [prompt(f"{tag}{n}", tag, text) for tag, texts in asked.items() for n, text in enumerate(texts)]
    write_records(tmp_path / "p.jsonl", prompts)
    for model, text in (("c", "Apple, one, two, three, hello!"), ("b", "Stone.")):
        write_records(tmp_path / model / "records.jsonl", [answer(p.id, p.language, model, text) for p in prompts])

    def run(model, output, *words):
        pair = ("--candidate", tmp_path / "c", "--baseline", tmp_path / "b", "--cache", tmp_path / "c.sqlite")
        llm = ("--judge", f"llm:{model}", "--base-url", url, "--setting", "workers=2")
        return pinch("judge", tmp_path / "p.jsonl", *pair, *llm, *words, "-o", tmp_path / output)

    return run


def test_every_call_is_a_verdict_or_a_counted_failure(judge, tmp_path):
    # The shipped prompt is long for a CPU.
    done = judge(model_folder(tmp_path / "turns"), "v", "--setting", "attempts=1", "--limit", 1, "--json")
    manifest = read_manifest(tmp_path / "v")
    assert done.returncode == (0 if manifest.n_out else 1), done.stderr
    assert manifest.n_out + sum(manifest.failed.values()) == manifest.n_in == 4
    assert manifest.failed.keys() <= {"unparsable"}
    told = done.value["spent"]
    assert told["n_calls"] == told["n_tokens"] == 4
    assert told["n_prompt_tokens"] > 4 * 100


def test_verdicts_are_read_from_the_text_where_there_are_no_probabilities(judge, tmp_path):
    (tmp_path / "few-shot.txt").write_text(FEW_SHOT)
    folder = model_folder(tmp_path / "plain", template="{{ bos_token }}{{ messages[-1].content }}")
    words = ("--setting", f"prompt={tmp_path / 'few-shot.txt'}")
    done = judge(folder, "v", *words)
    assert done.returncode == 0, done.stderr
    made = list(read_records(tmp_path / "v/records.jsonl", Verdict))
    assert len(made) + sum(read_manifest(tmp_path / "v").failed.values()) == 12
    assert len(made) >= 6
    for one in made:
        said = one.reply.strip()
        assert said == one.labels[{"first": 0, "second": 1}[one.choice]]
        assert one.probability is None
    again = judge(folder, "w", *words, "--json").value["spent"]
    assert again["n_cached"] == len(made)
