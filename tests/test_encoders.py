import numpy as np
import pytest
import torch

from halfseen.encoders import best_memory_format, load_encoder

MEAN, STD = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]
ROW = dict(loader="timm", name="test_resnet", pooling="average", arguments={}, mean=MEAN, std=STD)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 64, 64, generator=generator), torch.ones(4, 64, 64, dtype=torch.bool)


def test_an_image_is_encoded_alone_as_in_a_batch(images):
    encoder = load_encoder(**ROW, sha256=None)
    pixels, visible = images
    alone = np.concatenate([encoder.encode(pixels[i : i + 1], visible[:1]) for i in range(4)])
    assert encoder.encode(pixels, visible) == pytest.approx(alone, abs=1e-5)


def test_an_untrained_network_follows_the_seed(images):
    encoders = [load_encoder(**ROW, sha256=None, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (encoder.encode(*images) for encoder in encoders)
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_network_that_keeps_its_map_is_refused(images):
    row = ROW | {"pooling": "network", "arguments": {"global_pool": ""}}
    encoder = load_encoder(**row, sha256=None)
    with pytest.raises(ValueError, match=r"the network gave \(4, .*\) for 4 images, not \(b, d\)"):
        encoder.encode(*images)


def test_image_statistics_see_only_visible_pixels(images):
    encoder = load_encoder("image_statistics", [0, 0, 0], [1, 1, 1], sha256=None)
    pixels, visible = images[0].sigmoid(), images[1].clone()
    visible[:, :32] = False
    changed = pixels.clone()
    changed[:, :, :32] = 0
    assert np.array_equal(encoder.encode(pixels, visible), encoder.encode(changed, visible))


def test_the_recipe_of_the_row_goes_with_the_encoder():
    recipe = {"resize_px": 256, "crop_px": 224, "interpolation": "bicubic"}
    assert load_encoder(**ROW, sha256=None, recipe=recipe).recipe == recipe
    assert load_encoder(**ROW, sha256=None).recipe is None


@torch.inference_mode()
def test_a_lower_precision_is_what_autocast_gives(images):
    encoder = load_encoder(**ROW | dict(sha256=None, precision="bfloat16"))
    found, exact = encoder.encode(*images), encoder.plain().encode(*images)
    with torch.autocast("cpu", torch.bfloat16):
        expected = encoder.network(images[0].contiguous(memory_format=torch.channels_last))
    assert expected.dtype == torch.bfloat16
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.float().numpy())
    assert np.array_equal(exact, load_encoder(**ROW | dict(sha256=None)).encode(*images))
    assert not np.array_equal(found, exact)


def test_only_a_row_that_says_so_is_compiled():
    assert load_encoder(**ROW | dict(sha256=None)).compiled is None
    encoder = load_encoder(**ROW | dict(sha256=None, compile=True))
    assert encoder.compiled._orig_mod is encoder.network
    assert encoder.plain().compiled is None


def test_networks_of_convolutions_lie_in_memory_by_channels_and_transformers_do_not():
    layouts = {}
    for name in ("test_resnet", "test_vit"):
        network = load_encoder(**ROW | dict(name=name, sha256=None)).network
        layouts[name] = best_memory_format(network)
        # A 1 x 1 convolution or one of a single channel lies in both ways.
        convolutions = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        assert all(w.is_contiguous(memory_format=layouts[name]) for w in convolutions)
    assert layouts == {"test_resnet": torch.channels_last, "test_vit": torch.contiguous_format}
