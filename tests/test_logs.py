import os
import pty
import subprocess
import sys

import pytest

LOUD = """
import ctypes, os, subprocess, sys
print("said before")
from halfseen.logs import log_to
log_to(sys.argv[1])
print("printed")
print("to standard error", file=sys.stderr)
os.write(1, b"written to descriptor 1\\n")
os.write(2, b"written to descriptor 2\\n")
subprocess.run("echo by a subprocess; echo by its standard error >&2", shell=True)
libc = ctypes.CDLL(None)
libc.puts(b"put by C")
libc.fflush(None)
raise ValueError("why the job failed")
"""


@pytest.fixture
def run(root):
    """Run a program with the package on its path; gives the finished process."""

    def run_program(program, *arguments, **options):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        buffered = os.environ | {"PYTHONUNBUFFERED": ""}
        return subprocess.run(command, cwd=root / "workflow", env=buffered, text=True, **options)

    return run_program


def test_all_that_a_failing_job_says_is_in_its_log_and_the_traceback_ends_it(run, tmp_path):
    log = tmp_path / "logs" / "job.log"
    job = run(LOUD, log)
    lines = log.read_text().splitlines()
    assert lines[:7] == [
        "printed",
        "to standard error",
        "written to descriptor 1",
        "written to descriptor 2",
        "by a subprocess",
        "by its standard error",
        "put by C",
    ]
    assert lines[7] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: why the job failed"
    assert (job.returncode, job.stdout, job.stderr) == (1, "said before\n", "")


def test_a_log_starts_anew_with_every_run(run, tmp_path):
    log = tmp_path / "job.log"
    log.write_text("the words of an earlier and much longer run\n")
    run("import sys; from halfseen.logs import log_to; log_to(sys.argv[1]); print('now')", log)
    assert log.read_text() == "now\n"


def test_a_line_is_in_the_log_as_soon_as_it_is_printed(run, tmp_path):
    log = tmp_path / "job.log"
    run(
        "import os, sys; from halfseen.logs import log_to; log_to(sys.argv[1]); "
        "print('out'); print('error', file=sys.stderr); os._exit(9)",
        log,
    )
    assert log.read_text() == "out\nerror\n"


TERMINAL = """
import sys
from halfseen.logs import log_to, terminal
for log in sys.argv[1:]:
    log_to(log)
print("there is one" if terminal() else "there is none")
print("drawn", file=terminal(), flush=True)
"""


def test_a_terminal_stays_reachable_behind_the_log(run, tmp_path):
    ours, theirs = pty.openpty()
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    job = run(TERMINAL, *logs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 1000) == b"drawn\r\n"
    os.close(ours)
    assert [log.read_text() for log in logs] == ["", "there is one\n"]
    assert (job.returncode, job.stdout) == (0, "")


def test_without_a_terminal_there_is_none_to_draw_on(run, tmp_path):
    run(TERMINAL, tmp_path / "job.log")
    assert (tmp_path / "job.log").read_text() == "there is none\ndrawn\n"
