import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from halfseen.datasets.dataset import Sample
from halfseen.devices import default_batch_size
from halfseen.encoders import Encoder
from halfseen.extraction import (
    feature_inputs,
    gather_features,
    part_inputs,
    part_of,
    update_features,
    variant_key,
)
from halfseen.features import read_features
from halfseen.manifest import build_manifest, write_manifest

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
        self.network, self.options = None, {}
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

    def means(self, pixels, visible):
        """The mean colour, and the share of the visible pixels."""
        self.encoded.append(len(pixels))
        means = self.value(pixels).mean(dim=(2, 3))
        return torch.cat([means, visible.float().mean(dim=(1, 2))[:, None]], dim=1)

    def update(self, variants=VARIANTS, seed=0, model=MODEL, code="c", batch_size=4):
        """Update the file; how many variants were computed, the checks' few images not counted."""
        self.encoded.clear()
        inputs = feature_inputs(self.shards, self.manifest, model, seed, code)
        rows = (self.path, self.shards, self.manifest, variants, inputs)
        update_features(*rows, self.load, batch_size, what="fake on flat")
        return sum(self.encoded) // N

    def update_parts(self, n_parts, variants=VARIANTS, batch_size=4):
        """Update every part of the file; how many images were encoded of each."""
        counts = []
        for part, (path, rows) in enumerate(self.parts(n_parts, batch_size)):
            self.encoded.clear()
            inputs = part_inputs(self.inputs(), rows)
            files = (path, self.shards, self.manifest.iloc[rows], variants, inputs)
            update_features(*files, self.load, batch_size, what=f"part {part}")
            counts.append(sum(self.encoded))
        return counts

    def parts(self, n_parts, batch_size=4):
        """The path and the rows of every part."""
        rows = [part_of(N, part, n_parts, batch_size) for part in range(n_parts)]
        return [(self.folder / f"part_{n_parts}_{part}.h5", row) for part, row in enumerate(rows)]

    def gather(self, n_parts, variants=VARIANTS, batch_size=4):
        paths = [path for path, _ in self.parts(n_parts)]
        rows = (self.manifest, variants, self.inputs(), batch_size)
        gather_features(self.path, paths, *rows, what="fake on flat")

    def inputs(self):
        return feature_inputs(self.shards, self.manifest, MODEL, 0, "c")

    def load(self):
        network = self.network or self.means
        return Encoder(network, (0.0,) * 3, (1.0,) * 3, "cpu", **self.options)

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


def test_the_number_of_shards_changes_no_byte(study):
    study.update()
    one = study.path.read_bytes()
    study.path.unlink()
    study.shards = study.write_shards(3)
    assert study.update() == 4
    assert study.path.read_bytes() == one


def test_features_hold_when_the_images_are_split_over_other_shards(study):
    study.update()
    one = study.path.read_bytes()
    study.shards = study.write_shards(3)[::-1]
    assert study.update() == 0
    assert study.path.read_bytes() == one


def test_a_recipe_shows_its_view_of_image_and_mask(study):
    # 224 px resized to 256, of which the middle 224 are kept: the outer 14 columns are cut off
    study.options = {"recipe": {"resize_px": 256, "crop_px": 224, "interpolation": "bicubic"}}
    study.update()
    k = np.arange(N)
    assert study.read("original")[:, 0] == pytest.approx(10 * k / 255, abs=1e-6)
    assert study.read("foreground")[:, 3] == pytest.approx(0)  # at most 10 columns, on the left
    assert study.read("background")[:, 3] == pytest.approx(1)
    assert study.read("center")[:, 3] == pytest.approx(np.pi * 0.25**2, abs=1e-3)


def test_another_recipe_recomputes_everything(study):
    study.update()
    recipe = {"resize_px": 256, "crop_px": 224, "interpolation": "bicubic"}
    assert study.update(model=MODEL | {"recipe": recipe}) == 4


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
    "change",
    [
        {"seed": 1},
        {"code": "d"},
        {"model": MODEL | {"sha256": "other"}},
        {"model": MODEL | {"precision": "bfloat16"}},
    ],
)
def test_another_seed_code_weights_file_or_precision_recomputes_everything(study, change):
    study.update()
    assert study.update(**change) == 4


