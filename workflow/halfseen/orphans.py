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
WILDCARD = re.compile(r"\{(\w+)(?:,\s*([^{}]*))?\}")


def orphans(folder, patterns, rows):
    """Paths of files and folders in `folder` that a job left of a row that is not there.

    `patterns` are paths with wildcards, such as `x/{dataset}/{model}.h5`, by rule: {rule: {"makes":
    what its jobs leave, "tells": the log and the like that tell of each}}. `rows` names what there
    is: lists by wildcard, `studies` {study: such lists, of this study alone}, and `shards` and
    `parts` {data set: how many}.
    What no job tells of is nobody's orphan: others may keep their files in `folder`, too. What
    tells comes last: who is stopped while deleting still finds the rest.
    """
    explained = [
        (pattern_regex(pattern, rows), rule["tells"], pattern in rule["tells"])
        for rule in patterns.values()
        for pattern in (*rule["makes"], *rule["tells"])
    ]
    found = []
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = os.path.join(parent, name)
            matches = [
                (match.groupdict(), tells)
                for regex, telling, tells in explained
                if (match := regex.fullmatch(path)) and _is_told(telling, match.groupdict())
            ]
            if matches and not any(_is_there(names, rows) for names, _ in matches):
                found.append((any(tells for _, tells in matches), path))
                if name in folders:
                    folders.remove(name)
    return [path for _, path in sorted(found)]


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


def pattern_regex(pattern, unconstrained=()):
    """A pattern as a regular expression; names of rows have no dot and no slash.

    A wildcard's constraint holds, unless it is `unconstrained`: it lists the rows that are there,
    and those that are gone are looked for.
    """
    text, end, seen = "", 0, set()
    for match in WILDCARD.finditer(pattern):
        name, constraint = match.groups()
        allowed = r"\w+" if name in unconstrained else constraint or r"\w+"
        text += re.escape(pattern[end : match.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{allowed})"
        end = match.end()
        seen.add(name)
    return re.compile(text + re.escape(pattern[end:]))


def _is_told(telling, names):
    """Whether one of the patterns that tell of a job is there for these {wildcard: name}."""
    return any(
        os.path.exists(WILDCARD.sub(lambda match: names[match[1]], pattern)) for pattern in telling
    )


def _is_there(names, rows):
    """Whether all that a path names is there: {wildcard: name}."""
    allowed = dict(rows)
    if "study" in names:
        if names["study"] not in rows["studies"]:
            return False
        allowed |= rows["studies"][names["study"]]
    for one, all_of_them in NUMBERED.items():
        if one in names and int(names[one]) >= rows[all_of_them].get(names["dataset"], 0):
            return False
    return all(names[key] in allowed[key] for key in names.keys() & allowed.keys())
