"""Frozen encoders: a row of `models:` becomes a function from masked pixels to representations."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from halfseen.networks import LOADERS
from halfseen.variants import normalise

# How a row says what its network computes with; float32 is what it was trained and compared with.
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Encoder:
    """A frozen network with the normalisation that its weights were trained with.

    `network` is a module that maps pixels (b, 3, 224, 224) float32, normalised and masked, to
    representations (b, d), or a function that is told (b, 224, 224) bool which are visible as well.
    `precision` is a name of `PRECISIONS`; `compiled` computes in the network's stead if given.
    `recipe` is the model's own view of the study's crop, for `recipes.own_view`, or None.
    """

    network: object
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: object
    precision: str = "float32"
    compiled: object = None
    recipe: dict | None = None

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
    loader, mean, std, device="cpu", seed=0, precision="float32", compile=False, recipe=None, **row
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
    return Encoder(network, tuple(mean), tuple(std), device, precision, compiled, recipe)


def best_memory_format(network):
    """How pixels and weights lie in memory: channels_last for a network of convolutions.

    It takes ResNet-50 0.92 of the time on a CPU (batches of 8). A transformer's one convolution
    cuts the image into patches: for ViT-B it makes no difference.
    """
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    return torch.channels_last if convolutions > 1 else torch.contiguous_format
