"""Data sets: one module a kind, behind the interface of `halfseen.datasets.dataset`."""
