"""Checkpoints of any layout: from the tensors of a file to exactly those that a network has."""

import math

import torch
from torch.nn import functional

from halfseen.weights import load_state_dict

# Batch norms count training batches; nothing reads the count in evaluation, and old files lack it.
COUNTER = ".num_batches_tracked"


def read_checkpoint(path, sha256, unwrap=(), strip="", drop=(), rename=()):
    """The wanted tensors of a verified checkpoint: {name: tensor}, in the file's order.

    `unwrap` are the keys to descend by (`state_dict`), `strip` a prefix that every wanted name
    carries (other tensors are left out), `drop` the prefixes, after `strip`, of tensors that are
    left out, `rename` the pairs (old, new) by which names are changed, one after the other: a part
    of the name, or with a leading ^ its beginning. Raises ValueError for a key that is not there,
    for two tensors of one name and for anything left that is no tensor.
    """
    held = load_state_dict(path, sha256)
    for depth, key in enumerate(unwrap):
        if not isinstance(held, dict) or key not in held:
            place = "".join(f"[{above!r}]" for above in unwrap[:depth])
            keys = list(held)[:8] if isinstance(held, dict) else type(held).__name__
            raise ValueError(
                f"the checkpoint{place} has no key {key!r}, only {keys}; mend unwrap in the row"
            )
        held = held[key]
    tensors = {}
    for name, value in held.items():
        wanted = str(name).removeprefix(strip)
        if not str(name).startswith(strip) or wanted.startswith(tuple(drop)):
            continue
        wanted = _renamed(wanted, rename)
        if wanted in tensors:
            raise ValueError(f"two tensors of the file are called {wanted!r}; mend rename, or drop")
        tensors[wanted] = value
    foreign = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if foreign:
        raise ValueError(
            f"{len(foreign)} entries of the file are no tensors: {', '.join(foreign[:5])}; mend "
            "unwrap or drop in the row"
        )
    if not tensors:
        raise ValueError(
            f"no tensor of the file is left: none of its {len(held)} names, such as "
            f"{next(iter(held), '')!r}, passes strip {strip!r} and drop {list(drop)}"
        )
    return tensors


def paired_by_order(tensors, expected):
    """`tensors` under the names of `expected` (name -> tensor), where only upstream's names differ.

    Raises ValueError unless both hold equally many.
    """
    if len(tensors) != len(expected):
        raise ValueError(
            f"the checkpoint holds {len(tensors)} tensors, the network has {len(expected)}"
        )
    return dict(zip(expected, tensors.values(), strict=True))


def without_classifier(tensors, network, classifiers):
    """`tensors` without those of the modules `classifiers`, which `network` no longer has."""
    prefixes = tuple(f"{name}." for name in classifiers)
    expected = network.state_dict().keys()
    return {
        name: value
        for name, value in tensors.items()
        if name in expected or not name.startswith(prefixes)
    }


def load_exactly(network, tensors):
    """Load `tensors` into `network`, every one of them and nothing else.

    Raises ValueError that names missing, unexpected and misshapen tensors. A missing counter of
    training batches, which evaluation never reads, is only reported.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    counters = {key for key in expected.keys() - found.keys() if key.endswith(COUNTER)}
    if counters:
        print(f"the file lacks {len(counters)} counters of training batches, which nothing reads")
    missing, unexpected = expected.keys() - found.keys() - counters, found.keys() - expected.keys()
    problems = (
        [f"missing {key}" for key in missing]
        + [f"unexpected {key}" for key in unexpected]
        + [
            f"{key} is {found[key]}, not {expected[key]}"
            for key in expected.keys() & found.keys()
            if expected[key] != found[key]
        ]
    )
    if problems:
        raise ValueError(
            f"{len(problems)} tensors of the file do not fit: {'; '.join(sorted(problems)[:5])}; "
            "mend unwrap, strip, drop or rename in the row"
        )
    kept = {key: value for key, value in network.state_dict().items() if key in counters}
    network.load_state_dict(tensors | kept, strict=True)


def dinov2_position_embedding(embedding, grid):
    """A position embedding (1, 1 + s s, d) for `grid` = (rows, columns) patches, as DINOv2 does it.

    Bicubic without antialiasing, by the scale (grid + 0.1) / s, which shifts the sampling points
    ever so slightly; the class token's stays. facebookresearch/dinov2,
    dinov2/models/vision_transformer.py, interpolate_pos_encoding. Raises ValueError where the
    patches form no square.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    if side * side != embedding.shape[1] - 1:
        raise ValueError(
            f"a position embedding of {embedding.shape[1] - 1} patches is no square; "
            "position_embedding: dinov2 is for DINOv2's files"
        )
    if tuple(grid) == (side, side):
        return embedding
    patches = embedding[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = tuple((cells + 0.1) / side for cells in grid)
    patches = functional.interpolate(patches, scale_factor=scale, mode="bicubic")
    return torch.cat([embedding[:, :1].float(), patches.flatten(2).transpose(1, 2)], dim=1)


def _renamed(name, rename):
    for old, new in rename:
        if not old.startswith("^"):
            name = name.replace(old, new)
        elif name.startswith(old[1:]):
            name = new + name[len(old) - 1 :]
    return name
