import h5py
import numpy as np
import pytest
import torch

from halfseen.datasets.dataset import Sample
from halfseen.encoders import Encoder
from halfseen.extraction import feature_inputs, update_features, variant_key
from halfseen.features import read_features
from halfseen.manifest import build_manifest

VARIANTS = {
    "original": {"keep": "everything", "radius": None, "fill": 0},
    "foreground": {"keep": "foreground", "radius": None, "fill": 0},
    "background": {"keep": "background", "radius": None, "fill": 0},
    "center": {"keep": "center", "radius": 0.25, "fill": 0},
}
MODEL = {"loader": "fake", "sha256": "abc", "weights": "somewhere/file.ckpt"}
N = 10


@pytest.fixture
def manifest():
    samples = [Sample(f"i{k}", "-", "ab"[k % 2], f"g{k}") for k in range(N)]
    return build_manifest(samples, 2, np.random.default_rng(0))


@pytest.fixture
def study(manifest, tmp_path, write_blank_shard):
    return Study(manifest, tmp_path, write_blank_shard)


class Study:
    """Shards of ten flat images: image k of brightness 10 k, its k + 1 left columns masked."""

    def __init__(self, manifest, folder, write_blank_shard):
        self.manifest, self.folder, self.write_blank_shard = manifest, folder, write_blank_shard
        self.path = folder / "features.h5"
        self.encoded = []
        self.value = lambda pixels: pixels
        self.shards = self.write_shards(1)

    def write_shards(self, count, extra_column=0):
        paths = []
        for number in range(count):
            rows = range(number, N, count)
            masks = np.zeros((len(rows), 224, 224), bool)
            for mask, k in zip(masks, rows, strict=True):
                mask[:, : k + 1 + extra_column] = True
            images = [np.full((224, 224, 3), 10 * k, np.uint8) for k in rows]
            path = self.folder / f"{count}_{extra_column}_{number}.h5"
            paths.append(self.write_blank_shard(path, images, masks, [f"i{k}" for k in rows]))
        return paths

    def load(self):
        def network(pixels, visible):
            self.encoded.append(len(pixels))
            means = self.value(pixels).mean(dim=(2, 3))
            return torch.cat([means, visible.float().mean(dim=(1, 2))[:, None]], dim=1)

        return Encoder(network, (0.0,) * 3, (1.0,) * 3, "cpu")

    def update(self, variants=VARIANTS, seed=0, model=MODEL, code="c"):
        self.encoded.clear()
        inputs = feature_inputs(self.shards, self.manifest, model, seed, code)
        rows = (self.path, self.shards, self.manifest, variants, inputs)
        update_features(*rows, self.load, batch_size=4, what="test")
        return sum(self.encoded) // N

    def read(self, variant):
        return read_features(self.path, variant, self.manifest)


def test_every_image_gets_its_own_row_in_the_order_of_the_manifest(study):
    assert study.update() == 4
    k = np.arange(N)
    assert study.read("original")[:, 0] == pytest.approx(10 * k / 255, abs=1e-6)
    assert study.read("foreground")[:, 3] == pytest.approx((k + 1) / 224, abs=1e-6)
    assert study.read("foreground")[:, 0] == pytest.approx(10 * k / 255 * (k + 1) / 224, abs=1e-6)


def test_complementary_variants_add_up_to_the_original(study):
    study.update()
    together = study.read("foreground") + study.read("background")
    assert together == pytest.approx(study.read("original"), abs=1e-6)


def test_the_number_of_shards_changes_no_row(study):
    study.update()
    one = study.read("foreground")
    study.shards = study.write_shards(3)
    study.update()
    assert np.array_equal(study.read("foreground"), one)


def test_nothing_is_computed_twice(study):
    study.update()
    assert study.update() == 0


def test_a_new_variant_is_computed_alone(study):
    study.update({"original": VARIANTS["original"]})
    assert study.update(VARIANTS) == 3


def test_variants_of_another_study_are_kept(study):
    study.update(VARIANTS)
    study.update({"original": VARIANTS["original"]})
    assert study.update(VARIANTS) == 0


def test_a_changed_radius_computes_that_variant_only(study):
    study.update()
    assert study.update(VARIANTS | {"center": VARIANTS["center"] | {"radius": 0.3}}) == 1


def test_changed_masks_recompute_what_looks_at_masks(study):
    study.update()
    study.shards = study.write_shards(1, extra_column=1)
    assert study.update() == 2


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"code": "d"}, {"model": MODEL | {"sha256": "other"}}]
)
def test_another_seed_code_or_weights_file_recomputes_everything(study, change):
    study.update()
    assert study.update(**change) == 4


def test_the_place_of_the_weights_does_not_count(study):
    study.update()
    assert study.update(model=MODEL | {"weights": "elsewhere.ckpt"}) == 0


def test_changed_labels_recompute_everything(study):
    study.update()
    study.manifest = study.manifest.assign(label=1 - study.manifest.label)
    assert study.update() == 4


def test_non_finite_representations_are_refused_and_leave_the_old_file(study):
    study.update()
    before = study.path.read_bytes()
    study.value = lambda pixels: pixels / pixels
    with pytest.raises(ValueError, match="1 rows of variant 'original' are not finite.*'i0'"):
        study.update(seed=5)
    assert study.path.read_bytes() == before


def test_shards_without_an_image_of_the_manifest_are_refused(study):
    study.shards = study.write_shards(2)[:1]
    with pytest.raises(ValueError, match="the shards lack 5 images of the manifest.*'i1'"):
        study.update()


def test_shards_with_an_unknown_image_are_refused(study):
    study.manifest = study.manifest.iloc[1:].reset_index(drop=True)
    with pytest.raises(ValueError, match="images that the manifest lacks, among them 'i0'"):
        study.update()


def test_reading_with_another_manifest_is_refused(study):
    study.update()
    shuffled = study.manifest.iloc[::-1].reset_index(drop=True)
    with pytest.raises(ValueError, match="does not hold the manifest's images"):
        read_features(study.path, "original", shuffled)


def test_reading_a_variant_that_is_not_there_names_those_that_are(study):
    study.update()
    with pytest.raises(ValueError, match="no variant 'centre', only .*'center'"):
        study.read("centre")


def test_each_group_carries_its_key(study):
    study.update()
    inputs = feature_inputs(study.shards, study.manifest, MODEL, 0, "c")
    with h5py.File(study.path) as file:
        keys = {name: group.attrs["key"] for name, group in file.items()}
    assert keys == {name: variant_key(inputs, row) for name, row in VARIANTS.items()}
    assert len(set(keys.values())) == 4
