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
from halfseen.extraction import encode_variants, part_of, require_same_images
from halfseen.features import gather_features, part_key, read_features, write_features
from halfseen.manifest import build_manifest, write_manifest
from halfseen.study.artifacts import digest

VARIANTS = {
    "original": {"keep": "everything", "radius": None, "fill": 0},
    "foreground": {"keep": "foreground", "radius": None, "fill": 0},
    "background": {"keep": "background", "radius": None, "fill": 0},
    "center": {"keep": "center", "radius": 0.25, "fill": 0},
}
N = 10
WHOLE = slice(0, N)


def keys_of(variants, code="c"):
    """A key for each variant, as a study gives them: of its row and of some code."""
    return {name: digest([row, code]) for name, row in variants.items()}


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

    def update(self, variants=VARIANTS, code="c", batch_size=4, path=None):
        """Write the file; how many variants were computed, the checks' few images not counted."""
        self.encoded.clear()
        self.write(path or self.path, variants, code, batch_size)
        return sum(self.encoded) // N

    def write(self, path, variants=VARIANTS, code="c", batch_size=4, rows=None):
        """Write the file, or a part of it."""
        ids = self.manifest.image_id.tolist()
        require_same_images(self.shards, ids)
        ids = ids[rows or slice(None)]
        encode = encode_variants(self.shards, ids, self.load, batch_size, "fake on flat")
        keys = keys_of(variants, code)
        write_features(path, digest(keys), keys, variants, self.manifest, encode, rows)

    def update_parts(self, n_parts, variants=VARIANTS, batch_size=4):
        """Write every part of the file; how many images were encoded of each."""
        counts = []
        for path, rows in self.parts(n_parts, batch_size):
            self.encoded.clear()
            self.write(path, variants, "c", batch_size, rows)
            counts.append(sum(self.encoded))
        return counts

    def parts(self, n_parts, batch_size=4):
        """The path and the rows of every part."""
        rows = [part_of(N, part, n_parts, batch_size) for part in range(n_parts)]
        return [(self.folder / f"part_{n_parts}_{part}.h5", row) for part, row in enumerate(rows)]

    def gather(self, n_parts, variants=VARIANTS, batch_size=4):
        paths, rows = zip(*self.parts(n_parts, batch_size), strict=True)
        keys = keys_of(variants)
        gather_features(self.path, digest(keys), keys, variants, self.manifest, paths, rows)

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


def test_a_recipe_shows_its_view_of_image_and_mask(study):
    # 224 px resized to 256, of which the middle 224 are kept: the outer 14 columns are cut off
    study.options = {"recipe": {"resize_px": 256, "crop_px": 224, "interpolation": "bicubic"}}
    study.update()
    k = np.arange(N)
    assert study.read("original")[:, 0] == pytest.approx(10 * k / 255, abs=1e-6)
    assert study.read("foreground")[:, 3] == pytest.approx(0)  # at most 10 columns, on the left
    assert study.read("background")[:, 3] == pytest.approx(1)
    assert study.read("center")[:, 3] == pytest.approx(np.pi * 0.25**2, abs=1e-3)


def test_what_an_earlier_file_holds_under_its_key_is_taken_over(study):
    study.update({"original": VARIANTS["original"]}, path=study.folder / "earlier.h5")
    assert study.update() == 3
    taken = study.read("original")
    (study.folder / "earlier.h5").unlink()
    study.path.unlink()
    assert study.update() == 4
    assert (study.read("original") == taken).all()
    assert study.update({"center": VARIANTS["center"]}, path=study.folder / "fewer.h5") == 0


def test_nothing_is_taken_from_a_file_of_other_code_or_of_other_images(study):
    study.update(path=study.folder / "earlier.h5")
    assert study.update(code="d") == 4
    study.path.unlink()
    order = [1, 0, *range(2, N)]
    study.manifest = study.manifest.iloc[order].reset_index(drop=True)
    assert study.update() == 4


def test_a_damaged_earlier_file_is_passed_over_and_named(study, capfd):
    study.update(path=study.folder / "earlier.h5")
    whole = (study.folder / "earlier.h5").read_bytes()
    (study.folder / "earlier.h5").write_bytes(whole[: len(whole) // 2])
    assert study.update() == 4
    assert "earlier.h5 cannot be read" in capfd.readouterr().out


def test_a_file_of_another_key_is_refused_and_both_keys_are_named(study):
    study.update()
    own, other = digest(keys_of(VARIANTS)), digest("other")
    assert read_features(study.path, "center", study.manifest, own).shape == (N, 4)
    with pytest.raises(ValueError, match=f"its key is {own}, {other} is expected; remove it"):
        read_features(study.path, "center", study.manifest, other)


def test_a_changed_radius_computes_that_variant_only(study):
    study.update(path=study.folder / "earlier.h5")
    assert study.update(VARIANTS | {"center": VARIANTS["center"] | {"radius": 0.3}}) == 1


def test_non_finite_representations_are_refused_and_leave_the_old_file(study):
    study.update()
    before = study.path.read_bytes()
    study.value = lambda pixels: pixels / pixels
    with pytest.raises(ValueError, match="1 rows of variant 'original' are not finite.*'i0'"):
        study.update(code="d")
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
    with h5py.File(study.path) as file:
        keys = {name: group.attrs["key"] for name, group in file.items()}
        assert file.attrs["key"] == digest(keys)
    assert keys == keys_of(VARIANTS)


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
    textured.update(batch_size=64, code="d")
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


def test_a_new_variant_is_computed_alone_in_every_part_from_one_file_or_from_parts(study):
    original = {"original": VARIANTS["original"]}
    study.update(original)
    first = study.read("original")
    # 4 and 6 images in three variants, and the checks of the first of them
    counts = [3 * 4 + 1 + 4 + 1, 3 * 6 + 1 + 4 + 1]
    assert study.update_parts(2) == counts
    study.gather(2)
    assert (study.read("original") == first).all()
    assert study.read("center").shape == (N, 4)
    study.path.unlink()
    assert study.update_parts(2) == [0, 0]


def test_a_part_of_other_rows_or_keys_is_refused(study):
    study.update_parts(2)
    (one, _), (two, _) = study.parts(2)
    one.rename(study.folder / "aside.h5")
    two.rename(one)
    (study.folder / "aside.h5").rename(two)
    with pytest.raises(ValueError, match="part_2_0.h5 does not hold variant 'original' of rows"):
        study.gather(2)
    assert not study.path.exists()


def test_the_key_of_a_part_is_that_of_its_rows():
    assert part_key("k", None) == "k"
    assert len({"k", *(part_key("k", slice(*ends)) for ends in ((0, 4), (4, 8), (0, 8)))}) == 4


def test_the_order_of_the_images_changes_no_feature(textured, small):
    textured.network = small()
    textured.update()
    before = textured.read("foreground")
    textured.path.unlink()
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
    study.update(code="d", batch_size=8)
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
    textured.update(batch_size=64, code="d")
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
    textured.update(code="d")
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
from halfseen.extraction import encode_variants
from halfseen.features import write_features
from halfseen.manifest import read_manifest

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024

variants = {{"original": {{"keep": "everything", "radius": None, "fill": 0}}}}
load = lambda: Encoder(lambda pixels, visible: pixels.mean(dim=(2, 3)), (0,) * 3, (1,) * 3, "cpu")
for manifest, shard, out in {jobs!r}:
    manifest = read_manifest(manifest)
    encode = encode_variants([shard], manifest.image_id.tolist(), load, 8, "memory")
    write_features(out, "k", {{"original": out}}, variants, manifest, encode)
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
