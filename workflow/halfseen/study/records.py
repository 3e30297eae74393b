"""Records beside results: what made a file, and whether it is the one that a reader expects."""

import json
from datetime import UTC, datetime
from pathlib import Path

from halfseen.files import write_text

# The columns of `artifacts.csv`.
COLUMNS = (
    "result", "stage", "dataset", "model", "file", "key", "made", "commit", "parameters",
)  # fmt: skip


class OtherKeyError(ValueError):
    """A file was made from other parameters than those that are expected of it."""


def write_record(path: str | Path, record: dict, commit: str) -> None:
    """Write what made a result to `path`, with the time in UTC and the commit that ran.

    The last thing that a job writes: what has a record is complete.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    write_text(path, json.dumps(record | {"made": made, "commit": commit}, indent=1) + "\n")


def read_record(path: str | Path) -> dict:
    """The record at `path`; raises OtherKeyError for one that is not there or cannot be read."""
    try:
        record = json.loads(Path(path).read_text("utf-8"))
        return record if record["key"] else {}
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise OtherKeyError(
            f"{path} is not a record of what made the file beside it ({type(reason).__name__}); "
            f"remove {_stem(path)}.* and run again"
        ) from reason


def check_records(expected: dict[str, str]) -> None:
    """Raise OtherKeyError unless every record {path: key} is there and has its key."""
    for path, key in expected.items():
        if (found := read_record(path)["key"]) != key:
            raise OtherKeyError(
                f"{_stem(path)} was made from other parameters: its key is {found}, {key} is "
                f"expected; remove {_stem(path)}.* and run again"
            )


def records_below(folder: str | Path) -> dict[str, dict]:
    """{path: record} of every record below a folder, the newest last."""
    found = {}
    for path in Path(folder).glob("*/**/*.json"):
        try:
            record = read_record(path)
        except OtherKeyError:
            continue
        if path.stem.endswith(f"-{record['key']}") and "stage" in record:
            found[str(path)] = record
    return dict(sorted(found.items(), key=lambda item: item[1]["made"]))


def with_records(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of `artifact_rows` with `made`, the time in UTC, and `commit`: `COLUMNS`.

    Both are empty of a file whose record is gone.
    """
    records = {row["record"]: {} for row in rows}
    for path in records:
        if Path(path).exists():
            records[path] = {key: read_record(path)[key] for key in ("made", "commit")}
    whole = [{"made": "", "commit": ""} | row | records[row["record"]] for row in rows]
    return [{name: row[name] or "" for name in COLUMNS} for row in whole]


def _stem(path):
    return str(Path(path).with_suffix(""))
