"""Networks written down a second time: plain tensor operations on the published files' tensors.

From the papers, in whatever precision the tensors have (tests give double). No module of
torchvision or timm takes part.
"""

import math

import numpy as np
import torch
from torch.nn import functional


def normalised(images, mean, std):
    """(b, 3, h, w) float64."""
    pixels = images.double() / 255
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)


def residual_network(t, pixels):
    """ResNet-50 up to the average over all places: (b, 2048). He et al. 2016, table 1."""

    def norm(name, x):
        mean, variance, gain, bias = (
            t[f"{name}.{kind}"].view(1, -1, 1, 1)
            for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * gain + bias

    def layer(name, number, x, stride=1):
        weight = t[f"{name}.conv{number}.weight"]
        padded = functional.pad(x, [weight.shape[-1] // 2] * 4)
        return norm(
            f"{name}.bn{number}".lstrip("."), functional.conv2d(padded, weight, None, stride)
        )

    x = functional.conv2d(functional.pad(pixels, [3] * 4), t["conv1.weight"], stride=2)
    x = norm("bn1", x).clamp(min=0)
    x = functional.max_pool2d(functional.pad(x, [1] * 4), 3, 2)  # zeros do not win: x >= 0
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            inner = layer(name, 1, x).clamp(min=0)
            # the stride is in the 3 x 3 layer, unlike in the paper: "ResNet v1.5"
            inner = layer(name, 3, layer(name, 2, inner, stride).clamp(min=0))
            if block == 0:
                x = functional.conv2d(x, t[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(f"{name}.downsample.1", x)
            x = (x + inner).clamp(min=0)
    return x.mean(dim=(2, 3))


def standardised(x, eps):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / ((centred**2).mean(dim=-1, keepdim=True) + eps).sqrt()


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def patches_of(pixels, patch):
    """(b, n, 3 patch patch): the patches row by row, as a matrix product reads them."""
    b, c, h, w = pixels.shape
    grid = pixels.reshape(b, c, h // patch, patch, w // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * patch * patch)


def transformer(t, pixels, heads, eps, pool="class", positions=None, rope=None, registers=0):
    """A vision transformer by timm's first names: (b, d). Dosovitskiy et al. 2021, eq. 1 to 4.

    `positions` (1, 1 + n, d) replaces the file's embedding; `rope(x)` turns queries and keys.
    """

    def norm(name, x):
        return standardised(x, eps) * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(name, x):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def attention(name, x):
        b, n, d = x.shape
        joint = x @ t[f"{name}.qkv.weight"].T
        bias = t[f"{name}.qkv.bias"]
        joint = joint + bias * t.get(f"{name}.qkv.bias_mask", 1)
        q, k, v = (
            part.reshape(b, n, heads, d // heads).transpose(1, 2) for part in joint.chunk(3, -1)
        )
        if rope is not None:
            q, k = rope(q), rope(k)
        weights = (q @ k.transpose(2, 3) / math.sqrt(d // heads)).softmax(dim=-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).reshape(b, n, d))

    def mlp(name, x):
        if f"{name}.w12.weight" in t:
            gate, value = linear(f"{name}.w12", x).chunk(2, dim=-1)
            return linear(f"{name}.w3", gate * torch.sigmoid(gate) * value)
        return linear(f"{name}.fc2", gelu(linear(f"{name}.fc1", x)))

    patch = t["patch_embed.proj.weight"]
    x = patches_of(pixels, patch.shape[-1]) @ patch.flatten(1).T + t["patch_embed.proj.bias"]
    x = torch.cat([t["cls_token"].expand(len(x), -1, -1), x], dim=1)
    positions = t.get("pos_embed") if positions is None else positions
    x = x if positions is None else x + positions
    if registers:
        name = "register_tokens" if "register_tokens" in t else "storage_tokens"
        x = torch.cat([x[:, :1], t[name].expand(len(x), -1, -1), x[:, 1:]], dim=1)
    for block in range(sum(key.endswith("norm1.weight") for key in t)):
        name = f"blocks.{block}"
        x = x + attention(f"{name}.attn", norm(f"{name}.norm1", x)) * t.get(f"{name}.ls1.gamma", 1)
        x = x + mlp(f"{name}.mlp", norm(f"{name}.norm2", x)) * t.get(f"{name}.ls2.gamma", 1)
    if pool == "average":
        return norm("norm", x[:, 1:].mean(dim=1))
    return norm("norm", x)[:, 0]


def cubic(distance, a=-0.75):
    """Keys' kernel with torch's a; antialiased resampling takes a = -0.5 (Keys 1981, eq. 15)."""
    x = abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return np.where(x < 1, near, np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0))


def dinov2_positions(embedding, cells=16):
    """DINOv2's embedding of 37 x 37 patches for `cells` a side: scale (cells + 0.1) / 37."""
    side, weights = 37, np.zeros((cells, 37))
    for cell in range(cells):
        place = (cell + 0.5) * side / (cells + 0.1) - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[cell, min(max(tap, 0), side - 1)] += cubic(place - tap)
    return _resampled(embedding, weights)


def antialiased_positions(embedding, cells=16):
    """The same with registers: scale cells / 37, antialiased by a kernel 37 / cells as wide."""
    side = 37
    centres = (np.arange(cells)[:, None] + 0.5) * side / cells
    weights = cubic((np.arange(side) + 0.5 - centres) * cells / side, a=-0.5)
    return _resampled(embedding, weights / weights.sum(axis=1, keepdims=True))


def _resampled(embedding, weights):
    weights = torch.from_numpy(weights)
    square = embedding[0, 1:].reshape(37, 37, -1)
    resampled = torch.einsum("ar,bc,rcd->abd", weights, weights, square)
    return torch.cat([embedding[:, :1], resampled.reshape(1, 256, -1)], dim=1)


def clip_tower(t, pixels, heads):
    """CLIP's image tower up to the last norm of the class token: (b, d). Radford et al. 2021."""

    def norm(name, x):
        return standardised(x, 1e-5) * t[f"visual.{name}.weight"] + t[f"visual.{name}.bias"]

    def linear(name, x):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    patch = t["visual.conv1.weight"]
    x = patches_of(pixels, patch.shape[-1]) @ patch.flatten(1).T
    x = torch.cat([t["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = norm("ln_pre", x + t["visual.positional_embedding"])
    b, n, d = x.shape
    for block in range(sum(key.endswith("ln_1.weight") for key in t)):
        name = f"transformer.resblocks.{block}"
        attention = f"visual.{name}.attn"
        joint = norm(f"{name}.ln_1", x) @ t[f"{attention}.in_proj_weight"].T
        q, k, v = (
            part.reshape(b, n, heads, d // heads).transpose(1, 2)
            for part in (joint + t[f"{attention}.in_proj_bias"]).chunk(3, -1)
        )
        weights = (q @ k.transpose(2, 3) / math.sqrt(d // heads)).softmax(dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(b, n, d)
        x = x + linear(f"{attention}.out_proj", mixed)
        hidden = linear(f"visual.{name}.mlp.c_fc", norm(f"{name}.ln_2", x))
        x = x + linear(f"visual.{name}.mlp.c_proj", quick_gelu(hidden))
    return norm("ln_post", x[:, 0])


def rotary(periods, cells=14, prefix=5):
    """DINOv3's rotation of queries and keys by the place of their patch. Simeoni et al. 2025."""
    centres = (torch.arange(cells).double() + 0.5) / cells * 2 - 1
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    angles = torch.stack([rows.flatten(), columns.flatten()], dim=1)[:, :, None]
    angles = (2 * math.pi * angles / periods).flatten(1).repeat(1, 2)

    def turn(x):
        first, rest = x[:, :, :prefix], x[:, :, prefix:]
        left, right = rest.chunk(2, dim=-1)
        turned = rest * angles.cos() + torch.cat([-right, left], dim=-1) * angles.sin()
        return torch.cat([first, turned], dim=2)

    return turn
