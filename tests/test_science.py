"""What the default data must show: known in advance, measured with real weights and exact masks."""

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from halfseen.config import check_config, take_labels
from halfseen.datasets.emoji_scenes import EmojiScenes, ideal_background_accuracy
from halfseen.encoders import load_encoder
from halfseen.manifest import build_manifest
from halfseen.probes import Representations, run_protocols
from halfseen.uncertainty import corrected_fold_se
from halfseen.variants import compose

CHANCE = 1 / 16


@pytest.fixture(scope="module")
def config(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    take_labels(config)
    return config


@pytest.fixture(scope="module")
def encoders(config, root):
    """The encoders of the default study."""
    path = root / "results/weights/efficientnet_lite0.ckpt"
    if not path.is_file():
        pytest.skip("EfficientNet-Lite0's weights are not there; `make weights` fetches them")
    lock = yaml.safe_load((root / "workflow/resources/weights.lock.yaml").read_text())
    encoders = {}
    for name in config["studies"]["quickstart"]["models"]:
        row = {key: value for key, value in config["models"][name].items() if key != "batch_size"}
        if row.get("weights"):
            row |= {"weights": path, "sha256": lock["efficientnet_lite0"]["sha256"]}
        encoders[name] = load_encoder(**({"sha256": None} | row), seed=config["seed"])
    return encoders


class Scenes:
    """The emoji scenes of the default study, at one correlation of class and background."""

    def __init__(self, config, background_correlation):
        row = config["datasets"]["emoji_scenes"]
        seed = config["seed"]
        data = EmojiScenes(row["n_images"], row["n_classes"], background_correlation, seed)
        self.manifest = build_manifest(data.samples(), config["folds"], np.random.default_rng(seed))
        layers = [
            (data.image(image_id), data.background(image_id), data.mask(image_id))
            for image_id in self.manifest.image_id
        ]
        self.images, self.plates, self.masks = map(np.stack, zip(*layers, strict=True))

    def probe(self, encoder, images, visible):
        """Balanced accuracy of a probe on what `encoder` makes of the visible pixels, per fold."""
        parts = []
        for start in range(0, len(images), 8):
            shown = torch.from_numpy(visible[start : start + 8].copy())
            pixels = torch.from_numpy(images[start : start + 8])
            parts.append(encoder.encode(compose(pixels, shown, encoder.mean, encoder.std), shown))
        seen = {"shown": np.concatenate(parts)}
        given = Representations(seen.__getitem__, self.manifest, list(seen))
        probed = run_protocols(given, {"one": {"kind": "fixed", "cost": 1.0}}, seed=1)
        return probed.cells.balanced_accuracy.tolist()


@pytest.fixture(scope="module")
def unrelated(config):
    return Scenes(config, background_correlation=0)


@pytest.fixture(scope="module")
def related(config):
    return Scenes(config, background_correlation=1)


def fold_interval(values):
    """95 % interval (low, high) of the mean of cross-validated values, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * corrected_fold_se(values)
    return np.mean(values) - half, np.mean(values) + half


def everything(scenes):
    return np.ones_like(scenes.masks)


def test_the_supervised_encoder_beats_the_untrained_one_and_image_statistics(unrelated, encoders):
    lows, highs = {}, {}
    for name, encoder in encoders.items():
        scores = unrelated.probe(encoder, unrelated.images, everything(unrelated))
        lows[name], highs[name] = fold_interval(scores)
    assert lows["efficientnet_lite0"] > highs["efficientnet_lite0_untrained"]
    assert lows["efficientnet_lite0"] > highs["image_statistics"]
    assert lows["image_statistics"] > CHANCE


def test_an_unrelated_background_tells_nothing_of_the_class(unrelated, encoders):
    # The clean plate is the photograph alone; the colours of the background have no outline.
    supervised, statistics = encoders["efficientnet_lite0"], encoders["image_statistics"]
    plate = unrelated.probe(supervised, unrelated.plates, everything(unrelated))
    colours = unrelated.probe(statistics, unrelated.images, ~unrelated.masks)
    for scores in (plate, colours):
        low, high = fold_interval(scores)
        assert low <= CHANCE <= high


def test_the_outline_of_the_hole_alone_tells_something_of_the_class(unrelated, encoders):
    # A network sees the shape of what was cut out: "background" is not "no object" (Rong 2022).
    scores = unrelated.probe(encoders["efficientnet_lite0"], unrelated.images, ~unrelated.masks)
    assert fold_interval(scores)[0] > CHANCE


def test_a_related_background_gives_the_class_away(related, encoders):
    supervised, statistics = encoders["efficientnet_lite0"], encoders["image_statistics"]
    plate = related.probe(supervised, related.plates, everything(related))
    variant = related.probe(supervised, related.images, ~related.masks)
    colours = related.probe(statistics, related.images, ~related.masks)
    for scores in (plate, variant, colours):
        low, high = fold_interval(scores)
        assert low > CHANCE
        assert np.mean(scores) <= ideal_background_accuracy(16, 1)
    # Photographs are easy to tell apart: a good encoder comes close to what is known in advance.
    assert fold_interval(plate)[1] > 0.95
