"""Checkpoints of random weights in the exact layout of the published files, small or at full size.

`write_checkpoint` writes the file that a row of config.yaml expects: the nesting, prefixes, names,
shapes, dtypes and serialisation of the published one, so that it takes the same way through the
code. One seed gives one file, to the byte (TorchScript: the first of a process, which numbers
modules). From the repositories of the papers; the figures stand beside each layout.
"""

import pickle
import warnings

import numpy as np
import torch
from torch import nn

RESNET50_BLOCKS = (3, 4, 6, 3)
# Sizes of the vision transformers: width, depth, heads, and what the row must say to get them.
SMALL = dict(width=48, depth=2, heads=3)
FULL = {
    "vits": dict(width=384, depth=12, heads=6),
    "vitb": dict(width=768, depth=12, heads=12),
    "vitl": dict(width=1024, depth=24, heads=16),
    "vitg": dict(width=1536, depth=40, heads=24),
}


def write_checkpoint(name, path, size="reduced", seed=0, stream=1.0):
    """Write the file of the models row `name` to `path`; return the `arguments` for that size.

    `name` is one of `LAYOUTS`, `size` reduced or full. The row's own arguments hold as well:
    `row["arguments"] | write_checkpoint(...)`. `stream` scales what a vision transformer with
    layer scale adds up before its norms: 1e-3 gives activations of low variance.
    """
    shapes, wrap, save, arguments = LAYOUTS[name](size)
    tensors = random_tensors(shapes, seed, stream)
    save(wrap(tensors), path)
    return arguments


def official_shapes(name, size="full"):
    """{tensor's name in the file: shape}, before the file's prefixes and nesting."""
    return LAYOUTS[name](size)[0]


def random_tensors(shapes, seed, stream=1.0):
    """Float32 tensors of `shapes`, drawn by their role so that a forward pass stays of order 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, std, mean=0.0):
        return torch.randn(shape, generator=generator).mul_(std).add_(mean)

    def uniform(shape, low, high):
        return torch.rand(shape, generator=generator).mul_(high - low).add_(low)

    def draw(name, shape):
        *_, module, kind = ["", *name.split(".")]
        if kind == "num_batches_tracked":
            return torch.tensor(1000)
        if kind == "bias_mask":  # DINOv3: the bias of the keys is masked
            third = shape[0] // 3
            return torch.cat([torch.ones(third), torch.zeros(third), torch.ones(third)])
        if kind == "periods":
            return (100 ** torch.linspace(0, 1, shape[0] + 1)[:-1]).bfloat16()
        if kind == "running_var":
            return uniform(shape, 0.5, 1.5)
        if kind == "running_mean":
            return normal(shape, 0.3)
        if kind == "gamma":
            return uniform(shape, 0.2, 0.8) * stream
        if kind in TOKENS:
            return normal(shape, 0.5) * stream
        scale = stream if "patch_embed" in name else 1.0
        if kind in ("bias", "in_proj_bias"):
            return normal(shape, 0.2) * scale
        if len(shape) == 1:  # the gain of a norm; the last of a residual branch is small
            return normal(shape, 0.05, 0.2) if module == "bn3" else normal(shape, 0.2, 1.0)
        fan_in = shape[0] if kind == "proj" else int(np.prod(shape[1:]))
        return normal(shape, fan_in**-0.5) * scale

    return {name: draw(name, shape) for name, shape in shapes.items()}


TOKENS = {
    "cls_token",
    "pos_embed",
    "mask_token",
    "register_tokens",
    "storage_tokens",
    "class_embedding",
    "positional_embedding",
}


def resnet50_shapes(inner=1.0, classes=None):
    """torchvision's names: 318 tensors, 320 with a classifier; `inner` thins the 3 x 3 layers."""
    shapes = {"conv1.weight": (64, 3, 7, 7)} | _batch_norm("bn1", 64)
    channels = 64
    for stage, blocks in enumerate(RESNET50_BLOCKS):
        width, out = int(64 * 2**stage * inner), 256 * 2**stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            sizes = [(width, channels, 1, 1), (width, width, 3, 3), (out, width, 1, 1)]
            for number, size in enumerate(sizes, start=1):
                shapes[f"{name}.conv{number}.weight"] = size
                shapes |= _batch_norm(f"{name}.bn{number}", size[0])
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (out, channels, 1, 1)
                shapes |= _batch_norm(f"{name}.downsample.1", out)
            channels = out
    return shapes | (_linear("fc", classes, 2048) if classes else {})


