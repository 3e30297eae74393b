"""Quality of MobileSAM's masks on emoji scenes, by prompt and input size: masks.csv."""

import sys
import time
from pathlib import Path

import numpy as np
from show import write_rows

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.datasets.emoji_scenes import EmojiScenes  # noqa: E402
from halfseen.masks import choose_mask, intersection_over_union  # noqa: E402
from halfseen.prompts import PROMPTS  # noqa: E402
from halfseen.segmenters import load_segmenter  # noqa: E402
from halfseen.weights import read_record  # noqa: E402

N_IMAGES = 48

scenes = EmojiScenes(N_IMAGES, 16, background_correlation=0, seed=20230602)
samples = scenes.samples()
weights = ROOT / "results/weights/mobile_sam.ckpt"
sha256 = read_record(weights.with_suffix(".yaml"))["sha256"]
rows = []
for input_px in (256, 512, 1024):
    segmenter = load_segmenter("mobile_sam", weights, sha256, input_px)
    for name, prompt_for in PROMPTS.items():
        found, fallbacks, start = [], 0, time.monotonic()
        for sample in samples:
            prompt, fallback = prompt_for(sample.box, 224)
            logits, scores = segmenter.candidates(scenes.image(sample.image_id)[None], [prompt])
            mask, index, _ = choose_mask(logits[0] > 0, scores[0], fallback)
            fallbacks += index < 0
            found.append(intersection_over_union(mask, scenes.mask(sample.image_id)))
        rows.append(
            {
                "dataset": "emoji_scenes", "segmenter": "mobile_sam", "prompt": name,
                "input_px": input_px, "n": len(samples), "mean_iou": np.mean(found),
                "median_iou": np.median(found), "n_fallback": fallbacks,
                "s_per_image": (time.monotonic() - start) / len(samples),
            }
        )  # fmt: skip
write_rows("masks", rows)
