"""What would stop a study hours later is found before its first job."""

from copy import deepcopy

import pytest
import yaml

from halfseen.config import ConfigError, check_config, take_labels
from halfseen.networks import own_pooling
from halfseen.study.checks import check_study, class_sizes, listed_networks
from halfseen.study.study import Study

HALF = [0.5] * 3
NET = {"label": "N", "loader": "timm", "name": "resnet18", "pooling": "average"}
HUB = {"label": "H", "loader": "torch_hub", "repo": "./gone", "name": "x", "arguments": {}}
IMAGES = {"label": "I", "segmenter": "mobile_sam", "prompt": "box"}


@pytest.fixture(scope="module")
def given(root):
    """A configuration as it is written, of one data set, a folder and a network."""
    config = yaml.safe_load((root / "tests/study/config.yaml").read_text())
    config["models"]["net"] = NET | {"mean": HALF, "std": HALF}
    config["studies"]["minute"]["models"].append("net")
    return config


@pytest.fixture
def problems(given, root):
    """A function: what is said of the study after a change of its configuration."""

    def told(change=None):
        config = deepcopy(given)
        if change:
            change(config)
        check_config(config, root / "workflow/schemas/config.schema.yaml")
        take_labels(config)
        try:
            check_study(Study(config))
        except ConfigError as error:
            return str(error)
        return ""

    return told


def test_nothing_is_said_of_a_study_that_can_run(problems):
    assert problems() == ""


def test_the_shipped_studies_can_run(root, monkeypatch):
    monkeypatch.setenv("HALFSEEN_DATA", str(root))
    monkeypatch.setattr("os.path.isdir", lambda path: True)
    config = yaml.safe_load((root / "config.yaml").read_text())
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    take_labels(config)
    for study in config["studies"]:
        check_study(Study(config, study))
    config["studies"]["paper"]["models"] = list(config["models"])
    check_study(Study(config, "paper"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"name": "resnett18"},
            r"models.net.name: timm has no model 'resnett18'; did you mean 'resnet18'",
        ),
        (
            {"name": "resnett18", "loader": "torchvision"},
            "torchvision has no model 'resnett18'; did you mean 'resnet18'",
        ),
        (
            {"pooling": "class_token"},
            "resnet18 of timm has average, not class_token; give pooling: average or network",
        ),
        (
            {"name": "vgg16", "loader": "torchvision"},
            "vgg16 of torchvision does not show how it pools, not average; give pooling: network",
        ),
        (
            {"name": "vit_b_16", "loader": "torchvision"},
            "vit_b_16 of torchvision has class_token, not average",
        ),
    ],
)
def test_a_network_or_a_pooling_that_is_not_there_is_named_with_the_nearest(problems, row, told):
    assert told in problems(lambda config: config["models"]["net"].update(row))


def test_a_tag_of_timm_and_its_own_pooling_are_no_problem(problems):
    row = {"name": "vit_base_patch16_224.mae", "pooling": "class_token"}
    assert problems(lambda config: config["models"]["net"].update(row)) == ""
    row = {"name": "vgg16", "loader": "torchvision", "pooling": "network"}
    assert problems(lambda config: config["models"]["net"].update(row)) == ""


def test_a_clone_that_is_not_there_is_named(problems):
    def use_hub(config):
        config["models"]["net"] = HUB | {"pooling": "network", "mean": HALF, "std": HALF}

    assert "models.net.repo: there is no ./gone/hubconf.py" in problems(use_hub)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_list_of_networks_is_that_of_the_installed_library(library):
    import timm
    import torchvision

    names = {
        "timm": timm.list_models(),
        "torchvision": torchvision.models.list_models(module=torchvision.models),
    }
    listed = listed_networks(library)
    assert listed.keys() == set(names[library]), "run `make networks`"


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "vgg16", "efficientnet_b0"])
def test_the_list_says_how_torchvision_s_networks_pool(name):
    import torchvision

    network = torchvision.models.get_model(name, weights=None)
    assert listed_networks("torchvision")[name]["poolings"] == (own_pooling(network) or "")


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "test_byobnet"])
@pytest.mark.parametrize(
    ("word", "pool"), [("average", "avg"), ("class_token", "token"), ("attention", "map")]
)
def test_the_list_says_how_timm_s_networks_can_pool(name, word, pool):
    import timm

    row = listed_networks("timm")[name]
    try:
        network = timm.create_model(name, num_classes=0, global_pool=pool)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
        assert word not in row["poolings"].split()
    else:
        assert word in row["poolings"].split()
        assert int(row["dimensions"]) == network.num_features


