import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import halfseen.datasets.emoji_scenes
import halfseen.datasets.photo_textures
from halfseen.datasets.credits import credits_of
from halfseen.datasets.decoding import UnreadableImageError
from halfseen.datasets.emoji_scenes import (
    BACKGROUNDS,
    EMOJI,
    EmojiScenes,
    ideal_background_accuracy,
)
from halfseen.datasets.folder import Folder
from halfseen.datasets.kinds import KINDS, open_dataset
from halfseen.datasets.photo_textures import TEXTURES, PhotoTextures
from halfseen.datasets.photographs import PHOTOGRAPHS, photograph_image, square_crop, tiles

SEED = 20230602
SCENES = {"n_images": 12, "n_classes": 3, "background_correlation": 0, "seed": SEED}
CROPS = {"n_images": 40, "n_classes": 2, "seed": SEED}
DRAWN = [
    pytest.param(EmojiScenes, SCENES, id="scenes"),
    pytest.param(PhotoTextures, CROPS, id="crops"),
]


def pixels(dataset):
    """{image id: bytes of the image and of the mask}."""
    ids = [sample.image_id for sample in dataset.samples()]
    return {i: (dataset.image(i).tobytes(), np.asarray(dataset.mask(i)).tobytes()) for i in ids}


# --- every kind that is drawn ---


@pytest.mark.parametrize(("kind", "row"), DRAWN)
def test_two_data_sets_of_one_seed_are_equal_to_the_byte(kind, row):
    assert kind(**row).samples() == kind(**row).samples()
    assert pixels(kind(**row)) == pixels(kind(**row))


@pytest.mark.parametrize(("kind", "row"), DRAWN)
def test_another_seed_draws_other_images(kind, row):
    one, other = pixels(kind(**row)), pixels(kind(**row | {"seed": SEED + 1}))
    assert one.keys() == other.keys()
    assert all(one[image_id][0] != other[image_id][0] for image_id in one)


@pytest.mark.parametrize(("kind", "row"), DRAWN)
def test_no_two_images_of_a_data_set_are_equal(kind, row):
    images, masks = zip(*pixels(kind(**row)).values(), strict=True)
    assert len(set(images)) == len(images)
    assert len(set(masks)) == (len(masks) if kind is EmojiScenes else 1)


def test_another_process_draws_the_same_bytes(root):
    program = f"""
import hashlib
from halfseen.datasets.emoji_scenes import EmojiScenes
print(hashlib.sha256(EmojiScenes(**{SCENES}).image("fox_0002").tobytes()).hexdigest())
"""
    hashes = os.environ | {"PYTHONHASHSEED": "7"}
    job = [sys.executable, "-c", program]
    told = subprocess.run(job, cwd=root / "workflow", env=hashes, capture_output=True, text=True)
    image = EmojiScenes(**SCENES).image("fox_0002")
    assert told.stdout.strip() == hashlib.sha256(image.tobytes()).hexdigest()


@pytest.mark.parametrize(("kind", "row"), DRAWN)
@pytest.mark.parametrize(("more_images", "more_classes"), [(9, 0), (0, 1), (30, 2)])
def test_images_do_not_change_when_others_are_added(kind, row, more_images, more_classes):
    small = kind(**row)
    n_classes = row["n_classes"] + more_classes
    n_images = (row["n_images"] + more_images) * n_classes // row["n_classes"]
    large = kind(**row | {"n_images": n_images, "n_classes": n_classes})
    samples = {sample.image_id: sample for sample in large.samples()}
    assert len(samples) == n_images
    for sample in small.samples():
        assert samples[sample.image_id] == sample
        np.testing.assert_array_equal(large.image(sample.image_id), small.image(sample.image_id))


@pytest.mark.parametrize(("kind", "row"), DRAWN)
def test_images_are_shared_out_evenly_and_are_224_px_wide_and_high(kind, row):
    dataset = kind(**row | {"n_images": 8, "n_classes": 3})
    samples = dataset.samples()
    names = [sample.label_name for sample in samples]
    assert [names.count(name) for name in dict.fromkeys(names)] == [3, 3, 2]
    assert len({sample.image_id for sample in samples}) == 8
    images = [dataset.image(sample.image_id) for sample in samples]
    assert {(image.shape, image.dtype.name) for image in images} == {((224, 224, 3), "uint8")}


