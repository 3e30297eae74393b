"""Seconds a mask against the plain SamPredictor loop at 1024 px: segmentation.csv.

Same crops, boxes, weights and thread; both sides take turns image by image. The plain loop is
upstream's: the network as its checkpoint has it, the mask of the highest predicted IoU. Goals: a
quarter of its time at no lower IoU; at most 20 % of ours for everything but the encoder.
"""

import time

import numpy as np
from outlined import (
    WEIGHTS,
    mobile_sam_segmenter,
    outlined,
    rows_of,
    shipped_prompts,
    weights_sha256,
)  # fmt: skip
from segment_anything import SamPredictor
from show import COLUMNS, write_rows

from halfseen.devices import keep_freed_memory, use_threads
from halfseen.masks import clip_box, intersection_over_union
from halfseen.segmentation import SamMasks, picture_of
from halfseen.segmenters import upstream_mobile_sam
from halfseen.weights import load_state_dict

N_IMAGES = 24


class Stopwatch:
    """A function that adds up the seconds of its calls."""

    def __init__(self, call):
        self.call, self.seconds = call, 0.0

    def __call__(self, *arguments):
        start = time.perf_counter()
        result = self.call(*arguments)
        self.seconds += time.perf_counter() - start
        return result


def plain_mask(picture):
    """The mask of the highest predicted IoU by segment-anything's own predictor."""
    predictor.set_image(picture.crop)
    box = np.array(clip_box(picture.box_in_crop(), *picture.crop.shape[:2]))
    masks, predicted_iou, _ = predictor.predict(box=box, multimask_output=True)
    return masks[predicted_iou.argmax()]


def our_mask(picture):
    """The mask as the study makes it."""
    return masks_of([picture])[0]["masks"]


keep_freed_memory()
use_threads(1)
state_dict = load_state_dict(WEIGHTS, weights_sha256())
predictor = SamPredictor(upstream_mobile_sam(state_dict, 1024))
segmenter = mobile_sam_segmenter(512)
masks_of = SamMasks(segmenter, shipped_prompts()["box"])
name = "ecssd"
dataset = outlined(name)
if dataset is None:
    name, dataset = "emoji_scenes", outlined("emoji_scenes")
pictures = [picture_of(dataset, row) for row in rows_of(dataset, N_IMAGES).itertuples()]
sides = {"ours": our_mask, "peer": plain_mask}
for side in sides.values():
    side(pictures[0])
encode = segmenter.embed = Stopwatch(segmenter.embed)
watches = {side: Stopwatch(call) for side, call in sides.items()}
iou = {side: [] for side in sides}
for number, picture in enumerate(pictures):
    for side in list(sides)[:: 1 - 2 * (number % 2)]:
        mask = watches[side](picture)
        iou[side].append(intersection_over_union(mask, picture.exact_mask))

n, ours_s, peer_s = len(pictures), watches["ours"].seconds, watches["peer"].seconds
ours_iou, peer_iou = np.mean(iou["ours"]), np.mean(iou["peer"])
decoding_s = ours_s - encode.seconds
fast_and_good = ours_s / peer_s <= 0.25 and ours_iou >= peer_iou
more = {"n": n, "ours_iou": ours_iou, "peer_iou": peer_iou}
case = f"a mask of {name}, MobileSAM at 512 px"
measured = [
    (case, "SamPredictor at 1024 px", ours_s, peer_s, "<= 0.25, IoU no lower", fast_and_good),
    ("all but the encoder", "our time", decoding_s, ours_s, "<= 0.2", decoding_s / ours_s <= 0.2),
]
rows = [
    ("segmentation", case, peer, one / n, other / n, one / other, goal, holds)
    for case, peer, one, other, goal, holds in measured
]
write_rows("segmentation", [dict(zip(COLUMNS, row, strict=True)) | more for row in rows])
