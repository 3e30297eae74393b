"""Jobs that are killed with -9 while they write: a folder for PYTHONPATH, and how to ask for it."""

from pathlib import Path

# Python imports a module of this name as it starts; a job's script is called tmpx.fit_probes.py.
SITECUSTOMIZE = """\
import os, signal, sys

rule, _, number = os.environ.get("HALFSEEN_KILL", "").partition(":")
if rule and any(word.endswith(f".{rule}.py") for word in sys.orig_argv):
    replace, calls = os.replace, []

    def deadly(*arguments, **options):
        calls.append(arguments)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(*arguments, **options)

    os.replace = deadly
"""


def killing(folder, rule, number=1):
    """Variables of the environment in which a job of `rule` dies instead of its n-th rename.

    What it has written by then is on the disk, but under its final name only what came before.
    """
    path = Path(folder) / "killing"
    path.mkdir(exist_ok=True)
    (path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return {"PYTHONPATH": str(path), "HALFSEEN_KILL": f"{rule}:{number}"}
