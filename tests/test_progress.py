import os
import pty
import subprocess
import sys

import pytest

import halfseen.progress
from halfseen.progress import progress_bar


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(halfseen.progress, "time", clock)
    monkeypatch.setattr(halfseen.progress, "terminal", lambda: None)
    return clock


def test_a_log_gets_a_line_every_10_seconds_with_count_rate_and_time_left(clock, capsys):
    with progress_bar(2400, "masks") as progress:
        for _ in range(6):
            clock.now += 4
            progress.update(400)
    assert capsys.readouterr().out.splitlines() == [
        "masks: 1,200 of 2,400 images, 100.0 images/s, 12 s gone, 12 s left",
        "masks: 2,400 of 2,400 images, 100.0 images/s, 24 s gone, 0 s left",
        "masks: 2,400 of 2,400 images, 100.0 images/s, 24 s gone, 0 s left",
    ]


def test_without_a_total_a_line_says_count_and_rate(clock, capsys):
    with progress_bar(None, "weights", "B") as progress:
        clock.now += 2
        progress.update(5000)
    assert capsys.readouterr().out == "weights: 5,000 B, 2,500.0 B/s, 2 s gone\n"


def test_before_anything_is_done_no_time_left_is_told(clock, capsys):
    with progress_bar(3, "masks") as progress:
        clock.now += 11
        progress.update(0)
        clock.now += 1
        progress.update(3)
    assert capsys.readouterr().out.splitlines() == [
        "masks: 0 of 3 images, 0.0 images/s, 11 s gone",
        "masks: 3 of 3 images, 0.2 images/s, 12 s gone, 0 s left",
    ]


def count_and_fail(clock):
    with progress_bar(8, "masks") as progress:
        clock.now += 5
        progress.update(2)
        raise KeyError("the third")


def test_a_failure_passes_through_and_the_log_says_how_far_it_came(clock, capsys):
    with pytest.raises(KeyError, match="the third"):
        count_and_fail(clock)
    told = capsys.readouterr().out
    assert told == "masks: 2 of 8 images, 0.4 images/s, 5 s gone, 15 s left\n"


PROGRAM = """
import sys, time
from halfseen.logs import log_to
from halfseen.progress import progress_bar
log_to(sys.argv[1])
with progress_bar(eval(sys.argv[2]), "masks") as progress:
    for _ in range(4):
        time.sleep(0.15)
        progress.update(1)
"""


def drawn_on_a_terminal(root, log, total):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, str(log), total]
    job = subprocess.run(command, cwd=root / "workflow", stdout=theirs, stderr=theirs, timeout=60)
    os.close(theirs)
    drawn = b""
    try:
        while part := os.read(ours, 65536):
            drawn += part
    except OSError:  # what Linux answers at the end of a terminal
        pass
    os.close(ours)
    assert job.returncode == 0
    return drawn.decode()


@pytest.mark.parametrize(
    ("total", "counts", "of"), [("4", ["masks:  50%", "2/4"], " of 4"), ("None", ["2 images"], "")]
)
def test_in_a_terminal_a_bar_is_drawn_while_the_log_gets_its_lines(
    root, tmp_path, total, counts, of
):
    log = tmp_path / "job.log"
    drawn = drawn_on_a_terminal(root, log, total)
    for count in counts:
        assert count in drawn
    assert "gone" not in drawn
    told = log.read_text()
    assert told.startswith(f"masks: 4{of} images, ")
    assert told.count("\n") == 1
