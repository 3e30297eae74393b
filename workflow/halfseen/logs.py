"""Where a job's words go: everything to its log, progress to the terminal as well."""

import os
import sys
from pathlib import Path

# The terminal that the job was started from, kept before its output is redirected.
_terminal = None


def log_to(path):
    """Redirect all that this process says, C libraries and tracebacks included, to `path`.

    Works on the file descriptors 1 and 2, so that nothing escapes. If standard error was a
    terminal, it stays reachable through `terminal()`.
    """
    global _terminal
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if _terminal is None and os.isatty(2):
        _terminal = os.fdopen(os.dup(2), "w")
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)
    sys.stderr.reconfigure(line_buffering=True)


def terminal():
    """The terminal to draw progress on: the one that `log_to` kept, or standard error, or None."""
    if _terminal is not None:
        return _terminal
    return sys.stderr if sys.stderr.isatty() else None
