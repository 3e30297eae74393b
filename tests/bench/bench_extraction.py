"""Our extraction of five variants against the bare forward pass and the straightforward way.

One process, two threads, the same images and weights, freed memory kept for all, turn by turn,
medians. The networks are untrained: how fast they are does not depend on their weights.
- ours: from shards to the finished HDF5 file. The job's checks cost ten images, however many there
  are, and would weigh a thousand times more here than in a study: they are timed apart, and shown
  as a share of the default study's extraction;
- bare forward pass: the network alone on random tensors that lie ready, as many as all variants
  have images, in the fastest of three settings;
- a Dataset per variant: JPEG files, PIL, torchvision's transforms, a DataLoader without or with two
  workers (the faster), `model(x)` at batch size 32, `numpy.save`.

Goals: at least 0.95 of the bare forward pass; never slower than the straightforward way; checks of
at most 2 % of the default study's emoji scenes.
"""

import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import timm
import torch
import torchvision
from PIL import Image
from show import COLUMNS, write_rows
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen import encoder_checks  # noqa: E402
from halfseen.devices import default_batch_size, keep_freed_memory, use_threads  # noqa: E402
from halfseen.encoders import Encoder, best_memory_format  # noqa: E402
from halfseen.extraction import encode_variants  # noqa: E402
from halfseen.features import read_features, write_features  # noqa: E402
from halfseen.geometry import resize_and_crop  # noqa: E402
from halfseen.shards import PROVENANCE, write_shard  # noqa: E402
from halfseen.variants import visible_pixels  # noqa: E402

N_IMAGES, THREADS, REPEATS = 16, 2, 3
# How many images the smallest job of the default study with a real encoder and SAM encodes.
STUDY_IMAGES = 240 * 5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VARIANTS = {
    "original": {"keep": "everything", "radius": None, "fill": 0},
    "foreground": {"keep": "foreground", "radius": None, "fill": 0},
    "background": {"keep": "background", "radius": None, "fill": 0},
    "center": {"keep": "center", "radius": 0.3989, "fill": 0},
    "border": {"keep": "border", "radius": 0.3989, "fill": 0},
}


def build_resnet50():
    """torchvision's ResNet-50, untrained, without its classifier."""
    network = torchvision.models.resnet50(weights=None)
    network.fc = torch.nn.Identity()
    return network


def build_vit_b():
    """timm's ViT-B/16, untrained, without its classifier."""
    return timm.create_model("vit_base_patch16_224", num_classes=0)


NETWORKS = {"ResNet-50": build_resnet50, "ViT-B/16": build_vit_b}


class Pictures:
    """JPEG files of textured images, 384 x 256, with masks, and two shards of the same."""

    def __init__(self, folder):
        rng = np.random.default_rng(20230602)
        self.files, images = [], []
        for number in range(N_IMAGES):
            coarse = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
            fine = rng.integers(-20, 20, (256, 384, 3))
            smooth = np.asarray(Image.fromarray(coarse).resize((384, 256))).astype(int)
            self.files.append(folder / f"{number}.jpg")
            Image.fromarray((smooth + fine).clip(0, 255).astype(np.uint8)).save(self.files[-1])
            images.append(resize_and_crop(np.asarray(Image.open(self.files[-1]))))
        left, right = np.sort(rng.integers(10, 214, (2, N_IMAGES, 1, 1)), axis=0)
        columns = np.broadcast_to(np.arange(224), (N_IMAGES, 224, 224))
        self.masks = (columns >= left) & (columns <= right)
        ids = [f"i{number:02d}" for number in range(N_IMAGES)]
        self.manifest = pd.DataFrame({"image_id": ids, "label": np.arange(N_IMAGES) % 2})
        self.shards = [folder / "0.h5", folder / "1.h5"]
        for first, path in enumerate(self.shards):
            rows = range(first, N_IMAGES, 2)
            blank = {name: [0 if isinstance(of, str) else ""] for name, of in PROVENANCE.items()}
            shard = {name: value * len(rows) for name, value in blank.items()}
            shard |= {"image_ids": ids[first::2], "masks": self.masks[first::2]}
            write_shard(path, shard | {"images": images[first::2]})


class MaskedImages(Dataset):
    """One variant of the pictures as one would write it down first."""

    transform = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def __init__(self, files, visible):
        self.files, self.visible = files, visible

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        pixels = self.transform(Image.open(self.files[number]).convert("RGB"))
        return pixels * self.visible[number]


@contextmanager
def seconds_of(*places):
    """A list that fills with the seconds of every call of the functions at `places`."""
    seconds = []

    def timed(function):
        def call(*arguments):
            start = time.perf_counter()
            result = function(*arguments)
            seconds.append(time.perf_counter() - start)
            return result

        return call

    patches = [mock.patch.object(o, name, timed(getattr(o, name))) for o, name in places]
    for patch in patches:
        patch.start()
    yield seconds
    for patch in patches:
        patch.stop()


