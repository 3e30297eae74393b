"""Frozen encoders: a row of `models:` becomes a function from masked pixels to representations."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from halfseen.image_statistics import image_statistics
from halfseen.variants import normalise
from halfseen.weights import load_state_dict, verified

# How a row says what its network computes with; float32 is what it was trained and compared with.
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Encoder:
    """A frozen network with the normalisation that its weights were trained with.

    `network` is a module that maps pixels (b, 3, 224, 224) float32, normalised and masked, to
    representations (b, d), or a function that is told (b, 224, 224) bool which are visible as well.
    `precision` is a name of `PRECISIONS`; `compiled` computes in the network's stead if given.
    """

    network: object
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: object
    precision: str = "float32"
    compiled: object = None

    def normalised(self, images):
        """Images (b, h, w, 3) uint8 as pixels (b, 3, h, w) float32 on which nothing is hidden."""
        return self._laid_out(normalise(images, self.mean, self.std))

    @torch.inference_mode()
    def encode(self, pixels, visible):
        """Representations (b, d) float32 on the CPU; raises ValueError for any other shape."""
        # A compiled module has no truth value.
        network = self.network if self.compiled is None else self.compiled
        with self._autocast():
            features = network(*self._arguments(pixels, visible))
        if features.ndim != 2 or len(features) != len(pixels):
            raise ValueError(
                f"the network gave {tuple(features.shape)} for {len(pixels)} images, not (b, d)"
            )
        return features.float().cpu().numpy()

    def plain(self):
        """The same network as it is in float32, not compiled: what every option is held to."""
        return replace(self, precision="float32", compiled=None)

    def _autocast(self):
        kind = torch.device(self.device).type
        lower = self.precision != "float32"
        return torch.autocast(kind, PRECISIONS[self.precision], enabled=lower)

    def _arguments(self, pixels, visible):
        is_module = isinstance(self.network, nn.Module)
        return (self._laid_out(pixels),) if is_module else (pixels, visible)

    def _laid_out(self, pixels):
        if not isinstance(self.network, nn.Module):
            return pixels
        return pixels.contiguous(memory_format=best_memory_format(self.network))


def load_encoder(
    loader, mean, std, device="cpu", seed=0, precision="float32", compile=False, **row
):
    """The encoder of a `models:` row, in evaluation mode, its classifier removed.

    `row` holds the keys of its `loader`, `weights` being the path of the file and `sha256` its
    hash, or None. Without weights the network keeps its initialisation, drawn from `seed`.
    `compile` hands the network to torch.compile, which costs minutes once and wants a C++ compiler.
    """
    torch.manual_seed(seed)
    network, compiled = LOADERS[loader](**row), None
    if isinstance(network, nn.Module):
        network = network.to(device, memory_format=best_memory_format(network)).eval()
        compiled = torch.compile(network) if compile else None
    return Encoder(network, tuple(mean), tuple(std), device, precision, compiled)


def best_memory_format(network):
    """How pixels and weights lie in memory: channels_last for a network of convolutions.

    It takes ResNet-50 0.92 of the time on a CPU (batches of 8). A transformer's one convolution
    cuts the image into patches: for ViT-B it makes no difference.
    """
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    return torch.channels_last if convolutions > 1 else torch.contiguous_format


def timm_network(name, arguments, weights=None, sha256=None):
    """A network of timm without its classifier; its own filter reads the names of the file."""
    import timm

    if weights is None:
        return timm.create_model(name, num_classes=0, **arguments)
    overlay = {"file": str(verified(weights, sha256))}
    return timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **arguments
    )


def torchvision_network(name, arguments, weights=None, sha256=None):
    """A network of torchvision whose last linear layer is the identity, as in the paper."""
    import torchvision

    network = torchvision.models.get_model(name, weights=None, **arguments)
    if weights is not None:
        network.load_state_dict(load_state_dict(weights, sha256), strict=True)
    return _headless(network)


def checkpoint_network(builder, name, arguments, weights, sha256, unwrap, strip, drop, match):
    """A network of timm or torchvision with the weights of a checkpoint of foreign layout.

    `unwrap` are the keys to descend by (`state_dict`), `strip` a prefix that every wanted name
    carries, `drop` the prefixes of tensors that are left out. `match: order` pairs tensors by their
    order, where upstream's names differ but order and shapes agree, before the classifier is
    removed. Raises ValueError that names missing, unexpected and misshapen tensors.
    """
    tensors = load_state_dict(weights, sha256)
    for key in unwrap:
        tensors = tensors[key]
    tensors = {
        key.removeprefix(strip): value for key, value in tensors.items() if key.startswith(strip)
    }
    tensors = {key: value for key, value in tensors.items() if not key.startswith(tuple(drop))}
    whole = match == "order"
    network = BUILDERS[builder](name, arguments, classifier=whole)
    if whole:
        tensors = _renamed_by_order(tensors, network.state_dict())
    _load_exactly(network, tensors)
    return _headless(network) if whole else network


def image_statistics_network(sha256=None):
    """The trivial baseline `image_statistics`; it sees which pixels are visible."""
    return image_statistics


LOADERS = {
    "timm": timm_network,
    "torchvision": torchvision_network,
    "checkpoint": checkpoint_network,
    "image_statistics": image_statistics_network,
}


def _timm_builder(name, arguments, classifier):
    import timm

    return timm.create_model(name, **({} if classifier else {"num_classes": 0}), **arguments)


def _torchvision_builder(name, arguments, classifier):
    import torchvision

    network = torchvision.models.get_model(name, weights=None, **arguments)
    return network if classifier else _headless(network)


BUILDERS = {"timm": _timm_builder, "torchvision": _torchvision_builder}


def _headless(network):
    """`network` with its last linear layer replaced by the identity."""
    name = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    network.set_submodule(name, nn.Identity())
    return network


def _renamed_by_order(tensors, expected):
    if len(tensors) != len(expected):
        raise ValueError(
            f"the checkpoint holds {len(tensors)} tensors, the network has {len(expected)}"
        )
    return dict(zip(expected, tensors.values(), strict=True))


def _load_exactly(network, tensors):
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    problems = (
        [f"missing {key}" for key in expected.keys() - found.keys()]
        + [f"unexpected {key}" for key in found.keys() - expected.keys()]
        + [
            f"{key} is {found[key]}, not {expected[key]}"
            for key in expected.keys() & found.keys()
            if expected[key] != found[key]
        ]
    )
    if problems:
        raise ValueError(
            f"{len(problems)} tensors of the file do not fit: {'; '.join(sorted(problems)[:5])}; "
            "mend unwrap, strip or drop in the row"
        )
    network.load_state_dict(tensors, strict=True)