@pytest.mark.parametrize(
    "change", [{"weights": "elsewhere.ckpt"}, {"batch_size": 3}, {"compile": True}]
)
def test_neither_the_place_of_the_weights_nor_how_they_are_run_counts(study, change):
    study.update()
    assert study.update(model=MODEL | change) == 0


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


class Small(nn.Module):
    """A small network of convolution, batch norm and pooling, whose `change` injects a fault."""

    def __init__(self, change=None):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 6, 5, stride=4), nn.BatchNorm2d(6)
        self.change, self.calls = change, 0

    def forward(self, pixels):
        self.calls += 1
        maps = self.norm(self.convolution(pixels)).relu()
        features = maps.mean(dim=(2, 3))
        return features if self.change is None else self.change(self, features)


@pytest.fixture
def small():
    def build(change=None):
        torch.manual_seed(3)
        return Small(change).eval()

    return build


@pytest.fixture
def textured(study):
    """The study with another texture in every image, so that no two encode alike."""
    rng = np.random.default_rng(5)
    images = list(rng.integers(0, 256, (N, 224, 224, 3), dtype=np.uint8))
    masks = rng.random((N, 224, 224)) < 0.5
    path = study.folder / "textured.h5"
    study.shards = [study.write_blank_shard(path, images, masks, [f"i{k}" for k in range(N)])]
    return study


def test_the_size_of_the_batch_changes_no_feature(textured, small):
    textured.network = small()
    textured.update(batch_size=1)
    alone = {name: textured.read(name) for name in VARIANTS}
    assert np.ptp(alone["original"], axis=0).min() > 1e-4
    textured.update(batch_size=64, seed=1)
    for name, features in alone.items():
        assert textured.read(name) == pytest.approx(features, abs=1e-5)