def extract(pictures, encoder, path):
    """Our way, into a new file; the seconds of its checks."""
    path.unlink(missing_ok=True)
    checks = [
        (encoder_checks, "_tensor_digests"),
        (encoder_checks.FirstBatch, "check_batch_and_order"),
        (encoder_checks.FirstBatch, "check_once_more"),
    ]
    with seconds_of(*checks) as seconds:
        ids = pictures.manifest.image_id.tolist()
        encode = encode_variants(pictures.shards, ids, lambda: encoder, None, "bench")
        keys = {name: f"{path} {name}" for name in VARIANTS}
        write_features(path, "", keys, VARIANTS, pictures.manifest, encode)
    return sum(seconds)


@torch.inference_mode()
def forward(network, tensors):
    """The bare forward pass of batches that lie ready."""
    for tensor in tensors:
        network(tensor)


@torch.inference_mode()
def encode_straightforwardly(network, pictures, workers, folder):
    """A Dataset and a DataLoader per variant; a file of features each."""
    for name, row in VARIANTS.items():
        visible = torch.from_numpy(visible_pixels(row["keep"], pictures.masks, row["radius"]))
        dataset = MaskedImages(pictures.files, visible[:, None])
        loader = DataLoader(dataset, batch_size=32, num_workers=workers)
        np.save(folder / f"{name}.npy", np.concatenate([network(x).numpy() for x in loader]))


def sides_of(network, plain, pictures, folder):
    """{name: function without arguments} of all that is timed against each other."""
    encoder = Encoder(network, MEAN, STD, "cpu")
    count = N_IMAGES * len(VARIANTS)
    random = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    size, ours = default_batch_size("cpu"), best_memory_format(network)
    # The settings of ours, and the plain ones; for ViT-B two of the three are the same.
    settings = {
        (ours, size): network,
        (torch.contiguous_format, size): plain,
        (torch.contiguous_format, 32): plain,
    }
    ways = {}
    for (layout, batch), module in settings.items():
        batches = random.contiguous(memory_format=layout).split(batch)
        ways[f"forward pass, {layout}, batches of {batch}"] = partial(forward, module, batches)
    for workers in (0, 2):
        straight = partial(encode_straightforwardly, plain, pictures, workers, folder)
        ways[f"Dataset per variant, {workers} workers"] = straight
    return {"ours": partial(extract, pictures, encoder, folder / "ours.h5")} | ways


def require_equal(pictures, folder):
    """Raise ValueError unless our features are those of the straightforward way."""
    for name in VARIANTS:
        ours = read_features(folder / "ours.h5", name, pictures.manifest)
        theirs = np.load(folder / f"{name}.npy")
        apart = abs(ours - theirs).max() / max(1, abs(theirs).max())
        if not apart <= 1e-5 or np.ptp(theirs, axis=0).max() < 1e-3:
            raise ValueError(
                f"the features of {name} differ by {apart:.2g}, or not at all by image"
            )


def measure(build, pictures, folder):
    """Median seconds of each side, ours without its checks, and of those; networks run before."""
    torch.manual_seed(0)
    plain = build().eval()
    network = build().eval()
    network.load_state_dict(plain.state_dict())
    network.to(memory_format=best_memory_format(network))
    sides = sides_of(network, plain, pictures, folder)
    for module in (network, plain):
        forward(module, torch.zeros(1, 8, 3, 224, 224))
    seconds, checks = {name: [] for name in sides}, []
    for _ in range(REPEATS):
        for name, run in sides.items():
            start = time.perf_counter()
            result = run()
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
            if name == "ours":
                checks.append(result)
        require_equal(pictures, folder)
    medians = {name: float(np.median(of)) for name, of in seconds.items()}
    medians["ours"] = float(np.median(np.subtract(seconds["ours"], checks)))
    return medians, float(np.median(checks))


def fastest(medians, start):
    """The least of the medians whose names begin with `start`."""
    return min(seconds for name, seconds in medians.items() if name.startswith(start))


def row(case, peer, ours_s, peer_s, goal):
    """One row of the benchmark: our seconds against the peer's, a ratio of at most `goal`."""
    ratio = ours_s / peer_s
    return dict(
        zip(
            COLUMNS,
            ("extraction", case, peer, ours_s, peer_s, ratio, f"<= {goal:.4g}", ratio <= goal),
            strict=True,
        )
    )


keep_freed_memory()
use_threads(THREADS)
rows, sides = [], []
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    pictures = Pictures(folder)
    for name, build in NETWORKS.items():
        medians, checks_s = measure(build, pictures, folder)
        forward_s, straight_s = fastest(medians, "forward"), fastest(medians, "Dataset")
        case = f"{name}, {len(VARIANTS)} variants of {N_IMAGES} images"
        study_s = medians["ours"] / (N_IMAGES * len(VARIANTS)) * STUDY_IMAGES
        rows += [
            row(case, "bare forward pass", medians["ours"], forward_s, 1 / 0.95),
            row(case, "a Dataset per variant", medians["ours"], straight_s, 1),
            row(f"{name}, checks", f"extraction of {STUDY_IMAGES} images", checks_s, study_s, 0.02),
        ]
        medians["checks of ours, timed apart"] = checks_s
        sides += [{"network": name, "side": side, "median_s": s} for side, s in medians.items()]
write_rows("extraction", rows)
write_rows("extraction_sides", sides)
