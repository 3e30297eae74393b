"""Images with exact masks to measure SAM on: parts of real data sets, and drawn scenes."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.config import check_config  # noqa: E402
from halfseen.datasets.emoji_scenes import EmojiScenes  # noqa: E402
from halfseen.geometry import resize_and_crop_mask  # noqa: E402
from halfseen.masks import bounding_box  # noqa: E402
from halfseen.segmenters import load_segmenter  # noqa: E402
from halfseen.weights import read_record  # noqa: E402

WEIGHTS = ROOT / "results/weights/mobile_sam.ckpt"
CALTECH = "caltech101/caltech101"
# Masks and images of each data set below HALFSEEN_DATA; one has the other's name.
FOLDERS = {
    "ecssd": ("ecssd/ECSSD/ground_truth_mask", "ecssd/ECSSD/images"),
    "caltech101": (f"{CALTECH}/masks", f"{CALTECH}/101_ObjectCategories"),
}


class Outlined:
    """Images whose masks are PNG files: (folder of masks, folder of images), same names below."""

    def __init__(self, masks, images):
        self.masks, self.images = masks, images

    def image_ids(self):
        """Every image whose crop shows some of its object, in a fixed order."""
        ids = [
            path.relative_to(self.masks).with_suffix("").as_posix()
            for path in sorted(self.masks.rglob("*.png"))
        ]
        return [each for each in ids if resize_and_crop_mask(self.mask(each)).any()]

    def image(self, image_id):
        """The image (h, w, 3) uint8 RGB."""
        with Image.open((self.images / image_id).with_suffix(".jpg")) as image:
            return np.asarray(image.convert("RGB"))

    def mask(self, image_id):
        """The mask (h, w) bool."""
        with Image.open((self.masks / image_id).with_suffix(".png")) as image:
            return np.asarray(image.convert("L")) > 127


class Scenes(EmojiScenes):
    """The scenes of the default study."""

    def __init__(self, n_images):
        super().__init__(n_images, 16, background_correlation=0, seed=20230602)

    def image_ids(self):
        """Every scene."""
        return list(self.scenes)


def outlined(name):
    """A data set by name, or None with a printed reason where it is not on this machine."""
    if name == "emoji_scenes":
        return Scenes(240)
    data = os.environ.get("HALFSEEN_DATA")
    folders = [Path(data or "", part) for part in FOLDERS[name]]
    if not data or not all(folder.is_dir() for folder in folders):
        print(f"{name} is left out: HALFSEEN_DATA ({data or 'not set'}) does not hold it")
        return None
    return Outlined(*folders)


def rows_of(dataset, at_most=None):
    """What `segment_images` reads of a manifest; the boxes are those of the exact masks."""
    ids = dataset.image_ids()
    ids = ids[:: max(1, len(ids) // at_most)][:at_most] if at_most else ids
    boxes = np.array([bounding_box(dataset.mask(image_id)) for image_id in ids])
    return pd.DataFrame(
        {"image_id": ids, "label_name": "object"}
        | dict(zip(("left", "top", "right", "bottom"), boxes.T, strict=True))
    )


def shipped_prompts():
    """The rows of `prompts:` in config.yaml with their defaults, as the study passes them on."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    check_config(config, ROOT / "workflow/schemas/config.schema.yaml")
    return {
        name: {key: row[key] for key in row if key != "label"}
        for name, row in config["prompts"].items()
    }


def weights_sha256():
    """The recorded SHA-256 of MobileSAM's checkpoint."""
    return read_record(WEIGHTS.with_suffix(".yaml"))["sha256"]


def mobile_sam_segmenter(input_px):
    """MobileSAM as the study loads it."""
    return load_segmenter("mobile_sam", WEIGHTS, weights_sha256(), input_px)
