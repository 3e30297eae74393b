"""From the images of a data set to what a shard holds: crops, masks, and where each comes from."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from halfseen.datasets.decoding import read_mask
from halfseen.detectors import caption
from halfseen.geometry import (
    SIZE_PX,
    crop_box,
    crop_window,
    resize_and_crop,
    resize_and_crop_mask,
)
from halfseen.manifest import BOX
from halfseen.masks import (
    MAX_AREA,
    MIN_AREA,
    RefusedError,
    choose_mask,
    clean_mask,
    intersection_over_union,
    mask_shape,
    stability_score,
)
from halfseen.progress import progress_bar
from halfseen.prompts import DRAWN, PROMPTS, View

# The keys of a row of `prompts:` that say how boxes are found, and those that say what is tried.
SEARCH_KEYS = ("detector", "template", "overrides", "box_threshold", "text_threshold")
STEP_KEYS = ("kind", "fallback")


@dataclass(frozen=True)
class Picture:
    """One image on its way into a shard.

    `source` (h, w, 3) and `crop` (224, 224, 3) uint8 RGB, the object's `box` in pixels of the
    source as the manifest has it, or None, the exact mask of the crop (224, 224) bool, or None.
    """

    image_id: str
    label_name: str
    source: np.ndarray
    crop: np.ndarray
    box: tuple[float, float, float, float] | None
    exact_mask: np.ndarray | None

    def box_in_crop(self):
        """The box in pixels of the crop, perhaps beyond it; None where there is none."""
        return None if self.box is None else crop_box(self.box, *self.source.shape[:2])


def picture_of(dataset, row):
    """The Picture of one row of a manifest; ValueError names an image of another shape or type."""
    source = dataset.image(row.image_id)
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:
        raise ValueError(
            f"image {row.image_id!r} is {source.dtype} of shape {source.shape}; "
            "an image is uint8 of shape (height, width, 3), neither 0"
        )
    mask = dataset.mask(row.image_id)
    box = tuple(getattr(row, side) for side in BOX)
    return Picture(
        image_id=row.image_id,
        label_name=row.label_name,
        source=source,
        crop=resize_and_crop(source),
        box=None if np.isnan(box).all() else box,
        exact_mask=None if mask is None else resize_and_crop_mask(mask),
    )


def segment_images(dataset, rows, masks_of, batch_size, what):
    """Crop and segment the images of `rows` of a manifest: a dict of lists for `write_shard`.

    `images` (224, 224, 3) uint8; `masks` and `exact_masks` (224, 224) bool, None where the data set
    has no exact one; `image_ids`; and the columns of `halfseen.shards.PROVENANCE`. `masks_of` is
    SamMasks or GivenMasks. Raises ValueError that names an image of the wrong shape or type.
    """
    parts = []
    with progress_bar(len(rows), what) as progress:
        for start in range(0, len(rows), batch_size):
            pictures = [
                picture_of(dataset, row)
                for row in rows.iloc[start : start + batch_size].itertuples()
            ]
            for picture, found in zip(pictures, masks_of(pictures), strict=True):
                about = {
                    "image_ids": picture.image_id,
                    "images": picture.crop,
                    "exact_masks": picture.exact_mask,
                }
                parts.append(about | found | mask_shape(found["masks"]))
            progress.update(len(pictures))
    return {name: [part[name] for part in parts] for name in parts[0]}


def check_boxes(manifest, prompt):
    """Raise ValueError where a row of `prompts:` asks for boxes and no image of `manifest` has one.

    Where only some lack one, those get the fallback.
    """
    if prompt["kind"] == "box" and manifest[BOX].isna().all(axis=None):
        raise ValueError(
            "a prompt of kind 'box' needs a data set with boxes; choose one of kind 'grid' instead"
        )


@dataclass(frozen=True)
class SamMasks:
    """Masks by SAM: a list of Picture in, a list of masks with their provenance out.

    `prompt` and `second_prompt` are rows of `prompts:`; the second one, if there is one, is asked
    of the same embedding and only to record how far both agree. `segment_on` is "crop", or "source"
    for the whole image, whose mask then takes the same way into the crop as the pixels.
    `detectors` {name of its row: Detector} holds those that prompts of kind `text` ask, in one
    batch, for what an image's class is called; what they find is segmented box by box and united.
    """

    segmenter: object
    prompt: dict
    second_prompt: dict | None = None
    segment_on: str = "crop"
    detectors: dict = field(default_factory=dict)

    def __call__(self, pictures):
        """A dict a picture: `masks` (224, 224) bool and its provenance."""
        views = [self._view(picture) for picture in pictures]
        embeddings = self.segmenter.embed([view.image for view in views])
        found = self._first_masks(pictures, views, embeddings, self.prompt)
        second = [None] * len(found)
        if self.second_prompt:
            second = self._first_masks(pictures, views, embeddings, self.second_prompt)
        return [
            each | {"agreement": _agreement(each, other)}
            for each, other in zip(found, second, strict=True)
        ]

    def _view(self, picture):
        if self.segment_on == "source":
            frame = crop_window(*picture.source.shape[:2])
            return View(picture.source, picture.box, picture.label_name, frame)
        frame = (0.0, 0.0, SIZE_PX, SIZE_PX)
        return View(picture.crop, picture.box_in_crop(), picture.label_name, frame)

    def _first_masks(self, pictures, views, embeddings, prompt):
        if prompt["kind"] == "text":
            views = self._searched(views, prompt)
        triples = zip(pictures, views, embeddings, strict=True)
        return [self._first_mask(*each, prompt) for each in triples]

    def _searched(self, views, prompt):
        """The views with what the prompt's detector finds in each."""
        asked = [
            caption(view.label_name, prompt["template"], prompt["overrides"]) for view in views
        ]
        found = self.detectors[prompt["detector"]].detect(
            [view.image for view in views], asked, prompt["box_threshold"], prompt["text_threshold"]
        )
        return [replace(view, detections=each) for view, each in zip(views, found, strict=True)]

    def _first_mask(self, picture, view, embedding, prompt):
        """What the prompt gives, or else the first of its fallbacks that gives a mask, and why."""
        options = {key: prompt[key] for key in prompt if key not in (*SEARCH_KEYS, *STEP_KEYS)}
        steps = [(prompt["kind"], options)] + [(kind, {}) for kind in prompt["fallback"]]
        reasons = []
        for kind, options in steps:
            try:
                if kind in DRAWN:
                    found = _drawn_mask(kind, picture)
                else:
                    found = self._sam_mask(embedding, view, kind, options)
            except RefusedError as refusal:
                reasons.append(f"{kind}: {refusal}")
            else:
                return found | {"fallback": f"{kind} for {'; '.join(reasons)}" if reasons else ""}
        raise ValueError(
            f"image {picture.image_id!r} gets no mask ({'; '.join(reasons)}); end the prompt's "
            "fallback with disc, empty or full"
        )

    def _sam_mask(self, embedding, view, kind, options):
        prompts = PROMPTS[kind](view, **options)
        objects, refusals = [], []
        for prompt in prompts:
            try:
                objects.append(_Object.chosen(self.segmenter, embedding, prompt, view.frame))
            except RefusedError as refusal:
                refusals.append(str(refusal))
        if not objects:
            raise RefusedError("; ".join(dict.fromkeys(refusals)) or "nothing was found")
        logits = np.max([each.logits for each in objects], axis=0)
        raw = logits > 0
        mask = clean_mask(raw)
        cleaned = 1 - intersection_over_union(raw, mask)
        if self.segment_on == "source":
            mask = resize_and_crop_mask(mask)
        if not MIN_AREA <= mask.mean() <= MAX_AREA:
            raise RefusedError(f"the mask covers {mask.mean():.3f} of the crop")
        worst = min(objects, key=lambda each: each.score)
        return {
            "masks": mask,
            "prompt": _prompt_json(kind, prompts),
            "query": json.dumps([each.query for each in objects]),
            "mask_index": worst.mask_index,
            "score": worst.score,
            "predicted_iou": worst.predicted_iou,
            "stability": stability_score(logits),
            "cleaned": cleaned,
        }


