import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import halfseen.near_duplicates
from halfseen.datasets.kinds import open_dataset
from halfseen.near_duplicates import merged_groups, near_duplicates, perceptual_hashes, thumbnail

SIDES = (32, 96)


def picture(seed, height=300, width=400):
    """An image with structure of every size, of its own."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(height, width)), size) * size for size in (2, 8, 30)]
    return grey_image(128 + 50 * unit(sum(layers)))


def unit(grey):
    return (grey - grey.mean()) / grey.std()


def grey_image(grey):
    return np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def found(images, **keywords):
    pairs = near_duplicates([thumbnail(image) for image in images], **keywords)
    return list(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))


def resized(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def in_jpeg(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "copy.jpg", quality=40)
    return np.asarray(Image.open(tmp_path / "copy.jpg"))


@pytest.mark.parametrize("side", SIDES)
def test_copies_are_found_however_they_were_saved(side, tmp_path):
    whole = picture(0, 320, 430) if side == 96 else resized(picture(0), 43, 32)
    tall, wide = (length * 31 // 32 for length in whole.shape[:2])
    original = whole[:tall, :wide]
    brighter = np.clip(original * 0.7 + 60, 0, 255).astype(np.uint8)
    shifted = whole[-tall:, -wide:]
    copies = [
        original,
        in_jpeg(original, tmp_path),
        brighter,
        resized(original, 2 * wide, 2 * tall),
        shifted,
    ]
    pairs = found([*copies, *(picture(seed) for seed in range(1, 20))])
    assert set(pairs) >= {(0, 1), (0, 2), (0, 3), (0, 4)}
    assert {place for pair in pairs for place in pair} == {0, 1, 2, 3, 4}


def test_different_pictures_are_no_pair():
    assert found([picture(seed) for seed in range(60)]) == []


def test_small_and_large_copies_are_compared_at_32_px():
    large = picture(3)
    small = resized(large, 64, 48)
    assert thumbnail(large).shape == (96, 96)
    assert thumbnail(small).shape == (32, 32)
    assert found([large, picture(4), small]) == [(0, 2)]


def test_pictures_that_differ_only_in_detail_are_told_apart_where_there_are_pixels():
    coarse = 128 + 40 * unit(gaussian_filter(np.random.default_rng(6).normal(size=(96, 96)), 4))
    noise = [60 * np.random.default_rng(seed).normal(size=(96, 96)) for seed in (7, 8)]
    fine = [grey_image(coarse + one) for one in noise]
    small = [image.reshape(32, 3, 32, 3, 3).mean(axis=(1, 3)).astype(np.uint8) for image in fine]
    assert found(fine) == []
    assert found(small) == [(0, 1)]


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_images_of_one_colour_have_no_pair(shade):
    flat = np.full((120, 90, 3), shade, np.uint8)
    faint = flat ^ np.random.default_rng(0).integers(2, size=flat.shape, dtype=np.uint8)
    assert found([flat, flat, faint, faint, picture(0), picture(0)]) == [(4, 5)]
    assert found([flat, flat]) == []
    assert found([]) == []


@pytest.mark.parametrize("block", [1, 7, 50, 2048])
def test_blocks_and_threads_do_not_change_what_is_found(monkeypatch, block):
    images = [picture(seed % 30) for seed in range(60)]
    expected = [(seed, seed + 30) for seed in range(30)]
    monkeypatch.setattr(halfseen.near_duplicates, "BLOCK", block)
    assert found(images) == expected
    assert found(images, n_threads=2) == expected


def test_every_pair_of_hashes_is_compared(monkeypatch):
    hashes = np.random.default_rng(0).integers(2**63, size=300, dtype=np.uint64)
    hashes[250] = hashes[3] ^ np.uint64(0b1011)
    monkeypatch.setattr(halfseen.near_duplicates, "BLOCK", 64)
    a, b, distance = halfseen.near_duplicates._close_hashes(hashes, 22)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(300, 8), axis=1)
    expected = {
        (i, j): int((bits[i] != bits[j]).sum())
        for i in range(300)
        for j in range(i + 1, 300)
        if (bits[i] != bits[j]).sum() <= 22
    }
    assert dict(zip(zip(a.tolist(), b.tolist(), strict=True), distance.tolist(), strict=True)) == (
        expected
    )
    assert expected[3, 250] == 3


def test_the_hash_ignores_brightness_and_contrast_and_has_63_bits():
    images = np.stack([thumbnail(resized(picture(seed), 32, 32)) for seed in range(40)])
    hashes = perceptual_hashes(images)
    np.testing.assert_array_equal(perceptual_hashes(0.5 * images + 30), hashes)
    np.testing.assert_array_equal(np.bitwise_count(hashes), 31)  # the 32nd of 63 is the median
    inverse = np.bitwise_count(hashes ^ perceptual_hashes(255 - images))
    np.testing.assert_array_equal(inverse, 62)


def correlation_by_hand(one, other):
    """The oracle of the shifted correlation: every shift in turn, by numpy's corrcoef."""
    shift = len(one) // 8
    side = len(one) - 2 * shift
    patch = one[shift : shift + side, shift : shift + side].ravel()
    return max(
        np.corrcoef(patch, other[y : y + side, x : x + side].ravel())[0, 1]
        for y in range(2 * shift + 1)
        for x in range(2 * shift + 1)
    )


