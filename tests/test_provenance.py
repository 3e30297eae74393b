import h5py
import numpy as np
import yaml

from halfseen.provenance import config_text, files_made, package_versions


def test_a_configuration_is_told_in_its_order_and_without_references():
    mean = [0.5, 0.25]
    config = {"z": {"mean": mean}, "a": {"mean": mean, "name": "é"}}
    text = config_text(config)
    assert text.index("z:") < text.index("a:")
    assert "é" in text
    assert "&" not in text
    assert yaml.safe_load(text) == config


def test_versions_are_those_of_the_installed_packages_and_others_are_left_out():
    assert package_versions(["numpy", "no-such-package"]) == {"numpy": np.__version__}


def test_files_tell_their_code_seed_and_weights_and_equal_shards_once(tmp_path):
    said = {
        "shards/d/0.h5": '{"code": "c1", "seed": 3, "weights_sha256": "aa", "source": {}}',
        "shards/d/1.h5": '{"code": "c1", "seed": 3, "weights_sha256": "aa", "source": {}}',
        "shards/d/2.h5": '{"code": "c2", "seed": 3}',
        "features/d/m.h5": '{"code": "c3", "seed": 3, "model": {"sha256": "bb"}}',
        "features/d/n.h5": '{"code": "c3", "seed": 3, "model": {"sha256": null}}',
    }
    for name, text in said.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["made_by"] = text
    paths = [tmp_path / name for name in said]
    made = files_made(paths[:3], paths[3:])
    assert [(row["dataset"], row["model"], row["code"], row["sha256"]) for row in made] == [
        ("d", None, "c1", "aa"),
        ("d", None, "c2", None),
        ("d", "m", "c3", "bb"),
        ("d", "n", "c3", None),
    ]
