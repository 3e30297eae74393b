"""What SAM is asked about an image: how a row of `prompts:` becomes queries, and what stands in."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from halfseen.masks import RefusedError, clip_box, disc, grow_box, pixels_of_box

DISC_RADIUS = 0.25


@dataclass(frozen=True)
class View:
    """One image as SAM sees it, and what is known of it.

    `image` (h, w, 3) uint8 RGB; `box` (left, top, right, bottom) of the object in its pixels as the
    data set gives it, so perhaps outside the image or not finite, None where there is none; the
    name of its class; the `frame` that the study's crop shows of it, which is what matters where
    nothing is known of the object's place; and the `Detections` of a detector that was asked for
    the class, None if none was.
    """

    image: np.ndarray
    box: tuple[float, float, float, float] | None
    label_name: str
    frame: tuple[float, float, float, float]
    detections: object = None

    def usable_box(self):
        """The box inside the image; raises RefusedError where there is none."""
        if self.box is None:
            raise RefusedError("the data set gives no box")
        return clip_box(self.box, *self.image.shape[:2])


@dataclass(frozen=True)
class Prompt:
    """What SAM is asked about one object: all queries' masks are candidates for its one mask.

    A query is {"box": (left, top, right, bottom)}, {"points": (m, 2), "labels": (m,)} or
    {"points_per_side": n}, which asks SAM's automatic mask generator, all in pixels of the view.
    `box` is where the object is known to be, for the choice among the candidates; `detection` the
    detector's score of that box and `phrase` the words that it answers, None where the box is no
    detection.
    """

    queries: list[dict]
    box: tuple[float, float, float, float] | None = None
    detection: float | None = None
    phrase: str | None = None


def box_prompt(view, jitter=()):
    """The data set's own box, and the box grown by each share `jitter` of its sides at every side.

    A negative share shrinks it. The grown boxes only add candidates; the choice goes by the box.
    """
    box = view.usable_box()
    return [Prompt(_box_queries(view, box, jitter), box)]


def text_prompt(view, jitter=()):
    """A prompt for each box that the detector found for the name of the class, jittered likewise.

    Boxes of less than a pixel are left out; raises RefusedError where none is left.
    """
    prompts = []
    for box, score, phrase in zip(*view.detections, strict=True):
        with suppress(RefusedError):
            box = clip_box([float(side) for side in box], *view.image.shape[:2])
            prompts.append(Prompt(_box_queries(view, box, jitter), box, float(score), phrase))
    if not prompts:
        raise RefusedError(f"the detector found no {view.label_name!r}")
    return prompts


def center_point_prompt(view):
    """One point at the frame's centre."""
    return [Prompt(_point_queries(view.frame, 1))]


def grid_prompt(view, points_per_side=3, frame=(0.0, 0.1)):
    """A grid of points, each a query, and the view's frame inset by each share `frame` as a box.

    The frames find an object that fills the picture, of which a point finds a part.
    """
    frames = [{"box": grow_box(view.frame, -share)} for share in frame]
    return [Prompt(_point_queries(view.frame, points_per_side) + frames)]


def automatic_prompt(view, points_per_side=16):
    """Everything that SAM's automatic mask generator finds from a grid of points."""
    return [Prompt([{"points_per_side": points_per_side}])]


# One function a kind: (view, **options) -> a Prompt for each object; their masks are united.
PROMPTS = {
    "box": box_prompt,
    "text": text_prompt,
    "center_point": center_point_prompt,
    "grid": grid_prompt,
    "automatic": automatic_prompt,
}


def filled_box(size_px, box):
    """A mask (size_px, size_px) of the whole box; raises RefusedError where it cannot be used."""
    if box is None:
        raise RefusedError("the data set gives no box")
    left, top, right, bottom = pixels_of_box(clip_box(box, size_px, size_px), size_px, size_px)
    mask = np.zeros((size_px, size_px), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def centered_disc(size_px, box):
    """A mask of the central disc that is half as wide as the image."""
    return disc(size_px, size_px, DISC_RADIUS)


def empty(size_px, box):
    """A mask of nothing: all is background."""
    return np.zeros((size_px, size_px), dtype=bool)


def full(size_px, box):
    """A mask of everything: all is object."""
    return np.ones((size_px, size_px), dtype=bool)


# What is drawn where SAM gives no mask: (size of the crop, box in the crop or None) -> mask.
DRAWN = {"filled_box": filled_box, "disc": centered_disc, "empty": empty, "full": full}


def _box_queries(view, box, jitter):
    height, width = view.image.shape[:2]
    queries = [{"box": box}]
    for share in jitter:
        left, top, right, bottom = grow_box(box, share)
        inside = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        queries.append({"box": inside})
    return queries


def _point_queries(frame, points_per_side):
    left, top, right, bottom = frame
    steps = np.arange(1, points_per_side + 1) / (points_per_side + 1)
    return [
        {
            "points": [(float(left + x * (right - left)), float(top + y * (bottom - top)))],
            "labels": [1],
        }
        for y in steps
        for x in steps
    ]