@dataclass(frozen=True)
class GivenMasks:
    """Masks from elsewhere: the data set's own exact ones, or PNG files in `folder`.

    A file is `folder/<image_id>.png`, the id with or without its own suffix, of the source image's
    size; the object is where it is not 0. Neither cleaned nor judged. Raises ValueError that names
    the image whose mask is missing, empty or of another size.
    """

    folder: str | None = None

    def __call__(self, pictures):
        """A dict a picture: `masks` (224, 224) bool and its provenance."""
        return [
            _unjudged(self._mask(picture), "given", {"folder": self.folder}) | {"fallback": ""}
            for picture in pictures
        ]

    def _mask(self, picture):
        mask = self._mask_of_file(picture) if self.folder else picture.exact_mask
        if mask is None:
            raise ValueError(
                f"image {picture.image_id!r} has no mask of its own; a segmenter of kind 'given' "
                "needs one for every image: set its folder, or segment with SAM"
            )
        if not mask.any():
            raise ValueError(f"the given mask of image {picture.image_id!r} shows nothing")
        return mask

    def _mask_of_file(self, picture):
        path = Path(self.folder) / f"{picture.image_id}.png"
        if not path.is_file():
            path = (Path(self.folder) / picture.image_id).with_suffix(".png")
        if not path.is_file():
            raise ValueError(f"image {picture.image_id!r} has no mask: {path} is not there")
        return resize_and_crop_mask(read_mask(path, picture.source.shape[:2]))


