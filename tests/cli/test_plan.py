"""`pinch study plan` as a user meets it."""

import json
import re

from tests.cli.test_cli import pinch


def test_a_plan_is_printed_and_nothing_is_written(tmp_path):
    done = pinch("study", "plan", "paper/all", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(r"^models to tune +57 +from Qwen", done.stdout, re.MULTILINE)
    assert "967,456" in done.stdout
    assert "how-many-languages" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_plan_as_json_has_the_counts_and_the_steps(tmp_path):
    made = json.loads(pinch("study", "plan", "cpu-small", "--json", cwd=tmp_path).stdout)
    assert made["models"] == {"all": 14, "todo": 14}
    assert "tune/mono-fi-seed-1" in made["todo"]
    assert made["total_seconds"] < 3600


def test_one_experiment_or_the_nearest_name(tmp_path):
    made = json.loads(pinch("study", "plan", "paper/all", "--only", "similarity", "--json", cwd=tmp_path).stdout)
    assert made["models"]["all"] == 7
    done = pinch("study", "plan", "paper/all", "--only", "similarty", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean similarity" in done.stderr


def test_prices_and_a_picture(tmp_path):
    (tmp_path / "prices.yaml").write_text('"google/gemma-3-27b-it": {input: 0.1, output: 0.4}\n')
    done = pinch("study", "plan", "paper/similarity", "--prices", "prices.yaml", cwd=tmp_path)
    assert "at most; about $" in done.stdout
    assert pinch("study", "plan", "quickstart", "--dot", cwd=tmp_path).stdout.startswith("digraph study {")


def test_the_help_shows_examples():
    done = pinch("study", "plan", "--help")
    assert done.returncode == 0
    assert "--calibrate" in done.stdout
    assert "pinch study plan paper/all" in done.stdout