@pytest.mark.parametrize("side", SIDES)
def test_the_correlation_is_the_best_over_all_shifts_both_ways(monkeypatch, side):
    module = halfseen.near_duplicates
    monkeypatch.setattr(module, "FAINT", 0)
    images = np.stack([picture(seed, side, side)[..., 0] for seed in range(4)]).astype(np.float32)
    images[3] = np.roll(images[0], (2, -3), axis=(0, 1))
    a, b = np.array([0, 0, 1, 2]), np.array([1, 3, 3, 3])
    detail = gaussian_filter(images, (0, 0.5, 0.5)) - gaussian_filter(images, (0, 3, 3))
    expected = [
        max(correlation_by_hand(detail[i], detail[j]), correlation_by_hand(detail[j], detail[i]))
        for i, j in zip(a, b, strict=True)
    ]
    correlation = module._shifted_correlation(images, a, b, 1)
    np.testing.assert_allclose(correlation, expected, atol=1e-4)
    assert correlation[1] > 0.9


def test_groups_that_share_a_pair_become_one_and_keep_the_first_s_name():
    groups = ["d", "d", "c", "b", "a", "e"]
    assert merged_groups(groups, [], []) == groups
    assert merged_groups(groups, [1], [4]) == ["d", "d", "c", "b", "d", "e"]
    assert merged_groups(groups, [0, 4], [2, 5]) == ["d", "d", "d", "b", "a", "a"]
    assert merged_groups(groups, [4, 2, 0], [2, 3, 4]) == ["d", "d", "d", "d", "d", "e"]
    assert merged_groups(groups, [0], [1]) == groups


# --- real images ---

ROWS = {
    "cifar100": {"n_images": 8000, "n_classes": 100},
    "caltech101": {"n_images": 1617, "n_classes": 101},
    "fgvc_aircraft": {"n_images": 300, "n_classes": 20, "crop_banner": False},
    "dtd": {"n_images": 210, "n_classes": 10},
}


@pytest.fixture(scope="module")
def real_pairs():
    """A function that gives the pairs of ids that are found in a real data set, and its samples."""
    if "HALFSEEN_DATA" not in os.environ:
        pytest.skip("the environment variable HALFSEEN_DATA names no folder of real images")

    def pairs_of(name):
        root = Path(os.environ["HALFSEEN_DATA"]) / name
        kind = {"fgvc_aircraft": "aircraft"}.get(name, name)
        dataset = open_dataset(kind, root=root, check_files=False, **ROWS[name])
        samples = dataset.samples()
        images = [thumbnail(dataset.image(sample.image_id)) for sample in samples]
        pairs = near_duplicates(images, n_threads=2)
        return [(samples[pair.a], samples[pair.b]) for pair in pairs.itertuples()]

    return pairs_of


