"""Which commit of the workflow runs.

Read by the Snakefile: imports nothing that Snakemake does not need itself.
"""

import subprocess
from pathlib import Path


def commit_of(folder):
    """The commit of the repository that `folder` is the root of, with "-dirty" after edits.

    None where it is no repository, or git is not there.
    """
    if not (Path(folder) / ".git").exists():
        return None
    command = [
        "git",
        "--no-optional-locks",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
    ]
    command += ["--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
