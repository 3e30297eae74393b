"""Networks: a row of `models:` becomes a network without its classifier, its weights loaded.

Every loader takes its network's name and `arguments`, how it pools, and the checkpoint: the file's
path and hash, the keys of `checkpoints.read_checkpoint`, and `match`, by which tensors are paired
by name, or by order where upstream's names differ. Without weights a network keeps its
initialisation, drawn from torch's generator.
"""

import ast
import sys
from pathlib import Path

import torch
from torch import nn

from halfseen.checkpoints import (
    dinov2_position_embedding,
    load_exactly,
    paired_by_order,
    read_checkpoint,
    without_classifier,
)
from halfseen.image_statistics import image_statistics
from halfseen.pixel_grid import pixel_grid
from halfseen.spelling import did_you_mean

# `pooling` of a row in timm's words; `network` leaves it to the architecture.
TIMM_POOLS = {"average": "avg", "class_token": "token", "attention": "map"}


def timm_network(
    name,
    arguments,
    pooling,
    position_embedding=None,
    weights=None,
    sha256=None,
    match="names",
    **layout,
):
    """A network of timm without its classifier, pooling as the row says.

    timm's own conversion of the architecture's upstream layouts is applied to the file's tensors.
    `position_embedding: dinov2` resamples it as DINOv2's own code does, which timm does otherwise.
    Raises ValueError for an unknown name, with the nearest, and for a pooling it does not have.
    """
    import timm

    _check_name(name.split(".")[0], timm.list_models(), "timm")
    network = _timm_model(name, {"num_classes": 0} | arguments, pooling)
    if weights is None:
        return network
    tensors = read_checkpoint(weights, sha256, **layout)
    if match == "order":
        whole = _timm_model(name, arguments, pooling)
        tensors = paired_by_order(tensors, whole.state_dict())
    if position_embedding == "dinov2":
        tensors = _with_dinov2_positions(tensors, network)
    periods = tensors.get("rope_embed.periods")
    module = sys.modules[timm.model_entrypoint(name.split(".")[0]).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is not None:
        tensors = convert(tensors, network)
    classifiers = network.pretrained_cfg.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    load_exactly(network, without_classifier(tensors, network, classifiers))
    if periods is not None and hasattr(network, "rope"):
        # timm computes DINOv3's rotation periods, upstream keeps them in the file, rounded to bf16
        network.rope.periods.copy_(periods)
    return network


def torchvision_network(
    name, arguments, pooling, weights=None, sha256=None, match="names", **layout
):
    """A classifier of torchvision whose last linear layer is the identity, as in the paper.

    Raises ValueError for an unknown name, with the nearest, and for a pooling it does not have.
    """
    import torchvision

    _check_name(name, torchvision.models.list_models(module=torchvision.models), "torchvision")
    network = torchvision.models.get_model(name, weights=None, **arguments)
    _check_pooling(network, pooling, name)
    return _headless(network, weights, sha256, match, layout)


def torch_hub_network(
    repo,
    name,
    arguments,
    pooling,
    without_head=False,
    weights=None,
    sha256=None,
    match="names",
    **layout,
):
    """What the entry `name` of a torch.hub repository makes; `without_head` as for torchvision.

    `repo` is owner/name:ref of GitHub, or a folder (an absolute path, or one that starts with a
    dot). It runs that repository's code: naming it in a row is trusting it. Raises ValueError for
    an unknown name, with the nearest, and OSError where the repository cannot be fetched.
    """
    is_folder = repo.startswith(("/", "."))
    _check_name(name, _hub_folder_entries(repo) if is_folder else _hub_entries(repo), repo)
    if is_folder:
        network = torch.hub.load(repo, name, source="local", **arguments)
    else:
        network = torch.hub.load(repo, name, **_trusted(repo), verbose=False, **arguments)
    _check_pooling(network, pooling, name)
    if without_head:
        return _headless(network, weights, sha256, match, layout)
    if weights is not None:
        tensors = read_checkpoint(weights, sha256, **layout)
        if match == "order":
            tensors = paired_by_order(tensors, network.state_dict())
        load_exactly(network, tensors)
    return network


def image_statistics_network(sha256=None):
    """The trivial baseline `image_statistics`; it sees which pixels are visible."""
    return image_statistics


def pixel_grid_network(sha256=None):
    """The baseline `pixel_grid`."""
    return pixel_grid


LOADERS = {
    "timm": timm_network,
    "torchvision": torchvision_network,
    "torch_hub": torch_hub_network,
    "image_statistics": image_statistics_network,
    "pixels": pixel_grid_network,
}


def _check_name(name, known, library):
    if name not in known:
        raise ValueError(f"{library} has no model {name!r}{did_you_mean(name, known, count=3)}")


def _timm_model(name, arguments, pooling):
    import timm

    if pooling != "network":
        if "global_pool" in arguments:
            raise ValueError(f"{name}: pooling says how it pools; take global_pool from arguments")
        arguments = arguments | {"global_pool": TIMM_POOLS[pooling]}
    try:
        return timm.create_model(name, **arguments)
    except (AssertionError, TypeError, RuntimeError, ValueError) as reason:
        raise ValueError(
            f"timm cannot make {name!r} with pooling {pooling!r} and the arguments {arguments}: "
            f"{str(reason) or type(reason).__name__}"
        ) from reason


def _with_dinov2_positions(tensors, network):
    if "pos_embed" not in tensors or "register_tokens" in tensors:
        raise ValueError(
            "position_embedding: dinov2 is for a DINOv2 file without register tokens; with them "
            "upstream resamples as timm does, so leave the key out"
        )
    resampled = dinov2_position_embedding(tensors["pos_embed"], network.patch_embed.grid_size)
    return tensors | {"pos_embed": resampled}


def own_pooling(network):
    """How a network of torchvision's kind is seen to pool: average, class_token, or None."""
    pool = getattr(network, "avgpool", None)
    if isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1)):
        return "average"
    return "class_token" if hasattr(network, "class_token") else None


