"""Frozen encoders: a row of `models:` becomes a function from masked pixels to representations."""

from dataclasses import dataclass

import torch
from torch import nn

from halfseen.networks import LOADERS


@dataclass(frozen=True)
class Encoder:
    """A frozen network with the normalisation that its weights were trained with.

    `network` maps (pixels (b, 3, 224, 224) float32 normalised and masked, visible (b, 224, 224)
    bool) to representations (b, d). `recipe` is the model's own view of the study's crop, for
    `recipes.own_view`, or None for the crop as it is.
    """

    network: object
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: object
    recipe: dict | None = None

    @torch.inference_mode()
    def encode(self, pixels, visible):
        """Representations (b, d) float32 on the CPU; raises ValueError for any other shape."""
        features = self.network(pixels, visible)
        if features.ndim != 2 or len(features) != len(pixels):
            raise ValueError(
                f"the network gave {tuple(features.shape)} for {len(pixels)} images, not (b, d)"
            )
        return features.float().cpu().numpy()


def load_encoder(loader, mean, std, device="cpu", seed=0, recipe=None, **row):
    """The encoder of a `models:` row, in evaluation mode, its classifier removed.

    `row` holds the keys of its `loader`, `weights` being the path of the file and `sha256` its
    hash, or None. Without weights the network keeps its initialisation, drawn from `seed`.
    """
    torch.manual_seed(seed)
    network = LOADERS[loader](**row)
    if isinstance(network, nn.Module):
        network = _without_visibility(network.to(device, memory_format=torch.channels_last).eval())
    return Encoder(network, tuple(mean), tuple(std), device, recipe)


def _without_visibility(network):
    def encode(pixels, visible):
        return network(pixels.contiguous(memory_format=torch.channels_last))

    return encode