@pytest.mark.parametrize(("kind", "row"), DRAWN)
@pytest.mark.parametrize("n_classes", [1, 25])
def test_a_number_of_classes_that_there_is_not_is_refused(kind, row, n_classes):
    with pytest.raises(ValueError, match=f"n_classes is {n_classes}; .* has 2 to (24|8)$"):
        kind(**row | {"n_classes": n_classes})


def numbered_tiles(grid):
    """A stand-in for `photograph_image`: of its shape, every tile of one colour of its own."""

    @functools.cache
    def photograph_of_tiles(name):
        height, width, _ = photograph_image(name).shape
        image = np.zeros((height, width, 3), np.uint8)
        for number, (left, top, right, bottom) in enumerate(tiles(height, width, *grid(name))):
            image[top:bottom, left:right] = list(PHOTOGRAPHS).index(name), number, 0
        return image

    return photograph_of_tiles


def assert_a_group_is_a_tile(crops):
    """Every crop (group, image) has one colour, and a colour belongs to one group."""
    colours = {}
    for group, crop in crops:
        assert (crop == crop[0, 0]).all()
        colours.setdefault(group, set()).add(tuple(crop[0, 0].tolist()))
    assert all(len(of_group) == 1 for of_group in colours.values())
    assert len(set.union(*colours.values())) == len(colours)


def test_backgrounds_of_two_groups_have_no_pixel_in_common(monkeypatch):
    module = halfseen.datasets.emoji_scenes
    monkeypatch.setattr(module, "photograph_image", numbered_tiles(module._grid))
    dataset = EmojiScenes(160, 2, 0, SEED)
    samples = dataset.samples()
    assert_a_group_is_a_tile((s.group, dataset.background(s.image_id)) for s in samples)
    assert len({sample.group for sample in samples}) > len(BACKGROUNDS)


def test_crops_of_two_groups_have_no_pixel_in_common(monkeypatch):
    module = halfseen.datasets.photo_textures
    grid = (module.ROWS, module.COLUMNS)
    monkeypatch.setattr(module, "photograph_image", numbered_tiles(lambda _: grid))
    dataset = PhotoTextures(8 * 30, 8, SEED)
    samples = dataset.samples()
    assert_a_group_is_a_tile((s.group, dataset.image(s.image_id)) for s in samples)
    assert len({sample.group for sample in samples}) == 8 * 15


# --- photographs ---


@pytest.mark.parametrize(
    "shape", [(7, 11, 3, 5), (224, 224, 2, 2), (303, 384, 3, 5), (5, 5, 5, 5), (10, 3, 1, 1)]
)
def test_tiles_cover_every_pixel_once_row_by_row(shape):
    height, width, rows, columns = shape
    covered = np.zeros((height, width), int)
    boxes = tiles(*shape)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert len(boxes) == rows * columns
    assert boxes == sorted(boxes, key=lambda box: (box[1], box[0]))


def test_tiles_of_an_even_grid_are_equal():
    assert tiles(4, 6, 2, 2) == [(0, 0, 3, 2), (3, 0, 6, 2), (0, 2, 3, 4), (3, 2, 6, 4)]


