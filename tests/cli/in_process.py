"""The `pinch` command in this process, with its two streams and its exit code: no start of Python for each call."""

import contextlib
import functools
import io
import json
import os
import sys
import unittest.mock
from typing import NamedTuple

import typer.main

from pinchtune.cli import main

#: Making the commands of their functions takes a tenth of a second; they are the same every time.
_get_command = functools.cache(typer.main.get_command)


class Done(NamedTuple):
    """What a command left, named as subprocess names it."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def value(self):
        return json.loads(self.stdout)


def pinch(*words, stderr=None):
    out, err = io.StringIO(), stderr or io.StringIO()
    code = 0
    with (
        unittest.mock.patch.dict(os.environ),  # what a command sets for its libraries is taken back
        unittest.mock.patch.object(sys, "argv", ["pinch", *map(str, words)]),
        unittest.mock.patch.object(typer.main, "get_command", _get_command),
        unittest.mock.patch.object(sys, "excepthook", sys.excepthook),  # typer sets its own
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    return Done(code, out.getvalue(), "" if stderr else err.getvalue())


def refused(done, sentence):
    """Check that a command said what is wrong, and nothing else: a sentence, what to type next, exit code 2."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return True
