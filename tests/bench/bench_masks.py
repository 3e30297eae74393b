"""Quality of MobileSAM's masks on real outlines and drawn scenes, by prompt: masks.csv.

The masks are made by the code of the study. ECSSD and Caltech-101 are read below the folder that
HALFSEEN_DATA names and left out where it does not. Every image is encoded once and that time
counted for each prompt.
"""

import time

import numpy as np
import pandas as pd
from outlined import mobile_sam_segmenter, outlined, rows_of, shipped_prompts
from show import write_rows

from halfseen.devices import keep_freed_memory, use_threads
from halfseen.masks import intersection_over_union
from halfseen.segmentation import SamMasks, segment_images

INPUT_PX = 512
ASKED = {
    "ecssd": ["box", "grid", "center_point"],
    "caltech101": ["box", "grid", "center_point"],
    "emoji_scenes": ["box", "grid", "center_point"],
}


class Remembering:
    """A segmenter that encodes each image once, whatever it is asked later, and counts the time."""

    def __init__(self, segmenter):
        self.segmenter, self.known, self.seconds = segmenter, {}, 0.0

    def embed(self, images):
        """The embeddings of a batch of one image."""
        (image,) = images
        key = image.tobytes()
        if key not in self.known:
            start = time.perf_counter()
            (self.known[key],) = self.segmenter.embed(images)
            self.seconds += time.perf_counter() - start
        return [self.known[key]]

    def __getattr__(self, name):
        return getattr(self.segmenter, name)


keep_freed_memory()
use_threads(1)
segmenter, prompts, rows = mobile_sam_segmenter(INPUT_PX), shipped_prompts(), []
for name, asked in ASKED.items():
    dataset = outlined(name)
    if dataset is None:
        continue
    images, remembering = rows_of(dataset), Remembering(segmenter)
    for prompt in asked:
        before, start = remembering.seconds, time.perf_counter()
        masks_of = SamMasks(remembering, prompts[prompt])
        shard = segment_images(dataset, images, masks_of, 1, f"{name}, {prompt}")
        decoding = time.perf_counter() - start - (remembering.seconds - before)
        iou = list(map(intersection_over_union, shard["masks"], shard["exact_masks"]))
        rows.append(
            {
                "dataset": name, "segmenter": "mobile_sam", "prompt": prompt,
                "input_px": INPUT_PX, "n": len(iou), "mean_iou": np.mean(iou),
                "median_iou": np.median(iou), "n_fallback": sum(map(bool, shard["fallback"])),
                "s_per_image": (remembering.seconds + decoding) / len(iou),
            }
        )  # fmt: skip
        write_rows("masks", rows)
print(pd.DataFrame(rows).round(3).to_markdown(index=False))
