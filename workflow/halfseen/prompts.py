"""What SAM is asked: how a data set's row becomes a prompt for each image."""

import numpy as np

from halfseen.masks import disc

FALLBACK_RADIUS = 0.25


def box_prompt(box, size_px):
    """The data set's own box, in pixels of the crop; the box itself stands in for a refused mask."""
    if box is None:
        raise ValueError(
            "prompt 'box' needs a data set with boxes; choose prompt 'center_point' instead"
        )
    left, top, right, bottom = (round(value) for value in box)
    mask = np.zeros((size_px, size_px), dtype=bool)
    mask[top:bottom, left:right] = True
    return {"box": box}, ("box", mask)


def center_point_prompt(box, size_px):
    """One point at the image's centre; a centred disc half as wide as the image stands in for a refused mask."""
    middle = size_px / 2
    return {"points": [(middle, middle)], "labels": [1]}, (
        "disc",
        disc(size_px, size_px, FALLBACK_RADIUS),
    )


PROMPTS = {"box": box_prompt, "center_point": center_point_prompt}