@dataclass(frozen=True)
class _Object:
    """The mask that was chosen for one object, its logits (h, w) at the view's size."""

    logits: np.ndarray = field(repr=False)
    query: dict
    mask_index: int
    score: float
    predicted_iou: float

    @classmethod
    def chosen(cls, segmenter, embedding, prompt, frame):
        candidates = segmenter.candidates(embedding, prompt.queries)
        # The choice is made at the decoder's resolution; only the chosen mask is enlarged.
        height, width = np.array(candidates.masks.shape[1:]) / embedding.original_size
        scale = np.array([width, height, width, height])
        index, score = choose_mask(
            candidates.masks,
            candidates.predicted_iou,
            candidates.stability,
            None if prompt.box is None else tuple(scale * prompt.box),
            tuple(scale * frame),
        )
        return cls(
            logits=segmenter.enlarge(embedding, candidates.logits[index]),
            query=candidates.queries[index],
            mask_index=int(candidates.mask_indices[index]),
            score=score,
            predicted_iou=float(candidates.predicted_iou[index]),
        )


def _agreement(found, second):
    """IoU of the masks of two prompts; NaN where only one was asked or one of both was drawn."""
    # A drawn mask says nothing about how sure SAM is.
    if second is None or found["mask_index"] < 0 or second["mask_index"] < 0:
        return np.nan
    return intersection_over_union(found["masks"], second["masks"])


def _drawn_mask(kind, picture):
    box = picture.box_in_crop()
    return _unjudged(DRAWN[kind](SIZE_PX, box), kind, {"box": box})


def _unjudged(mask, kind, about):
    """A mask that SAM had no part in."""
    return {
        "masks": mask,
        "prompt": json.dumps({"kind": kind} | about),
        "query": "[]",
        "mask_index": -1,
        "score": 0.0,
        "predicted_iou": 0.0,
        "stability": 0.0,
        "cleaned": 0.0,
        "agreement": np.nan,
    }


def _prompt_json(kind, prompts):
    """The kind, the objects' boxes, the detector's scores and phrases, where there are any."""
    columns = {
        "boxes": [prompt.box for prompt in prompts],
        "scores": [prompt.detection for prompt in prompts],
        "phrases": [prompt.phrase for prompt in prompts],
    }
    known = {name: values for name, values in columns.items() if None not in values}
    return json.dumps({"kind": kind} | known)