@pytest.mark.parametrize("n_parts", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_the_number_of_jobs_changes_no_byte(textured, small, n_parts, batch_size):
    textured.network = small()
    textured.update(batch_size=batch_size)
    at_once = textured.path.read_bytes()
    textured.path.unlink()
    textured.update_parts(n_parts, batch_size=batch_size)
    textured.gather(n_parts, batch_size=batch_size)
    assert textured.path.read_bytes() == at_once


def test_nor_does_it_where_a_lower_precision_is_told_of(textured, small):
    textured.network, textured.options = small(), {"precision": "bfloat16"}
    textured.update()
    at_once = textured.path.read_bytes()
    textured.path.unlink()
    textured.update_parts(2)
    textured.gather(2)
    assert textured.path.read_bytes() == at_once
    with h5py.File(textured.path) as file:
        assert file["center"].attrs["float32_cosine"] > 0.99


@pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
@pytest.mark.parametrize("n_parts", [1, 2, 3, 8])
def test_parts_are_whole_batches_of_all_images(n, n_parts):
    rows = [part_of(n, part, n_parts, batch_size=8) for part in range(n_parts)]
    assert [k for row in rows for k in range(n)[row]] == list(range(n))
    assert all(row.start % 8 == 0 or row.start == n for row in rows)
    batches = [-(-(row.stop - row.start) // 8) for row in rows]
    assert max(batches) - min(batches) <= 1


def test_without_a_size_parts_are_batches_of_a_cpu_as_of_a_gpu():
    assert part_of(1000, 1, 2, None) == slice(512, 1000)
    assert {default_batch_size(device) for device in ("cpu", "cuda")} == {8, 256}


def test_a_new_variant_is_computed_alone_in_every_part(study):
    original = {"original": VARIANTS["original"]}
    study.update_parts(2, original)
    study.gather(2, original)
    first = study.read("original")
    # 4 and 6 images in three variants, and the checks of the first of them
    checks = [1 + 4 + 1, 1 + 4 + 1]
    assert study.update_parts(2) == [3 * 4 + checks[0], 3 * 6 + checks[1]]
    study.gather(2)
    assert (study.read("original") == first).all()
    assert study.read("center").shape == (N, 4)


def test_a_part_of_other_images_or_inputs_is_refused(study):
    study.update_parts(2)
    (one, _), (two, _) = study.parts(2)
    one.rename(study.folder / "aside.h5")
    two.rename(one)
    (study.folder / "aside.h5").rename(two)
    with pytest.raises(ValueError, match="part_2_0.h5 does not hold variant 'original' of rows 0"):
        study.gather(2)
    study.update_parts(2, {"original": VARIANTS["original"]})
    study.shards = study.write_shards(1, extra_column=1)
    with pytest.raises(ValueError, match="'foreground' of rows 0 to 4 as the manifest, the shards"):
        study.gather(2)
    assert not study.path.exists()


def test_the_order_of_the_images_changes_no_feature(textured, small):
    textured.network = small()
    textured.update()
    before = textured.read("foreground")
    order = np.random.default_rng(1).permutation(N)
    textured.manifest = textured.manifest.iloc[order].reset_index(drop=True)
    textured.update()
    assert textured.read("foreground") == pytest.approx(before[order], abs=1e-5)


def test_without_a_size_the_batch_is_the_device_s(study):
    study.update(batch_size=None)
    assert study.encoded[0] == default_batch_size("cpu") == 8
    assert default_batch_size(torch.device("cuda", 1)) == 256


def in_training_mode(network, features):
    network.norm.train()
    return features


def update_a_buffer(network, features):
    network.norm.running_mean += 0.1 * features.mean()
    return features


def update_a_buffer_late(network, features):
    if network.calls == 3:
        network.norm.num_batches_tracked += 1
    return features


def update_a_weight_behind_autograd(network, features):
    if network.calls == 5:
        network.convolution.bias.data[0] += 1e-7
    return features


def use_statistics_of_the_batch(network, features):
    return features - features.mean(dim=0)


def mix_neighbours_in_the_batch(network, features):
    return features + 0.1 * features.roll(1, dims=0)


def drift(network, features):
    return features + 1e-3 * network.calls


def drift_late(network, features):
    return features + (1.0 if network.calls > 8 else 0.0)


def depend_on_the_place(network, features):
    return features + torch.arange(len(features))[:, None] * 1e-3


FAULTS = {
    in_training_mode: "original': .* looks at the other images of a batch|'norm'; call eval",
    update_a_buffer: "variant 'original': an image alone and in a batch of 4 differ",
    update_a_buffer_late: "extraction changed 1 tensors .* among them 'norm.num_batches_tracked'",
    update_a_weight_behind_autograd: "changed 1 tensors .* among them 'convolution.bias'",
    use_statistics_of_the_batch: "alone and in a batch of 4 differ by .* than 1e-05; .*; take",
    mix_neighbours_in_the_batch: "an image alone and in a batch of 4 differ by",
    drift: "an image alone and in a batch of 4 differ by .* earlier calls",
    drift_late: "first image at the end and at the beginning differ by .* keeps state between",
    depend_on_the_place: "a batch and its reverse differ by .* an image's place in it",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_network_that_is_not_frozen_or_not_alone_with_its_image_is_refused(
    textured, small, fault
):
    textured.network = small(fault)
    with pytest.raises(ValueError, match=f"^fake on flat.*({FAULTS[fault]})"):
        textured.update()
    assert not textured.path.exists()


def test_a_network_left_in_training_mode_is_refused_before_it_encodes(textured, small):
    textured.network = small()
    textured.network.norm.train()
    with pytest.raises(ValueError, match="1 modules .* in training mode, among them 'norm'"):
        textured.update()
    assert textured.network.calls == 0


def short_of_memory(network, largest):
    """`network` on a device that has room for `largest` images."""

    def encode(pixels, visible):
        if len(pixels) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(pixels, visible)

    return encode


def test_batches_are_halved_until_they_fit_and_nothing_is_done_twice(study, capfd):
    study.update()
    enough = study.read("foreground")
    study.network = short_of_memory(study.means, largest=2)
    study.update(seed=1, batch_size=8)
    assert np.array_equal(study.read("foreground"), enough)
    # 4 variants of 10 images; the first batch of 8 backwards; one image, twice.
    assert sum(study.encoded) == 40 + 8 + 2
    assert capfd.readouterr().out.count("out of memory, ") == 2


def test_a_single_image_that_does_not_fit_is_an_error_with_a_remedy(study):
    study.network = short_of_memory(study.means, largest=0)
    with pytest.raises(RuntimeError, match="fake on flat: not even one image .* `precision: bflo"):
        study.update()


def test_a_lower_precision_is_recorded_with_its_difference_to_float32(textured, small, capfd):
    textured.network = small()
    textured.update(batch_size=64)
    exact = {name: textured.read(name) for name in VARIANTS}
    with h5py.File(textured.path) as file:
        assert dict(file["original"].attrs).keys() == {"precision", "variant", "key"}
        assert file["original"].attrs["precision"] == "float32"
    textured.options = {"precision": "bfloat16"}
    textured.update(batch_size=64, model=MODEL | {"precision": "bfloat16"})
    found = textured.read("original")
    with h5py.File(textured.path) as file:
        attributes = dict(file["foreground"].attrs)
    # bfloat16 keeps 8 bits: the features move, but by less than a hundredth.
    assert 1e-5 < attributes["float32_difference"] < 1e-2
    assert attributes["float32_difference"] == pytest.approx(abs(found - exact["original"]).max())
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(exact["original"], axis=1)
    cosines = (found * exact["original"]).sum(axis=1) / lengths
    assert attributes["float32_cosine"] == pytest.approx(cosines.min(), abs=1e-6)
    assert (attributes["precision"], attributes["compared_on"]) == ("bfloat16", "original")
    assert 0 <= attributes["batch_difference"] < 1e-2
    assert "differ by" in capfd.readouterr().out


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile wants a C++ compiler")
def test_a_compiled_network_gives_the_same_features(textured, small):
    textured.network = small()
    textured.update()
    plain = textured.read("foreground")
    textured.options = {"compiled": torch.compile(textured.network)}
    textured.update(seed=1)
    assert textured.read("foreground") == pytest.approx(plain, abs=1e-5)


def test_a_compiled_network_that_differs_is_refused(textured, small):
    textured.network = small()
    textured.options = {"compiled": lambda pixels: textured.network(pixels) + 1e-4}
    message = "with and without the options of its row differ by .*; set `compile: false`"
    with pytest.raises(ValueError, match=message):
        textured.update()


MEASURE_MEMORY = """
import json, re, sys
sys.path.insert(0, {path!r})
import numpy as np
from halfseen.encoders import Encoder
from halfseen.extraction import feature_inputs, update_features
from halfseen.manifest import read_manifest

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024

variants = {{"original": {{"keep": "everything", "radius": None, "fill": 0}}}}
load = lambda: Encoder(lambda pixels, visible: pixels.mean(dim=(2, 3)), (0,) * 3, (1,) * 3, "cpu")
for manifest, shard, out in {jobs!r}:
    manifest = read_manifest(manifest)
    inputs = feature_inputs([shard], manifest, {{}}, 0, "c")
    update_features(out, [shard], manifest, variants, inputs, load, 8, "memory")
    print("peak", peak_mb())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, root, write_blank_shard):
    jobs = []
    for n in (64, 320):
        ids = [f"i{k}" for k in range(n)]
        samples = [Sample(ids[k], "-", "ab"[k % 2], f"g{k}") for k in range(n)]
        manifest = build_manifest(samples, 2, np.random.default_rng(0))
        images = list(np.random.default_rng(n).integers(0, 256, (n, 224, 224, 3), dtype=np.uint8))
        shard = write_blank_shard(tmp_path / f"{n}.h5", images, np.ones((n, 224, 224), bool), ids)
        write_manifest(tmp_path / f"{n}.csv", manifest)
        jobs.append((str(tmp_path / f"{n}.csv"), str(shard), str(tmp_path / f"{n}_features.h5")))
    code = MEASURE_MEMORY.format(path=str(root / "workflow"), jobs=jobs)
    # Blocks of more than 64 KiB go back to the kernel when freed, so that the peak is what is held.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    few, many = (float(mb) for mb in re.findall(r"peak (\S+)", done.stdout))
    # Held at once, the images alone would be 38 MB more.
    assert many - few < 10