def test_a_crop_has_the_asked_share_of_its_tile_and_all_places_in_it():
    image = np.zeros((30, 40, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(40), np.arange(30)[:, None]
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(300):
        crop = square_crop(image, (10, 5, 22, 15), 0.8, rng, 8)  # 8 px of 10: not resized
        left, top = map(int, crop[0, 0, :2])
        np.testing.assert_array_equal(crop, image[top : top + 8, left : left + 8])
        corners.add((left, top))
    assert corners == {(left, top) for left in range(10, 15) for top in range(5, 8)}


def test_the_whole_of_a_square_tile_is_the_tile():
    image = np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8)
    crop = square_crop(image, (3, 4, 13, 14), 1, np.random.default_rng(0), 10)
    np.testing.assert_array_equal(crop, image[4:14, 3:13])


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_is_shipped_and_has_a_credit_and_a_licence(name):
    image = photograph_image(name)
    assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    assert image.std() > 0
    photograph = PHOTOGRAPHS[name]
    assert (photograph.name, bool(photograph.credit)) == (name, True)
    assert photograph.licence in {
        "public domain",
        "no known copyright restrictions",
        "CC0 1.0",
        "CC BY 2.0",
    }


def test_a_grey_photograph_has_three_equal_channels():
    grey = photograph_image("camera")
    assert (grey == grey[..., :1]).all()


def test_a_photograph_that_is_no_longer_shipped_is_named(monkeypatch):
    monkeypatch.setitem(halfseen.datasets.photographs._SHIPPED_IN, "skimage", "elsewhere")
    with pytest.raises(FileNotFoundError, match="skimage no longer ships rocket.jpg"):
        photograph_image.__wrapped__("rocket")


@pytest.mark.parametrize("document", ["workflow/report/workflow.rst", "README.md"])
def test_every_photograph_and_openmoji_are_credited_with_their_licence(root, document):
    text = " ".join((root / document).read_text(encoding="utf-8").split())
    for photograph in PHOTOGRAPHS.values():
        for part in [*photograph.credit.split(", "), photograph.shows, photograph.licence]:
            assert part in text, f"{document} does not credit {photograph}"
    assert "OpenMoji" in text
    assert "CC BY-SA 4.0" in text


def test_a_page_with_drawn_scenes_credits_every_photograph_and_one_with_textures_no_drawing():
    scenes, textures = (" ".join(credits_of([kind])) for kind in ("emoji_scenes", "photo_textures"))
    for photograph in PHOTOGRAPHS.values():
        for part in [photograph.credit, photograph.shows, photograph.licence]:
            assert part in scenes
            assert part in textures
    assert "OpenMoji (openmoji.org), CC BY-SA 4.0" in scenes
    assert "OpenMoji" not in textures


def test_what_the_report_credits_of_the_paper_s_data_sets_the_atlas_credits_in_the_same_words(root):
    report = " ".join((root / "workflow/report/workflow.rst").read_text("utf-8").split())
    sentences = credits_of(["dtd", "cifar100", "aircraft", "caltech101", "folder"])
    assert len(sentences) == 4
    assert [sentence for sentence in sentences if sentence not in report] == []


def test_images_of_a_user_need_no_credit():
    assert credits_of(["folder", "torchvision"]) == []


# --- emoji scenes ---


@pytest.fixture(scope="module")
def scenes():
    return EmojiScenes(24, 24, 0, SEED)  # every drawing once


def test_outside_its_mask_a_scene_is_its_photograph(scenes):
    for image_id in scenes.scenes:
        outside = ~scenes.mask(image_id)
        image, background = scenes.image(image_id), scenes.background(image_id)
        np.testing.assert_array_equal(image[outside], background[outside])


def test_inside_its_mask_a_scene_is_its_drawing_and_nothing_else(monkeypatch):
    module = halfseen.datasets.emoji_scenes
    seen = {}
    for grey in (0, 255):
        monkeypatch.setattr(
            module,
            "photograph_image",
            lambda name, grey=grey: np.full_like(photograph_image(name), grey),
        )
        dataset = EmojiScenes(24, 24, 0, SEED)
        seen[grey] = {i: (dataset.image(i), dataset.mask(i)) for i in dataset.scenes}
    for image_id, (on_black, mask) in seen[0].items():
        on_white, same_mask = seen[255][image_id]
        np.testing.assert_array_equal(mask, same_mask)
        np.testing.assert_array_equal(on_black[mask], on_white[mask])
        assert (on_black[~mask] == 0).all()
        assert (on_white[~mask] == 255).all()


def test_the_box_of_a_scene_is_that_of_its_mask(scenes):
    for sample in scenes.samples():
        mask = scenes.mask(sample.image_id)
        left, top, right, bottom = map(int, sample.box)
        assert mask[top:bottom, left:right].sum() == mask.sum()
        edges = mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]
        assert all(edge.any() for edge in edges)


def test_every_drawing_is_wholly_in_its_scene_and_of_the_promised_size(scenes):
    for sample in scenes.samples():
        left, top, right, bottom = sample.box
        assert left >= 0
        assert top >= 0
        assert max(right, bottom) <= 224
        # 0.35 to 0.6 of the side; the soft edge that the mask leaves out is a few pixels wide
        assert 0.35 * 224 - 6 <= max(right - left, bottom - top) <= 0.6 * 224 + 1


def test_a_sample_names_its_drawing_and_its_photograph(scenes):
    for sample in scenes.samples():
        scene = scenes.scenes[sample.image_id]
        assert sample.path == f"openmoji:{EMOJI[sample.label_name]}+{scene.photograph}"
        assert sample.group.startswith(f"{scene.photograph}_")


@pytest.mark.parametrize("n_classes", [3, 16, 24])
def test_at_correlation_1_every_scene_shows_the_photograph_of_its_class(n_classes):
    dataset = EmojiScenes(10 * n_classes, n_classes, 1, SEED)
    owned = {name: BACKGROUNDS[k % 16] for k, name in enumerate(EMOJI)}
    assert len(BACKGROUNDS) == 16
    assert all(scene.photograph == owned[scene.label_name] for scene in dataset.scenes.values())