def folder_row(root, **more):
    return IMAGES | {"kind": "folder", "root": str(root)} | more


@pytest.fixture
def folder(tmp_path):
    for name, n in (("ant", 4), ("bee", 9)):
        (tmp_path / name).mkdir()
        for number in range(n):
            (tmp_path / name / f"{number}.PNG").write_bytes(b"")
    (tmp_path / "masks/ant").mkdir(parents=True)
    (tmp_path / "bee/notes.txt").write_text("")
    return tmp_path


def use(row):
    return lambda config: config["datasets"].update(emoji_scenes=row)


def test_the_images_of_a_folder_are_counted_by_class(folder, given):
    config = deepcopy(given)
    config["datasets"]["emoji_scenes"] = folder_row(folder)
    assert class_sizes(Study(config), "emoji_scenes") == {"ant": 4, "bee": 9}


def test_a_root_that_is_not_there_or_a_variable_that_is_not_set_is_named(problems, tmp_path):
    gone = folder_row(tmp_path / "gone")
    told = problems(use(gone))
    assert f"datasets.emoji_scenes.root: there is no folder {tmp_path}/gone" in told
    told = problems(use(folder_row("${NO_DATA}/x")))
    assert "the environment variable NO_DATA, which is not set" in told
    row = folder_row(tmp_path, segmenter="ready")

    def use_masks(config):
        config["segmenters"]["ready"] = {"label": "R", "kind": "given", "folder": "/gone/masks"}
        config["datasets"]["emoji_scenes"] = row

    assert "segmenters.ready.folder: there is no folder /gone/masks" in problems(use_masks)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(folds=5), "class 'ant' has 4 images, fewer than the 5 folds"),
        (lambda c: c.update(folds=2), "folds: 2, but protocol 'nested' chooses C inside"),
        (
            lambda c: c["probes"]["knn"].update(k=9),
            "probes.knn.k: 9, but a fold of emoji_scenes leaves 8 training images",
        ),
        (
            lambda c: c["measures"]["neighbors"].update(k=13),
            "measures.neighbors.k: 13, but emoji_scenes has 13 images",
        ),
        (
            lambda c: c["measures"]["cca_pc4"].update(components=12),
            "measures.cca_pc4.components: 12, but CCA of the 13 images",
        ),
        (
            lambda c: c.update(neighbors={"k": [61]}),
            "but 5 variants of the 13 images of emoji_scenes have 60 neighbors at most",
        ),
        (
            lambda c: c["umap"].update(n_neighbors=33),
            "umap.n_neighbors: 33, but 65 points of emoji_scenes are embedded",
        ),
        (
            lambda c: c["datasets"]["emoji_scenes"].update(shards=14),
            "datasets.emoji_scenes.shards: 14, but it has 13 images; lower it to 13",
        ),
        (
            lambda c: c["variants"]["border"].update(role="whole"),
            "variants: original, border all have `role: whole`; give `role: null`",
        ),
        (
            lambda c: c["studies"]["minute"].update(variants=["original"]),
            "studies.minute.variants: there is one; similarity compares two",
        ),
    ],
)
def test_what_asks_for_more_than_there_is_is_refused(problems, folder, change, told):
    def both(config):
        config["datasets"]["emoji_scenes"] = folder_row(folder)
        config["neighbors"] = {"k": [3]}
        change(config)

    assert told in problems(both)


def test_what_is_just_enough_is_not(problems, folder):
    def change(config):
        config["datasets"]["emoji_scenes"] = folder_row(folder, shards=13)
        config.update(folds=4, neighbors={"k": [60]})
        config["probes"]["knn"]["k"] = 9
        config["measures"]["neighbors"]["k"] = 12
        config["measures"]["cca_pc4"]["components"] = 11
        config["umap"]["n_neighbors"] = 32

    assert problems(change) == ""


def test_a_torchvision_data_set_that_is_not_there_is_named(problems):
    row = IMAGES | {"kind": "torchvision", "name": "Food110"}
    assert "torchvision has no data set 'Food110'; did you mean 'Food101'" in problems(use(row))
