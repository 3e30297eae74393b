"""Where and with how many threads torch computes."""

import ctypes
import platform

import torch

# Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def use_threads(threads):
    """Let torch and its BLAS use `threads` threads, the number that Snakemake gave the job."""
    torch.set_num_threads(threads)


def best_device():
    """The first CUDA device that this job may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch_size(device, on_gpu=256, on_cpu=8):
    """Images per batch where the row names none: small on a CPU, for its caches; large on a GPU."""
    return on_gpu if torch.device(device).type == "cuda" else on_cpu


def use_full_float32():
    """Let float32 be float32: no TF32 in matrix products or convolutions.

    cuDNN's convolutions use TF32 unless told otherwise, which keeps 10 bits of the mantissa.
    """
    torch.backends.fp32_precision = "ieee"


def device_named(name):
    """The device of a row's `device`: `auto` is the best one; `cuda` without one is an error."""
    if name == "auto":
        return best_device()
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "the row says device: cuda, but this job sees no CUDA device; "
            "ask for a GPU, or say device: auto"
        )
    return torch.device(name)


def keep_freed_memory():
    """Let glibc keep freed memory for the next tensor instead of handing it back to the kernel.

    True where it took effect, False on systems without glibc. A network's activations are freed and
    asked for again at every layer; without the page faults the default study's encoders run 1.2 to
    1.3 times as fast on two cores, and SAM 1.1 times.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # 32 MiB is the largest threshold that glibc takes; above it every allocation is mapped anew.
    wanted = {M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**30, M_TOP_PAD: 2**26}
    return all(mallopt(parameter, value) for parameter, value in wanted.items())


def release_freed_memory():
    """Hand freed memory back to the kernel; glibc keeps it, as much as the features at times."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
