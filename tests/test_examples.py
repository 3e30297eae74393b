import numpy as np
import pandas as pd
import pytest

from halfseen.examples import HIDDEN_GREY, example_variants

VARIANTS = {
    "original": {"keep": "everything", "radius": None},
    "foreground": {"keep": "foreground", "radius": None},
}


@pytest.fixture
def shard(tmp_path, write_blank_shard):
    masks = np.zeros((6, 224, 224), bool)
    masks[:, :10] = True
    images = [np.full((224, 224, 3), 20 * k, np.uint8) for k in range(6)]
    return write_blank_shard(tmp_path / "0.h5", images, masks, [f"i{k}" for k in range(6)])


def test_examples_are_of_different_classes_and_show_what_each_variant_keeps(shard):
    names = list("aabbcc")
    manifest = pd.DataFrame({"image_id": [f"i{k}" for k in range(6)], "label_name": names})
    rng = np.random.default_rng(0)
    examples = example_variants([shard], manifest, VARIANTS, 3, rng)
    assert {name for name, _ in examples} == set("abc")
    for name, images in examples:
        brightness = images["original"][0, 0, 0]
        assert names[brightness // 20] == name
        assert (images["original"] == brightness).all()
        assert (images["foreground"][:10] == brightness).all()
        assert (images["foreground"][10:] == HIDDEN_GREY).all()
