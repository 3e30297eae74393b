"""What SAM is asked: how a data set's row becomes a prompt for each image."""

import numpy as np

from halfseen.masks import disc

FALLBACK_RADIUS = 0.25


def box_prompt(box, size_px):
    """The data set's own box, in pixels of the crop; filled, it stands in for a refused mask."""
    if box is None:
        raise ValueError(
            "prompt 'box' needs a data set with boxes; choose prompt 'center_point' instead"
        )
    # Half up, not half to even: a box of one pixel or more never becomes empty.
    left, top, right, bottom = (int(value + 0.5) for value in box)
    mask = np.zeros((size_px, size_px), dtype=bool)
    mask[top:bottom, left:right] = True
    return {"box": box}, ("box", mask)


def center_point_prompt(box, size_px):
    """One point at the image's centre; a disc half as wide as it stands in for a refused mask."""
    middle = size_px / 2
    return {"points": [(middle, middle)], "labels": [1]}, (
        "disc",
        disc(size_px, size_px, FALLBACK_RADIUS),
    )


PROMPTS = {"box": box_prompt, "center_point": center_point_prompt}