# Looked at: one photograph each, shifted, recoloured or zoomed.
TWINS = """
train/hognose_snake_s_000031 test/colubrid_s_000363
train/panthera_pardus_s_000349 test/leopard_s_001658
train/female_child_s_000515 test/female_child_s_000948
train/stegosaur_s_000203 train/stegosaurus_s_000534
train/icbm_s_000006 test/icbm_s_000025
train/mako_shark_s_000872 train/mako_shark_s_000118
train/beaver_s_001691 train/beaver_s_001390
train/oriental_cockroach_s_001530 train/cockroach_s_002624
train/nemertean_s_000187 train/ribbon_worm_s_000140
train/cockroach_s_001106 train/oriental_cockroach_s_000712
train/goblet_s_000700 train/goblet_s_000701
train/pearmain_s_000061 train/pearmain_s_000076
train/dessert_plate_s_000465 train/dessert_plate_s_000464
train/shortfin_mako_s_000167 test/mako_s_001446
train/neomys_fodiens_s_000307 test/neomys_fodiens_s_000005
train/gray_wolf_s_001212 train/grey_wolf_s_001395
test/private_road_s_000278 test/private_road_s_000029
train/red_delicious_s_000079 train/red_delicious_s_001985
train/nile_crocodile_s_000077 train/crocodile_s_000569
train/carphophis_amoenus_s_000239 train/carphophis_amoenus_s_000022
train/shortfin_mako_s_000283 train/shortfin_mako_s_000165
train/ordinary_bicycle_s_000104 test/ordinary_bicycle_s_000105
train/motor_mower_s_000757 test/motor_mower_s_000132
train/red_fox_s_000511 train/red_fox_s_000169
"""


def test_every_known_twin_of_cifar_is_found_and_six_pairs_that_are_none(real_pairs):
    pairs = {
        tuple(sample.image_id.removesuffix(".png") for sample in pair)
        for pair in real_pairs("cifar100")
    }
    twins = {tuple(line.split()) for line in TWINS.split("\n") if line}
    assert len(twins) == 24
    assert twins - pairs == set()
    assert len(pairs - twins) == 6


def test_copies_in_caltech_are_of_one_class_and_include_the_known_ones(real_pairs):
    pairs = real_pairs("caltech101")
    assert all(one.label_name == other.label_name for one, other in pairs)
    ids = {(one.image_id, other.image_id) for one, other in pairs}
    assert ids >= {
        ("garfield/image_0006.jpg", "garfield/image_0016.jpg"),
        ("garfield/image_0001.jpg", "garfield/image_0006.jpg"),
        ("anchor/image_0001.jpg", "anchor/image_0010.jpg"),
    }
    classes = {one.label_name for one, _ in pairs}
    assert not classes & {"Faces", "Faces_easy", "yin_yang", "soccer_ball", "car_side"}


def test_different_aircraft_on_blue_sky_and_different_textures_are_no_pair(real_pairs):
    pairs = real_pairs("fgvc_aircraft")
    assert [(one.image_id, other.image_id) for one, other in pairs] == [("1607459", "1613179")]
    assert real_pairs("dtd") == []


@pytest.mark.parametrize(("change", "n"), [(-0.08, 40), (+0.06, 20)])
def test_another_threshold_finds_other_pairs(real_pairs, monkeypatch, change, n):
    module = halfseen.near_duplicates
    monkeypatch.setattr(module, "MIN_CORRELATION", module.MIN_CORRELATION + change)
    many = len(real_pairs("cifar100"))
    assert (many > n) if change < 0 else (many < n)
