"""What a folder of files holds, as one fingerprint: any other name or content gives another one."""

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from halfseen.files import write_text

LENGTH = 16
THREADS = 8


class MissingFolderError(ValueError):
    """A folder that a row names is not there; the message says what to do."""


def expanded(folder: str) -> str:
    """A folder's path, `~` and each `${NAME}` of an environment variable replaced.

    Raises MissingFolderError for a variable that is not set.
    """

    def value(match):
        name = match.group(1)
        if name not in os.environ:
            raise MissingFolderError(
                f"root: {folder} names the environment variable {name}, which is not set; set it, "
                f"or write the folder itself"
            )
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, folder))


def folder_fingerprint(folder: str | Path, index: str | Path | None = None) -> str:
    """16 hex digits over the relative path and the SHA-256 of every file below `folder`.

    `index` is a file that remembers sizes, times and hashes, so that only files that are new or
    changed are read again; it is written where it would differ, if it can be. Raises
    MissingFolderError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFolderError(f"{folder} is no folder, or is not there")
    known = _read_index(index)
    stats = dict(_stats(folder))
    changed = [name for name, stat in stats.items() if known.get(name, [None])[0] != stat]
    with ThreadPoolExecutor(THREADS) as threads:
        hashes = threads.map(lambda name: _sha256(folder / name), changed)
        fresh = dict(zip(changed, hashes, strict=True))
    now = {name: [stats[name], fresh.get(name) or known[name][1]] for name in sorted(stats)}
    if index is not None and now != known:
        _write_index(index, now)
    content = [[name, sha256] for name, (_, sha256) in now.items()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:LENGTH]


def _stats(folder):
    """(relative path, "size mtime_ns") of every file below a folder; links are followed, once."""
    waiting, seen = [folder], set()
    while waiting:
        parent = waiting.pop()
        if (real := os.path.realpath(parent)) in seen:
            continue
        seen.add(real)
        with os.scandir(parent) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                elif entry.is_file():
                    stat = entry.stat()
                    yield os.path.relpath(entry.path, folder), f"{stat.st_size} {stat.st_mtime_ns}"


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_index(index):
    try:
        return json.loads(Path(index).read_text("utf-8")) if index is not None else {}
    except (OSError, ValueError):
        return {}


def _write_index(index, entries):
    try:
        write_text(index, json.dumps(entries))
    except OSError:
        print(f"{index} cannot be written: every run reads all files of the folder again")
