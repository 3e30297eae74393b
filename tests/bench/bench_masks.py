"""Quality of MobileSAM's masks on emoji scenes, by prompt and input size: masks.csv."""

import sys
import time
from pathlib import Path

import numpy as np
from show import write_rows

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.datasets.emoji_scenes import EmojiScenes  # noqa: E402
from halfseen.manifest import build_manifest  # noqa: E402
from halfseen.masks import intersection_over_union  # noqa: E402
from halfseen.prompts import PROMPTS  # noqa: E402
from halfseen.segmenters import load_segmenter  # noqa: E402
from halfseen.shards import segment_images  # noqa: E402
from halfseen.weights import read_record  # noqa: E402

N_IMAGES = 48

scenes = EmojiScenes(N_IMAGES, 16, background_correlation=0, seed=20230602)
manifest = build_manifest(scenes.samples(), 2, np.random.default_rng(0))
weights = ROOT / "results/weights/mobile_sam.ckpt"
sha256 = read_record(weights.with_suffix(".yaml"))["sha256"]
rows = []
for input_px in (256, 512, 1024):
    segmenter = load_segmenter("mobile_sam", weights, sha256, input_px)
    for prompt in PROMPTS:
        start = time.monotonic()
        shard = segment_images(scenes, manifest, segmenter, prompt, 1, f"{prompt} at {input_px} px")
        seconds = time.monotonic() - start
        iou = list(map(intersection_over_union, shard["masks"], shard["exact_masks"]))
        rows.append(
            {
                "dataset": "emoji_scenes", "segmenter": "mobile_sam", "prompt": prompt,
                "input_px": input_px, "n": len(iou), "mean_iou": np.mean(iou),
                "median_iou": np.median(iou), "n_fallback": sum(map(bool, shard["fallback"])),
                "s_per_image": seconds / len(iou),
            }
        )  # fmt: skip
write_rows("masks", rows)
