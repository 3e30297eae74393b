"""Weights files that were fetched: verified again, and read without running what they hold."""

import hashlib
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import yaml


class WrongBytesError(ValueError):
    """A file is not the one that its hash or length promises."""


def read_record(record_path):
    """The mapping that `fetch_file` wrote beside a file."""
    return yaml.safe_load(Path(record_path).read_text(encoding="utf-8"))


def verified(path, sha256):
    """`path`, once its bytes are known to have that sha256; raises WrongBytesError otherwise."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
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
