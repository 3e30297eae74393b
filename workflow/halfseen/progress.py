"""Progress of long jobs: a bar in a terminal, plain lines at intervals in a log."""

import time
from contextlib import contextmanager

from halfseen.logs import terminal

LOG_INTERVAL_S = 10


class _Progress:
    def __init__(self, bar, total, what, unit):
        self.bar, self.total, self.what, self.unit = bar, total, what, unit
        self.done, self.started, self.logged = 0, time.monotonic(), time.monotonic()

    def update(self, n):
        """Count `n` more as done; print a line if the last one is old."""
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
        if time.monotonic() - self.logged >= LOG_INTERVAL_S:
            self.log()

    def log(self):
        """Print how far it is, at which rate, and the time that is left."""
        self.logged = time.monotonic()
        elapsed = max(self.logged - self.started, 1e-9)
        rate = self.done / elapsed
        of = f" of {self.total:,}" if self.total else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        done = f"{self.done:,}{of} {self.unit}, {rate:,.1f} {self.unit}/s"
        print(f"{self.what}: {done}, {elapsed:.0f} s gone{left}", flush=True)


@contextmanager
def progress_bar(total, what, unit="images"):
    """A counter with `update(n)` that shows rate and time left.

    Draws a bar where there is a terminal, and prints a line every 10 s and one at the end, so that
    a log tells the same. `total` may be None where it is not known.
    """
    bar = None
    if terminal() is not None:
        from tqdm import tqdm

        bar = tqdm(
            total=total,
            desc=what,
            unit=f" {unit}",
            file=terminal(),
            unit_scale=total and total > 1e5,
            leave=False,
        )
    progress = _Progress(bar, total, what, unit)
    try:
        yield progress
    finally:
        progress.log()
        if bar is not None:
            bar.close()