def vit_shapes(width, depth, patch, grid, layer_scale=False, hidden=None, swiglu=False, **tokens):
    """Names of timm's first vision transformer, which MAE, DINO, MoCo-v3 and DINOv2 kept."""
    hidden = hidden or 4 * width
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + grid * grid, width)} | tokens
    shapes |= {
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for block in range(depth):
        name = f"blocks.{block}"
        shapes |= _norm(f"{name}.norm1", width)
        shapes |= _linear(f"{name}.attn.qkv", 3 * width, width)
        shapes |= _linear(f"{name}.attn.proj", width, width)
        shapes |= {f"{name}.ls1.gamma": (width,)} if layer_scale else {}
        shapes |= _norm(f"{name}.norm2", width)
        first, second = ("w12", "w3") if swiglu else ("fc1", "fc2")
        shapes |= _linear(f"{name}.mlp.{first}", hidden * (1 + swiglu), width)
        shapes |= _linear(f"{name}.mlp.{second}", width, hidden)
        shapes |= {f"{name}.ls2.gamma": (width,)} if layer_scale else {}
    return shapes | _norm("norm", width)


def clip_shapes(width, depth, patch, grid, out=512):
    """OpenAI's image tower and the beginning of its text tower."""
    shapes = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (1 + grid * grid, width),
        "visual.proj": (width, out),
        "visual.conv1.weight": (width, 3, patch, patch),
        "positional_embedding": (77, 512),
        "text_projection": (512, out),
        "token_embedding.weight": (100, 512),
    }
    shapes |= _norm("visual.ln_pre", width) | _norm("visual.ln_post", width)
    for block in range(depth):
        name = f"visual.transformer.resblocks.{block}"
        shapes |= {
            f"{name}.attn.in_proj_weight": (3 * width, width),
            f"{name}.attn.in_proj_bias": (3 * width,),
        }
        shapes |= _linear(f"{name}.attn.out_proj", width, width) | _norm(f"{name}.ln_1", width)
        shapes |= _linear(f"{name}.mlp.c_fc", 4 * width, width)
        shapes |= _linear(f"{name}.mlp.c_proj", width, 4 * width) | _norm(f"{name}.ln_2", width)
    return shapes


def _linear(name, rows, columns):
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _batch_norm(name, width):
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{kind}": (width,) for kind in kinds} | {f"{name}.num_batches_tracked": ()}


def _plain(tensors):
    return tensors


def _nested(*keys, **beside):
    """Wrap tensors in dictionaries of these keys; `beside` stands next to the first."""

    def wrap(tensors):
        for key in reversed(keys):
            tensors = {key: tensors}
        return tensors | beside

    return wrap


def _prefixed(prefix, **more):
    """Prefix every name; `more` are shapes of tensors (names with __ for a dot) that are added."""
    shapes = {name.replace("__", "."): shape for name, shape in more.items()}

    def wrap(tensors):
        added = random_tensors(shapes, seed=1)
        return {f"{prefix}{name}": value for name, value in (tensors | added).items()}

    return wrap


def _save(value, path):
    # Through an open file, since torch writes a path's own name into the archive.
    with open(path, "wb") as file:
        torch.save(value, file)


def _save_legacy(value, path):
    """As torch before 1.6 wrote files: pickles in a row and the bytes of every storage.

    torch.save's own old format names storages by their address, so no two files were equal.
    """
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, torch.storage.TypedStorage):
                return None
            storages.append(item)
            kind = getattr(torch, item._pickle_storage_type())
            return ("storage", kind, f"{len(storages) - 1:06d}", "cpu", len(item), None)

    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4, "long": 4}}
    with open(path, "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are deprecated, the published file is not
        for part in (torch.serialization.MAGIC_NUMBER, 1001, system):
            pickle.dump(part, file, protocol=2)
        Pickler(file, protocol=2).dump(value)
        pickle.dump([f"{number:06d}" for number in range(len(storages))], file, protocol=2)
        for storage in storages:
            values = torch.empty(0, dtype=storage.dtype).set_(storage).numpy()
            file.write(np.int64(values.size).tobytes() + values.tobytes())


def _save_torchscript(tensors, path):
    """As OpenAI published CLIP: a TorchScript archive of half precision, with three numbers."""
    root = _Identity()
    for name, value in tensors.items():
        *modules, last = name.split(".")
        place = root
        for module in modules:
            if not hasattr(place, module):
                place.add_module(module, nn.Module())
            place = getattr(place, module)
        place.register_parameter(last, nn.Parameter(value.half(), requires_grad=False))
    for name, number in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 100)):
        root.register_buffer(name, torch.tensor(number))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, the published files are not
        torch.jit.trace(root, torch.zeros(1)).save(str(path))


class _Identity(nn.Module):
    def forward(self, x):
        return x


def _resnet(wrap=_plain, save=_save, classes=None):
    def layout(size):
        arguments = {} if size == "full" else {"width_per_group": 4}
        return resnet50_shapes(1 if size == "full" else 1 / 16, classes), wrap, save, arguments

    return layout


