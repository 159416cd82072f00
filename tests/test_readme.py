"""The README stays true: its example runs, its tree is the tree, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_python_example_runs(tmp_path, tiny_model):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert '"gemma3-270m"' in code
    small = code.replace('"gemma3-270m"', repr(str(tiny_model)))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", small], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ of \d+ answers are in the language of their prompt\n", done.stdout)


def test_every_command_of_the_readme_exists():
    commands = set(re.findall(r"(?m)^pinch (\w+)", README)) | set(re.findall(r"bin/pinch (\w+)", README))
    helped = subprocess.run(
        [sys.executable, "-c", "from pinchtune.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert commands
    assert all(re.search(rf"(?m)^  {command} ", helped) for command in commands)


def test_every_option_of_the_readme_exists():
    for command, rest in re.findall(r"(?m)^pinch ((?:pack |study )?\w+)([^#\n]*)", README):
        helped = subprocess.run(
            [sys.executable, "-c", "from pinchtune.cli import main; main()", *command.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in helped, (command, option)


def test_the_tree_is_the_tree():
    tree = re.search(r"## The house\n```\n(.*?)```", README, re.DOTALL).group(1)
    named = set(re.findall(r"(?m)^  ([\w.]+)", tree))
    package = ROOT / "src" / "pinchtune"
    rooms = {
        path.name
        for path in package.iterdir()
        if path.name not in ("__pycache__", "py.typed") and path.suffix in ("", ".py")
    }
    assert named == rooms
    for folder in re.findall(r"(?m)^(\w+)/", tree):
        assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_public_module_begins_with_a_sentence():
    for path in (ROOT / "src" / "pinchtune").rglob("*.py"):
        assert path.read_text(encoding="utf-8").startswith('"""'), path


def test_no_module_is_longer_than_400_lines():
    long = [path for path in (ROOT / "src").rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert long == []