def test_at_correlation_0_every_class_shows_all_photographs_equally_often():
    stats = pytest.importorskip("scipy.stats")
    counts = np.zeros((4, 16), int)
    for scene in EmojiScenes(6400, 4, 0, SEED).scenes.values():
        counts[list(EMOJI).index(scene.label_name), BACKGROUNDS.index(scene.photograph)] += 1
    assert counts.sum() == 6400
    assert stats.chisquare(counts, axis=None).pvalue > 0.01


@pytest.mark.parametrize("n_classes", [7, 16])
@pytest.mark.parametrize("r", [0, 0.5, 1])
def test_the_ideal_accuracy_is_that_of_a_guesser_who_knows_each_photograph(n_classes, r):
    n = 16_000
    scenes = EmojiScenes(n, n_classes, r, SEED).scenes.values()
    owner = dict(zip(BACKGROUNDS, list(EMOJI)[:n_classes], strict=False))
    anything = next(iter(EMOJI))
    right = sum(owner.get(scene.photograph, anything) == scene.label_name for scene in scenes)
    ideal = ideal_background_accuracy(n_classes, r)
    deviation = np.sqrt(ideal * (1 - ideal) / n)
    assert right / n == pytest.approx(ideal, abs=3 * deviation)


@pytest.mark.parametrize("n_classes", [2, 5, 16])
@pytest.mark.parametrize("r", [0, 0.3, 1])
def test_no_guesser_who_knows_the_photograph_does_better(n_classes, r):
    shown = (1 - r) / 16 * np.ones((n_classes, 16)) + r * np.eye(n_classes, 16)
    assert ideal_background_accuracy(n_classes, r) == pytest.approx(shown.max(0).sum() / n_classes)


def test_the_ideal_accuracy_of_more_classes_than_photographs_is_refused():
    with pytest.raises(ValueError, match="17 classes share 16 photographs"):
        ideal_background_accuracy(17, 0)


# --- photo textures ---


def test_a_texture_is_the_photograph_that_names_its_class_and_has_no_object():
    dataset = PhotoTextures(16, 8, SEED)
    for sample in dataset.samples():
        assert sample.image_id.startswith(f"{sample.label_name}_")
        assert sample.path == f"photograph:{sample.label_name}"
        assert sample.box is None
        assert dataset.mask(sample.image_id) is None


def test_tiles_are_used_in_turn():
    groups = [sample.group for sample in PhotoTextures(2 * 17, 2, SEED).samples()[:17]]
    assert len(set(groups[:15])) == 15
    assert groups[15:] == groups[:2]


# --- folders ---


@pytest.fixture
def folder(tmp_path):
    """A data set of a user: two classes, a mask for one image, and files that are none."""
    rng = np.random.default_rng(0)
    for name in ("fox/b.png", "fox/a.PNG", "owl/007.png", "owl/NA.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(256, size=(20, 30, 3), dtype=np.uint8)).save(path)
    write_mask(tmp_path / "masks/fox/b.png", (20, 30), slice(5, 9), slice(2, 12))
    (tmp_path / "fox/notes.txt").write_text("no image")
    for stray in ("stray.png", "masks/stray.png"):
        (tmp_path / stray).write_bytes((tmp_path / "fox/b.png").read_bytes())
    return tmp_path


def write_mask(path, shape, rows, columns, value=1):
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def test_a_folder_lists_its_images_by_class_and_name(folder):
    samples = Folder(folder).samples()
    ids = ["fox/a.PNG", "fox/b.png", "owl/007.png", "owl/NA.jpg"]
    assert [sample.image_id for sample in samples] == ids
    assert [sample.path for sample in samples] == ids
    assert [sample.group for sample in samples] == ids
    assert [sample.label_name for sample in samples] == ["fox", "fox", "owl", "owl"]


def test_a_folder_gives_the_pixels_of_its_files_as_rgb(folder):
    expected = np.asarray(Image.open(folder / "owl/007.png"))
    np.testing.assert_array_equal(Folder(folder).image("owl/007.png"), expected)
    Image.fromarray(expected[..., 0]).save(folder / "owl/grey.png")
    grey = Folder(folder).image("owl/grey.png")
    np.testing.assert_array_equal(grey, np.repeat(expected[..., :1], 3, axis=2))


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_where_its_file_is_not_0_and_gives_the_box(folder, value):
    write_mask(folder / "masks/fox/b.png", (20, 30), slice(5, 9), slice(2, 12), value)
    dataset = Folder(folder)
    expected = np.zeros((20, 30), bool)
    expected[5:9, 2:12] = True
    np.testing.assert_array_equal(dataset.mask("fox/b.png"), expected)
    assert dataset.mask("fox/b.png").dtype == bool
    assert dataset.mask("fox/a.PNG") is None
    boxes = [sample.box for sample in dataset.samples()]
    assert boxes == [None, (2, 5, 12, 9), None, None]


def test_the_mask_of_a_jpeg_is_a_png_of_its_name(folder):
    write_mask(folder / "masks/owl/NA.png", (20, 30), 3, 4)
    assert Folder(folder).samples()[3].box == (4, 3, 5, 4)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\x00\x00\x00\x01IHDR1234"]
)
def test_a_file_that_is_no_image_is_named(folder, content):
    (folder / "owl/007.png").write_bytes(content)
    with pytest.raises(ValueError, match=f"{folder}/owl/007.png cannot be decoded as an image"):
        Folder(folder).image("owl/007.png")


