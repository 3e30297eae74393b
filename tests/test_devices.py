import platform
import subprocess
import sys

import pytest

COUNT_PAGE_FAULTS = """
import resource, sys
sys.path.insert(0, {path!r})
from halfseen.devices import keep_freed_memory
assert {prepare}

def make_and_free():
    return [b"x" * 2**20 for _ in range(100)] and None

make_and_free()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    make_and_free()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(root, prepare):
    """Page faults of making and freeing a hundred blocks of 1 MiB, ten times."""
    code = COUNT_PAGE_FAULTS.format(path=str(root / "workflow"), prepare=prepare)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_freed_memory_is_used_again_without_asking_the_kernel(root):
    kept, returned = page_faults(root, "keep_freed_memory()"), page_faults(root, "True")
    assert kept < returned / 10


def test_without_glibc_nothing_is_done_and_that_is_said(monkeypatch):
    from halfseen.devices import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False


def test_float32_is_not_tf32():
    import torch

    from halfseen.devices import use_full_float32

    assert torch.backends.cudnn.conv.fp32_precision == "tf32", "the default that the call is for"
    try:
        use_full_float32()
        for part in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
            assert part.fp32_precision == "ieee"
    finally:
        torch.backends.fp32_precision = "none"


def test_a_row_s_device_is_the_one_it_names_and_cuda_without_one_is_an_error(monkeypatch):
    import torch

    from halfseen.devices import device_named

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("cpu") == device_named("auto") == torch.device("cpu")
    with pytest.raises(RuntimeError, match="says device: cuda, but this job sees no CUDA device"):
        device_named("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named("cuda") == device_named("auto") == torch.device("cuda")
    assert device_named("cpu") == torch.device("cpu")
