import hashlib

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from halfseen.encoders import best_memory_format, load_encoder

MEAN, STD = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 64, 64, generator=generator), torch.ones(4, 64, 64, dtype=torch.bool)


@pytest.fixture
def resnet():
    """A small network whose batch norms have statistics that training mode would not use."""
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None)
    network(torch.randn(8, 3, 64, 64))
    return network.eval()


@pytest.fixture
def save(tmp_path):
    def write(tensors, name="weights.pth"):
        path = tmp_path / name
        torch.save(tensors, path)
        return {"weights": str(path), "sha256": sha256_of(path)}

    return write


def checkpoint_row(**changes):
    row = dict(loader="checkpoint", builder="torchvision", name="resnet18", arguments={}, unwrap=[])
    return row | dict(strip="", drop=[], match="names", mean=MEAN, std=STD) | changes


@torch.inference_mode()
def pooled(network, pixels):
    """The representation before the classifier, by torchvision's own forward hook."""
    kept = []
    handle = network.avgpool.register_forward_hook(lambda *call: kept.append(call[2].flatten(1)))
    network(pixels)
    handle.remove()
    return kept[0].numpy()


def test_torchvision_gives_what_the_last_linear_layer_would_have_read(images, resnet, save):
    row = dict(loader="torchvision", name="resnet18", arguments={}, mean=MEAN, std=STD)
    encoder = load_encoder(**row, **save(resnet.state_dict()))
    assert encoder.encode(*images) == pytest.approx(pooled(resnet, images[0]), abs=1e-5)


def test_timm_reads_its_own_layout_and_drops_the_classifier(images, save):
    import timm

    torch.manual_seed(2)
    network = timm.create_model("test_resnet").eval()
    row = dict(loader="timm", name="test_resnet", arguments={}, mean=MEAN, std=STD)
    encoder = load_encoder(**row, **save(network.state_dict()))
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(images[0]), pre_logits=True)
    assert encoder.encode(*images) == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_checkpoint_is_unwrapped_stripped_and_trimmed(images, resnet, save):
    tensors = {f"module.{name}": value for name, value in resnet.state_dict().items()}
    tensors |= {"module.projection_head.weight": torch.ones(3), "epoch": torch.ones(1)}
    row = checkpoint_row(
        unwrap=["state_dict"], strip="module.", drop=["fc.", "projection_head."]
    ) | save({"state_dict": tensors, "epoch": 100})
    assert load_encoder(**row).encode(*images) == pytest.approx(pooled(resnet, images[0]), abs=1e-5)


def test_a_checkpoint_with_other_names_is_matched_by_order(images, resnet, save):
    tensors = {f"t{number}": value for number, value in enumerate(resnet.state_dict().values())}
    encoder = load_encoder(**checkpoint_row(match="order"), **save(tensors))
    assert encoder.encode(*images) == pytest.approx(pooled(resnet, images[0]), abs=1e-5)


def test_missing_unexpected_and_misshapen_tensors_are_named(resnet, save):
    tensors = {name: value for name, value in resnet.state_dict().items() if "fc." not in name}
    del tensors["bn1.weight"]
    tensors["bn1.bias"] = torch.zeros(5)
    tensors["extra"] = torch.zeros(5)
    message = r"3 tensors .* bn1.bias is \(5,\), not \(64,\); missing bn1.weight; unexpected extra"
    with pytest.raises(ValueError, match=message):
        load_encoder(**checkpoint_row(), **save(tensors))


def test_a_checkpoint_of_another_length_is_not_matched_by_order(resnet, save):
    tensors = dict(list(resnet.state_dict().items())[1:])
    with pytest.raises(ValueError, match="holds 121 tensors, the network has 122"):
        load_encoder(**checkpoint_row(match="order"), **save(tensors))


def test_changed_weights_are_refused(resnet, save):
    row = save(resnet.state_dict()) | {"sha256": "0" * 64}
    with pytest.raises(ValueError, match="0{64}"):
        load_encoder(**checkpoint_row(drop=["fc."]), **row)


def test_safetensors_are_read_like_a_pickle(images, resnet, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(resnet.state_dict(), path)
    row = dict(loader="torchvision", name="resnet18", arguments={}, mean=MEAN, std=STD)
    encoder = load_encoder(**row, weights=str(path), sha256=sha256_of(path))
    assert encoder.encode(*images) == pytest.approx(pooled(resnet, images[0]), abs=1e-5)


def test_an_image_is_encoded_alone_as_in_a_batch(images):
    row = dict(loader="timm", name="test_resnet", arguments={}, mean=MEAN, std=STD)
    encoder = load_encoder(**row, sha256=None)
    pixels, visible = images
    alone = np.concatenate([encoder.encode(pixels[i : i + 1], visible[:1]) for i in range(4)])
    assert encoder.encode(pixels, visible) == pytest.approx(alone, abs=1e-5)


def test_an_untrained_network_follows_the_seed(images):
    row = dict(loader="timm", name="test_resnet", arguments={}, mean=MEAN, std=STD, sha256=None)
    one, same, other = (load_encoder(**row, seed=seed).encode(*images) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_network_that_keeps_its_map_is_refused(images):
    row = dict(loader="timm", name="test_resnet", mean=MEAN, std=STD, sha256=None)
    encoder = load_encoder(**row, arguments={"global_pool": ""})
    with pytest.raises(ValueError, match=r"the network gave \(4, .*\) for 4 images, not \(b, d\)"):
        encoder.encode(*images)


def test_image_statistics_see_only_visible_pixels(images):
    encoder = load_encoder("image_statistics", [0, 0, 0], [1, 1, 1], sha256=None)
    pixels, visible = images[0].sigmoid(), images[1].clone()
    visible[:, :32] = False
    changed = pixels.clone()
    changed[:, :, :32] = 0
    assert np.array_equal(encoder.encode(pixels, visible), encoder.encode(changed, visible))


def small_row(**changes):
    return dict(loader="timm", name="test_resnet", arguments={}, mean=MEAN, std=STD) | changes


@torch.inference_mode()
def test_a_lower_precision_is_what_autocast_gives(images):
    encoder = load_encoder(**small_row(sha256=None, precision="bfloat16"))
    found, exact = encoder.encode(*images), encoder.plain().encode(*images)
    with torch.autocast("cpu", torch.bfloat16):
        expected = encoder.network(images[0].contiguous(memory_format=torch.channels_last))
    assert expected.dtype == torch.bfloat16
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.float().numpy())
    assert np.array_equal(exact, load_encoder(**small_row(sha256=None)).encode(*images))
    assert not np.array_equal(found, exact)


def test_only_a_row_that_says_so_is_compiled():
    assert load_encoder(**small_row(sha256=None)).compiled is None
    encoder = load_encoder(**small_row(sha256=None, compile=True))
    assert encoder.compiled._orig_mod is encoder.network
    assert encoder.plain().compiled is None


def test_networks_of_convolutions_lie_in_memory_by_channels_and_transformers_do_not():
    layouts = {}
    for name in ("test_resnet", "test_vit"):
        network = load_encoder(**small_row(name=name, sha256=None)).network
        layouts[name] = best_memory_format(network)
        # A 1 x 1 convolution or one of a single channel lies in both ways.
        convolutions = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        assert all(w.is_contiguous(memory_format=layouts[name]) for w in convolutions)
    assert layouts == {"test_resnet": torch.channels_last, "test_vit": torch.contiguous_format}
