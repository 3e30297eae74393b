import base64
import io

import numpy as np
import pytest
from PIL import Image

from halfseen.examples import HIDDEN_GREY
from halfseen.pictures import balanced_order, cover, covers_of, photo, shared_covers
from halfseen.variants import KEEP, visible_pixels

VARIANTS = {
    name: {"keep": name, "radius": 0.4 if name in ("center", "border") else None} for name in KEEP
}


def opened(uri):
    """The picture of a data URI, by Pillow."""
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.fixture(scope="module")
def mask():
    rng = np.random.default_rng(0)
    return np.kron(rng.uniform(size=(14, 14)) < 0.4, np.ones((16, 16))).astype(bool)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cover_hides_exactly_what_the_variant_hides(mask, name):
    visible = visible_pixels(VARIANTS[name]["keep"], mask[None], VARIANTS[name]["radius"])[0]
    uri = (covers_of(mask, VARIANTS) | shared_covers(224, VARIANTS))[name]
    image = Image.new("RGBA", (224, 224), (200, 10, 30, 255))
    if uri:
        image.alpha_composite(opened(uri).convert("RGBA"))
    expected = np.where(visible[..., None], (200, 10, 30), HIDDEN_GREY)
    assert (np.asarray(image)[..., :3] == expected).all()


def test_only_what_depends_on_the_mask_is_kept_for_every_image(mask):
    assert covers_of(mask, VARIANTS).keys() == {"foreground", "background"}
    assert shared_covers(224, VARIANTS).keys() == {"everything", "center", "border"}


def test_nothing_covers_what_is_all_visible():
    assert cover(np.ones((224, 224), bool)) is None
    assert shared_covers(224, VARIANTS)["everything"] is None


def test_a_photo_has_its_size_and_nearly_its_colours():
    ramp = np.linspace(0, 255, 224)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 128.0), axis=-1).astype("uint8")
    found = np.asarray(opened(photo(image)).convert("RGB")).astype(int)
    assert found.shape == (224, 224, 3)
    assert np.abs(found - image).mean() < 3


# The order in which images get a place

CLASSES = ["a"] * 10 + ["b"] * 3 + ["c"] * 6


def test_every_beginning_has_as_many_of_each_class_as_there_are():
    order = balanced_order(CLASSES, np.random.default_rng(1))
    assert sorted(order) == list(range(19))
    for length in range(20):
        begun = [CLASSES[place] for place in order[:length]]
        # No class is more than one behind another, unless it is used up.
        counts = {name: begun.count(name) for name in "abc"}
        waiting = [counts[name] for name in "abc" if counts[name] < CLASSES.count(name)]
        assert not waiting or max(counts.values()) - min(waiting) <= 1


def test_the_same_seed_gives_the_same_order_and_another_one_another():
    orders = [balanced_order(CLASSES, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_what_is_marked_comes_first_in_its_class():
    first = np.arange(19) % 2 == 1
    order = balanced_order(CLASSES, np.random.default_rng(1), first)
    for name in "abc":
        marks = [first[place] for place in order if CLASSES[place] == name]
        assert marks == sorted(marks, reverse=True)


def test_no_image_gives_an_empty_order():
    assert balanced_order([], np.random.default_rng(0)).tolist() == []
