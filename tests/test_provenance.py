import numpy as np
import yaml

from halfseen.provenance import config_text, package_versions


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
