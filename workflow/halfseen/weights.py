"""Weights files that were fetched: verified again, and read without running what they hold."""

import hashlib
import pickle
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
    """What the verified checkpoint holds, on the CPU: safetensors by content, else torch.load.

    Only tensors and plain containers are unpickled; raises ValueError for a file that holds code.
    """
    import torch  # slow, and fetching does without

    with open(verified(path, sha256), "rb") as start:
        is_safetensors = start.read(9)[8:] == b"{"  # 8 bytes of header length, then JSON
    if is_safetensors:
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as cause:
        raise ValueError(
            f"{path} holds code, as a pickled object or TorchScript, or is damaged; it will not be "
            f"unpickled, since that runs the code: convert it to safetensors if you trust it"
        ) from cause
