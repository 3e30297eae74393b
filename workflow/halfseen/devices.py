"""Where and with how many threads torch computes."""

import torch


def use_threads(threads):
    """Let torch and its BLAS use `threads` threads, the number that Snakemake gave the job."""
    torch.set_num_threads(threads)


def best_device():
    """The first CUDA device that this job may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
