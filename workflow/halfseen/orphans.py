"""What rows that are gone have left on disk."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import h5py

from halfseen.files import atomic_path

# Wildcards that count, by the key of `rows` that says how far.
NUMBERED = {"shard": "shards", "part": "parts"}
WILDCARD = re.compile(r"\{(\w+)[^{}]*\}")


def orphans(folder, patterns, rows):
    """Paths of files and folders in `folder` that a pattern explains by a row that is not there.

    `patterns` are paths with wildcards, such as `x/{dataset}/{model}.h5`. `rows` names what there
    is: lists by wildcard, `studies` {study: its data sets}, and `shards` and `parts` {data set: how
    many}.
    What no pattern explains is nobody's orphan: others may keep their files in `folder`, too.
    """
    explained = [pattern_regex(pattern) for pattern in patterns]
    found = []
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = os.path.join(parent, name)
            matches = [match for regex in explained if (match := regex.fullmatch(path))]
            if matches and not any(_is_there(match.groupdict(), rows) for match in matches):
                found.append(path)
                if name in folders:
                    folders.remove(name)
    return sorted(found)


def orphan_variants(path, variants):
    """The names of the variants in a file of representations that are none of `variants`."""
    with h5py.File(path) as file:
        return sorted(file.keys() - set(variants))


def delete(path):
    """Remove a file or a folder, and the folders above it that are empty without it."""
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink()
    with suppress(OSError):
        os.removedirs(Path(path).parent)


def delete_variants(path, names):
    """Write a file of representations anew without the variants `names`.

    The file keeps its time: what it holds of the other variants is unchanged, and nothing that was
    made of them is to be made again.
    """
    before = os.stat(path)
    with atomic_path(path) as temporary:
        with h5py.File(path) as old, h5py.File(temporary, "w") as new:
            new.attrs.update(old.attrs)
            for name in old.keys() - set(names):
                old.copy(name, new)
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))


def pattern_regex(pattern):
    """A pattern as a regular expression; names of rows have no dot and no slash."""
    text, end, seen = "", 0, set()
    for match in WILDCARD.finditer(pattern):
        name = match.group(1)
        text += re.escape(pattern[end : match.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>\\w+)"
        end = match.end()
        seen.add(name)
    return re.compile(text + re.escape(pattern[end:]))


def _is_there(names, rows):
    """Whether all that a path names is there: {wildcard: name}."""
    if "study" in names and names["study"] not in rows["studies"]:
        return False
    for one, all_of_them in NUMBERED.items():
        if one in names and int(names[one]) >= rows[all_of_them].get(names["dataset"], 0):
            return False
    allowed = dict(rows)
    if "study" in names:
        allowed["dataset"] = rows["studies"][names["study"]]
    return all(names[key] in allowed[key] for key in names.keys() & allowed.keys())
