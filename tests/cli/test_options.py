"""Options that several commands share, and what may be said with them."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
import typer.main

from pinchtune import cli
from pinchtune.cli import app
from tests.cli.in_process import pinch, refused


def annotations():
    """Yield every `Annotated[...]` that stands in a signature, as text."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for one in (*node.args.args, *node.args.kwonlyargs):
                    if one.annotation is not None and "Annotated[" in ast.unparse(one.annotation):
                        yield f"{one.arg}: {ast.unparse(one.annotation)}"


def test_no_option_is_written_out_twice():
    assert [one for one, count in Counter(annotations()).items() if count > 1] == []


def commands(command, *path):
    found = getattr(command, "commands", None)
    if found is None:
        yield path, command
    for name, one in (found or {}).items():
        yield from commands(one, *path, name)


def test_what_lists_can_be_read_by_machines():
    every = dict(commands(typer.main.get_command(app)))
    listing = [path for path in every if re.fullmatch("list|engines|sources|show|status|doctor|languages", path[-1])]
    assert {("engines",), ("data", "sources"), ("recipe", "list"), ("pack", "list"), ("cache", "show")} <= set(listing)
    for path in listing:
        options = {name for parameter in every[path].params for name in parameter.opts}
        # A manifest is JSON in any case.
        assert "--json" in options or path == ("study", "show")


# ------------------------------------------------------------------------------------------- keys in settings

SECRET = [
    '{"api_key": "sk-1"}',
    '{"apiKey": "sk-1"}',
    '{"key": "sk-1"}',
    '{"token": "1"}',
    '{"hf_token": "1"}',
    '{"password": "1"}',
    '{"extra_headers": {"Authorization": "Bearer 1"}}',
    '{"extra_headers": {"X-Api-Key": "1"}}',
    '{"tools": [{"server": {"clientSecret": "1"}}]}',
]
HARMLESS = [
    '{"top_k": 1, "max_tokens": 5}',
    '{"chat_template_kwargs": {"enable_thinking": false, "bos_token": "<s>"}}',
    '{"prompt_cache_key": "study", "stop_token": "<end>", "stop": ["token"]}',
    '{"response_format": {"schema": {"properties": {"password": {"type": "string"}}, "required": ["password"]}}}',
    '{"author": "me", "authors": ["you"], "secretary": "she", "monkey": "it"}',
]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return a function that asks an endpoint that is not there, with something in each request."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.chdir(tmp_path)

    def ask(command, extra):
        named = {
            "generate": ("generate", "pack", "--model", "m", "--engine", "endpoint"),
            "judge": ("judge", "check", "pack", "--judge", "llm:m", "--cache", "c.sqlite"),
        }[command]
        dead = ("base_url=http://127.0.0.1:9/v1", "attempts=1", "engine.attempts=1")
        settings = [*dead[: 2 if command == "generate" else 3], f"extra={extra}"]
        output = ("-o", "out") if command == "generate" else ()
        words = [word for one in settings for word in ("--setting", one)]
        return pinch(*named, *words, *output, "--languages", "en", "--limit", 1)

    return ask


@pytest.mark.parametrize("command", ["generate", "judge"])
@pytest.mark.parametrize("extra", SECRET)
def test_a_key_in_the_settings_is_refused_and_its_place_named(asked, tmp_path, command, extra):
    done = asked(command, extra)
    assert refused(done, "The setting extra.")
    assert "set the environment variable OPENAI_API_KEY" in done.stderr
    assert not re.search("sk-1|Bearer 1", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", HARMLESS)
def test_what_only_sounds_like_a_key_goes_through(asked, extra):
    done = asked("generate", extra)
    assert "looks like a key" not in done.stderr
    assert "1 connection" in done.stdout  # it went on to ask


def test_a_stage_alone_writes_to_no_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = pinch("mix", "pack", "--languages", "fi", "--n-examples", "4", "-o", "s3://bucket/mix")
    assert refused(done, "s3://bucket/mix is a URL")
    assert not list(tmp_path.iterdir())