@pytest.mark.parametrize("name", ["fox/b.png", "owl/NA.jpg"])
def test_a_file_that_is_cut_off_is_named(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name} cannot be decoded .*; mend or remove it"):
        Folder(folder).image(name)


def test_a_mask_that_is_no_image_is_named(folder):
    (folder / "masks/fox/b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"{folder}/masks/fox/b.png cannot be decoded"):
        Folder(folder).samples()


def test_a_bad_image_with_a_mask_is_listed_and_named_only_when_it_is_read(folder):
    (folder / "fox/b.png").write_bytes(b"")
    dataset = Folder(folder)
    assert [sample.box for sample in dataset.samples()] == [None] * 4
    with pytest.raises(UnreadableImageError, match="fox/b.png cannot be decoded as an image"):
        dataset.image("fox/b.png")


def test_an_empty_mask_is_named(folder):
    write_mask(folder / "masks/fox/b.png", (20, 30), 0, 0, value=0)
    with pytest.raises(ValueError, match=f"mask of fox/b.png in {folder}/masks is empty; remove"):
        Folder(folder).samples()


def test_a_mask_of_another_size_than_its_image_is_named_with_both(folder):
    write_mask(folder / "masks/fox/b.png", (30, 20), 1, 1)
    told = r"masks/fox/b.png is of shape \(30, 20\) but its image of \(20, 30\)"
    with pytest.raises(ValueError, match=told):
        Folder(folder).samples()


def test_a_root_that_is_missing_or_holds_no_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/nowhere is no folder; .*class/image"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"no image in {tmp_path}; expected class/image"):
        Folder(tmp_path).samples()


# --- the table of kinds ---


def dataset_rows(root):
    """The part of the schema that describes a row of `datasets:`."""
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    return schema["properties"]["datasets"]["additionalProperties"]


def test_the_schema_and_the_package_know_the_same_kinds_and_numbers_of_classes(root):
    rows = dataset_rows(root)
    assert sorted(rows["properties"]["kind"]["enum"]) == sorted(KINDS)
    most = {
        part["if"]["properties"]["kind"]["const"]: part["then"]["properties"]["n_classes"][
            "maximum"
        ]
        for part in rows["allOf"]
        if "maximum" in part["then"]["properties"].get("n_classes", {})
    }
    assert most == {"emoji_scenes": len(EMOJI), "photo_textures": len(TEXTURES)}


# What the schema has for every kind and what a data set is not opened with.
NOT_OF_THE_SOURCE = {
    "kind", "label", "segmenter", "prompt", "second_prompt", "segment_on", "mask_note", "shards",
    "extraction_shards", "archives", "on_bad_image", "near_duplicates", "crops_of",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_of_a_row_and_the_seed_open_a_data_set_of_every_kind(root, folder, kind):
    (folder / "caltech101/101_ObjectCategories").mkdir(parents=True)
    values = {
        "n_images": 10, "n_classes": 2, "background_correlation": 0.5, "root": str(folder),
        "check_files": True, "images_per_class": 3, "background_class": True, "crop_banner": True,
        "name": "Food101", "parts": [{}],
    }  # fmt: skip
    for part in dataset_rows(root)["allOf"]:
        if part["if"]["properties"]["kind"]["const"] == kind:
            keys = part["then"]["properties"].keys()
    row = {key: values[key] for key in keys - NOT_OF_THE_SOURCE}
    dataset = open_dataset(kind, **row, seed=SEED)
    assert type(dataset) is KINDS[kind]