def _vit(full, patch, grid, wrap=_plain, heads=None, small=SMALL, **shape):
    def layout(size):
        chosen = FULL[full] if size == "full" else small
        width, depth = chosen["width"], chosen["depth"]
        more = {key: tuple(width if n == "d" else n for n in s) for key, s in shape.items()
                if isinstance(s, tuple)}  # fmt: skip
        more |= {key: value for key, value in shape.items() if not isinstance(value, tuple)}
        if shape.get("swiglu"):  # upstream: two thirds of four times the width, in steps of 8
            more["hidden"] = (int(4 * width * 2 / 3) + 7) // 8 * 8
        arguments = {"embed_dim": width, "depth": depth, "num_heads": heads or chosen["heads"]}
        shapes = vit_shapes(width, depth, patch, grid, **more)
        return shapes, wrap, _save, {} if size == "full" else arguments

    return layout


def _dinov2(full, registers=0):
    tokens = {"register_tokens": (1, registers, "d")} if registers else {}
    tokens |= {"mask_token": (1, "d"), "layer_scale": True, "swiglu": full == "vitg"}
    return _vit(full, 14, 37, **tokens)


def _dinov3(size):
    shapes, wrap, save, arguments = _vit("vits", 16, 14, layer_scale=True)(size)
    width = shapes["cls_token"][2]
    heads = arguments.get("num_heads", FULL["vits"]["heads"])
    del shapes["pos_embed"]
    shapes |= {"storage_tokens": (1, 4, width), "mask_token": (1, width)}
    shapes |= {"rope_embed.periods": (width // heads // 4,)}
    biases = [name for name in shapes if name.endswith("qkv.bias")]
    shapes |= {f"{name}_mask": shapes[name] for name in biases}
    return shapes, wrap, save, arguments


def _clip(size):
    chosen = FULL["vitb"] if size == "full" else SMALL
    shapes = clip_shapes(chosen["width"], chosen["depth"], 32, 7)
    keys = ("embed_dim", "depth", "num_heads")
    arguments = dict(zip(keys, chosen.values(), strict=True))
    return shapes, _plain, _save_torchscript, {} if size == "full" else arguments


def _moco(base, **projector):
    return _nested_after(_prefixed("module.base_encoder.", **projector), "state_dict")


def _nested_after(prefixed, key):
    def wrap(tensors):
        momentum = {"module.momentum_encoder.cls_token": torch.zeros(1)}
        return {key: prefixed(tensors) | momentum, "epoch": 300, "arch": "vit_small"}

    return wrap


def _vissl(tensors):
    trunk = {f"_feature_blocks.{name}": value for name, value in tensors.items()}
    heads = {"0.clf.0.weight": torch.zeros(128, 2048)}
    base_model = {"model": {"trunk": trunk, "heads": heads}, "meters": {}}
    # training keeps numpy's numbers beside the tensors
    state = {"base_model": base_model, "phase_idx": 999, "train_loss": np.float64(1.5)}
    return {"phase_idx": 999, "loss": np.float32(1.5), "classy_state_dict": state}


LAYOUTS = {
    # torchvision: the whole classifier, 320 tensors
    "supervised": _resnet(classes=1000),
    # swav: a flat dictionary, module. before every name, projection head and prototypes, legacy
    "swav": _resnet(
        _prefixed(
            "module.",
            projection_head__0__weight=(2048, 2048),
            projection_head__0__bias=(2048,),
            projection_head__1__running_var=(2048,),
            projection_head__3__weight=(128, 2048),
            projection_head__3__bias=(128,),
            prototypes__weight=(3000, 128),
        ),
        _save_legacy,
    ),
    # vicreg: the backbone alone, 318 tensors
    "vicreg": _resnet(),
    # mae: {'model': encoder}, 150 tensors for ViT-B
    "mae": _vit("vitb", 16, 14, _nested("model")),
    # dinov2: 567 tensors for ViT-g
    "dinov2_vitg14": _dinov2("vitg"),
    "dinov2_vits14": _dinov2("vits"),
    "dinov2_vits14_reg4": _dinov2("vits", registers=4),
    "dino_resnet50": _resnet(),
    "dino_vits16": _vit("vits", 16, 14),
    "moco_v3_resnet50": _resnet(
        _moco("r50", fc__0__weight=(4096, 2048), fc__1__running_var=(4096,))
    ),
    # 96 channels, so that both 12 heads, which are right, and timm's 6 divide them
    "moco_v3_vits16": _vit(
        "vits",
        16,
        14,
        _moco("vit", head__0__weight=(64, 96)),
        heads=12,
        small=SMALL | {"width": 96},
    ),
    "simclr": _resnet(_vissl),
    "clip_vitb32": _clip,
    "dinov3_vits16": _dinov3,
}
