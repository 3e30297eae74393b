"""Files over HTTP: resumed after a cut, retried, never glued together from two versions."""

import json
import os
import time
from pathlib import Path

import requests
import urllib3

from halfseen.files import atomic_path, write_text
from halfseen.progress import progress_bar

CHUNK_BYTES = 2**16
LONGEST_WAIT_S = 60
TIMEOUT_S = (10, 60)  # to connect, and between two reads


class DownloadError(OSError):
    """The file cannot be had from this address, now or at all."""


class WrongSizeError(ValueError):
    """The address has a file of another length than was asked for."""


class _Interrupted(Exception):
    """This attempt failed in a way that the next one may not."""


_RETRIED = (
    _Interrupted,
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,  # what reading the body raises
)


def download(url, path, size_bytes=None, retries=2, backoff_s=1.0):
    """`path`, now holding the file at `url`, of the announced length and of `size_bytes` if given.

    Bytes gather in `<path>.part`; a later attempt, or a later run, asks for the missing ones if the
    server still has the same version (RFC 9110, If-Range) and for all of them otherwise. Cuts,
    timeouts, 429 and 5xx are tried again after backoff_s, twice that and so on, until `retries` in
    a row brought nothing new. Then, and at once for any other refusal, raises DownloadError; for a
    file of another length WrongSizeError.
    """
    path, part = Path(path), _part(path)
    failures, furthest = 0, _length(part)
    while True:
        try:
            _receive_rest(url, part, size_bytes)
            break
        except _RETRIED as cause:
            failures = 1 if _length(part) > furthest else failures + 1
            furthest = max(furthest, _length(part))
            if failures > retries:
                raise DownloadError(
                    f"{url} could not be downloaded: {cause} (given up after {retries} retries "
                    f"that brought nothing new); check the network and the proxy, then start "
                    f"again: the {_length(part):,} bytes in {part} are kept"
                ) from cause
            time.sleep(min(backoff_s * 2 ** (failures - 1), LONGEST_WAIT_S))
        except requests.RequestException as cause:
            raise DownloadError(
                f"{url} could not be asked for: {cause}; correct the address"
            ) from cause
    with atomic_path(path) as temporary:
        os.replace(part, temporary)
    _note(part).unlink()
    return path


def is_begun(url, path):
    """Whether an earlier run left bytes from `url` that a download to `path` would continue."""
    return _length(_part(path)) > 0 and _read_note(_part(path)).get("url") == url


def discard_part(path):
    """Remove what an unfinished download to `path` has left."""
    _part(path).unlink(missing_ok=True)
    _note(_part(path)).unlink(missing_ok=True)


def _receive_rest(url, part, size_bytes):
    """Bring `part` to its full length, or raise the reason why it stayed short."""
    start, total, response = _open(url, part)
    with response:
        _refuse_other_size(url, total, size_bytes)
        if start == 0:
            part.unlink(missing_ok=True)
            note = {"url": url, "version": _version(response), "size_bytes": total}
            write_text(_note(part), json.dumps(note))
        remaining = None if total is None else total - start
        with open(part, "ab") as received, progress_bar(remaining, part.stem, "B") as bar:
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                received.write(chunk)
                bar.update(len(chunk))
    found, wanted = _length(part), size_bytes if total is None else total
    if wanted is not None and found < wanted:
        raise _Interrupted(f"the transfer ended after {found:,} of {wanted:,} bytes")
    _refuse_other_size(url, found, wanted)


def _open(url, part):
    """(first byte that comes, length of the whole or None, response); 0 if `part` is of no use."""
    start, note = _length(part), _read_note(part)
    version, total = note.get("version"), note.get("size_bytes")
    if note.get("url") == url and version and total and 0 < start < total:
        headers = {"Range": f"bytes={start}-", "If-Range": version}
        response = _get(url, headers, accepted=(200, 206, 416))
        same_version = _version(response) in (version, None)
        content_range = response.headers.get("Content-Range")
        if same_version and content_range == f"bytes {start}-{total - 1}/{total}":
            return start, total, response
        if response.status_code == 200:  # another version, or a server that ignores ranges
            return 0, _announced_length(response), response
        response.close()
    response = _get(url, {}, accepted=(200,))
    return 0, _announced_length(response), response


def _get(url, headers, accepted):
    # as stored, not compressed for the way: lengths and ranges count the file's own bytes
    headers = {"Accept-Encoding": "identity", **headers}
    response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)
    if response.status_code in accepted:
        return response
    response.close()
    answer = f"{response.status_code} {response.reason}"
    if response.status_code == 429 or response.status_code >= 500:
        raise _Interrupted(f"the server answered {answer}")
    raise DownloadError(f"{url} answered {answer}; open it in a browser and correct the address")


def _version(response):
    """What names the version of the file: its strong ETag, else its date, else None."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _announced_length(response):
    length = response.headers.get("Content-Length")
    return None if length is None else int(length)


def _refuse_other_size(url, found, size_bytes):
    if None not in (found, size_bytes) and found != size_bytes:
        raise WrongSizeError(
            f"{url} has {found:,} bytes where {size_bytes:,} were expected: it is another file or "
            f"another version; correct the address or the expected size"
        )


def _length(path):
    return path.stat().st_size if path.exists() else 0


def _part(path):
    return Path(path).with_name(f"{Path(path).name}.part")


def _note(part):
    return part.with_name(f"{part.name}.json")


def _read_note(part):
    """What is known of the bytes in `part`; nothing if the note is missing or damaged."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
