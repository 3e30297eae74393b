"""Files that are either complete or absent."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """A temporary path beside `path` that replaces it on a clean exit and is removed on an error.

    Keeps the suffix, so that writers that go by it work; makes missing parent folders. The bytes
    are flushed to the disk before the rename: a killed job leaves nothing that looks finished.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
    )
    os.close(descriptor)
    os.chmod(name, 0o666 & ~_umask())
    try:
        yield Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path):
    """An empty folder beside `path` that becomes `path` on a clean exit, instead of what was there.

    It is removed on an error, and what a killed job has left of it when the next one starts, so
    only one job at a time may make the same `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.sync()
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_text(path, text):
    """Write `text` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path, table, may_be_empty=False):
    """Write a pandas table to `path` as CSV in one step, without its index.

    Floats carry 9 significant digits, enough to give back any float32.
    Raises ValueError for a table that holds NaN or infinity in a number column, and for an empty
    one unless it `may_be_empty`: then the file is the header alone.
    """
    _check_rows(path, table, may_be_empty)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def write_parquet(path, table):
    """Write a pandas table to `path` as Parquet in one step, without its index.

    For tables of millions of rows: small, and numbers keep all their digits and types. Equal tables
    give equal bytes with one version of pandas and pyarrow; `pandas.read_parquet` reads them.
    Raises ValueError like `write_table`.
    """
    _check_rows(path, table)
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)


def _check_rows(path, table, may_be_empty=False):
    if table.empty and not may_be_empty:
        raise ValueError(f"the table for {path} has no row")
    numbers = table.select_dtypes("number")
    bad = ~(numbers.abs() < float("inf")).all()
    if bad.any():
        raise ValueError(
            f"the table for {path} holds NaN or infinity in {', '.join(bad[bad].index)}"
        )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
