"""Removing files, and telling of it."""

import shutil
from contextlib import suppress
from pathlib import Path


def remove(path: str) -> None:
    """Remove a file or a folder, and the folders above it that are empty without it."""
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)
    with suppress(OSError):
        for parent in Path(path).parents:
            parent.rmdir()


def cleanup_text(files: dict[str, int], removed: bool) -> str:
    """What is told of the files of `unneeded_files`: a line each, and the bytes that they take."""
    if not files:
        return "Every file is needed by a study of the configuration.\n"
    lines = [f"{size / 1e6:12,.3f} MB  {path}" for path, size in files.items()]
    total = f"{len(files)} files and folders, {sum(files.values()) / 1e6:,.3f} MB,"
    end = "were removed" if removed else "would be removed with --config remove_unneeded=True"
    return "\n".join([*lines, f"{total} {end}."]) + "\n"
