"""A terminal that a test reads: what a person would see on it."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import unittest.mock

_ROWS, _COLUMNS = 40, 120


class Terminal:
    """What was written to it, as a list of screens: one whenever something was redrawn."""

    def __init__(self):
        self.written = b""

    def screens(self):
        """Return the lines that stood there after each piece of writing; drawn over is gone."""
        lines, row, shown = [""], 0, []
        for piece in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.written.decode()):
            up = re.fullmatch(r"\x1b\[(\d*)A", piece)
            if up:
                row -= int(up[1] or 1)
            elif piece == "\x1b[2K":
                lines[row] = ""
            elif piece == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif not piece.startswith(("\x1b", "\r")):
                lines[row] += piece
                shown.append([line.rstrip() for line in lines if line.strip()])
        return [*shown, [line.rstrip() for line in lines if line.strip()]]


@contextlib.contextmanager
def terminal():
    """Make standard error a terminal while the block runs; what was seen is there after it."""
    seen = Terminal()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))

    def read():
        with contextlib.suppress(OSError):  # as a terminal says that nobody writes any more
            while piece := os.read(ours, 4096):
                seen.written += piece

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with (
        os.fdopen(theirs, "w") as stream,
        unittest.mock.patch.object(sys, "stderr", stream),
        unittest.mock.patch.dict(os.environ, {"TERM": "xterm-256color"}),
    ):
        yield seen
    reader.join(5)
    os.close(ours)