def _check_pooling(network, pooling, name):
    """Raise ValueError for a `pooling` that is not seen to be the network's own."""
    own = own_pooling(network)
    if pooling not in ("network", own):
        seen = f"pools by {own}" if own else "does not show how it pools"
        raise ValueError(
            f"{name} {seen}, not by {pooling}; give its row pooling: {own or 'network'}"
        )


def _headless(network, weights, sha256, match, layout):
    """`network` with its weights, its last linear layer replaced by the identity."""
    linear = [key for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(network).__name__} has no linear layer that could be its last")
    tensors = None if weights is None else read_checkpoint(weights, sha256, **layout)
    if tensors is not None and match == "order":
        tensors = paired_by_order(tensors, network.state_dict())
    network.set_submodule(linear[-1], nn.Identity())
    if tensors is not None:
        load_exactly(network, without_classifier(tensors, network, linear[-1:]))
    return network


def _trusted(repo):
    """Options of torch.hub for a repository that a row names."""
    if "/" not in repo or ":" not in repo:
        raise ValueError(
            f"repo {repo!r} is not owner/name:ref; without a ref, a tag or a commit, the code "
            "would be whatever the repository holds on that day"
        )
    # torch's validation knows the heads of branches only, and asks a server that limits requests.
    return {"trust_repo": True, "skip_validation": True}


def _hub_entries(repo):
    try:
        return torch.hub.list(repo, **_trusted(repo), verbose=False)
    except OSError as reason:
        raise OSError(
            f"the repository {repo} could not be fetched: {reason}; clone it where there is a "
            "network, and give its folder as repo"
        ) from reason


def _hub_folder_entries(folder):
    """The names that the hubconf.py of a folder defines or imports, read without running it."""
    hubconf = Path(folder) / "hubconf.py"
    if not hubconf.is_file():
        raise FileNotFoundError(f"there is no {hubconf}; repo is the folder of a torch.hub clone")
    names = set()
    for node in ast.parse(hubconf.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return sorted(names)
