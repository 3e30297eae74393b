import hashlib

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from halfseen.networks import LOADERS

timm_network, torchvision_network = LOADERS["timm"], LOADERS["torchvision"]
torch_hub_network = LOADERS["torch_hub"]
RESNET = dict(name="resnet18", arguments={}, pooling="average")


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def pixels():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


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


@torch.inference_mode()
def pooled(network, pixels):
    """The representation before the classifier, by torchvision's own forward hook."""
    kept = []
    handle = network.avgpool.register_forward_hook(lambda *call: kept.append(call[2].flatten(1)))
    network(pixels)
    handle.remove()
    return kept[0].numpy()


@torch.inference_mode()
def encoded(network, pixels):
    return network.eval()(pixels).numpy()


def test_torchvision_gives_what_the_last_linear_layer_would_have_read(pixels, resnet, save):
    network = torchvision_network(**RESNET, **save(resnet.state_dict()))
    assert encoded(network, pixels) == pytest.approx(pooled(resnet, pixels), abs=1e-5)


def test_timm_reads_its_own_layout_and_drops_the_classifier(pixels, save):
    import timm

    torch.manual_seed(2)
    whole = timm.create_model("test_resnet").eval()
    row = dict(name="test_resnet", arguments={}, pooling="average")
    network = timm_network(**row, **save(whole.state_dict()))
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(pixels), pre_logits=True)
    assert encoded(network, pixels) == pytest.approx(expected.numpy(), abs=1e-5)


def test_timm_s_missing_tensors_are_named_though_the_classifier_differs(save):
    import timm

    tensors = timm.create_model("test_resnet").state_dict()
    del tensors["conv1.0.weight"]
    row = dict(name="test_resnet", arguments={}, pooling="average")
    with pytest.raises(ValueError, match="1 tensors .* missing conv1.0.weight"):
        timm_network(**row, **save(tensors))


def test_a_checkpoint_is_unwrapped_stripped_trimmed_and_renamed(pixels, resnet, save):
    tensors = {f"module.{name}": value for name, value in resnet.state_dict().items()}
    tensors |= {"module.projection_head.weight": torch.ones(3), "epoch": torch.ones(1)}
    tensors["module.stem.weight"] = tensors.pop("module.conv1.weight")
    layout = dict(unwrap=["state_dict"], strip="module.", drop=["projection_head."])
    layout["rename"] = [["^stem.", "conv1."]]
    weights = save({"state_dict": tensors, "epoch": 100})
    network = torchvision_network(**RESNET, **layout, **weights)
    assert encoded(network, pixels) == pytest.approx(pooled(resnet, pixels), abs=1e-5)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_checkpoint_with_other_names_is_matched_by_order(pixels, resnet, save, library):
    tensors = {f"t{number}": value for number, value in enumerate(resnet.state_dict().values())}
    network = LOADERS[library](**RESNET, match="order", **save(tensors))
    assert encoded(network, pixels) == pytest.approx(pooled(resnet, pixels), abs=1e-5)
    with pytest.raises(ValueError, match="holds 121 tensors, the network has 122"):
        LOADERS[library](**RESNET, match="order", **save(dict(list(tensors.items())[1:])))


def test_changed_weights_are_refused(resnet, save):
    row = RESNET | save(resnet.state_dict()) | {"sha256": "0" * 64}
    with pytest.raises(ValueError, match="0{64}"):
        torchvision_network(**row)


def test_safetensors_are_read_like_a_pickle(pixels, resnet, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(resnet.state_dict(), path)
    network = torchvision_network(**RESNET, weights=str(path), sha256=sha256_of(path))
    assert encoded(network, pixels) == pytest.approx(pooled(resnet, pixels), abs=1e-5)


@pytest.mark.parametrize(
    ("loader", "name", "told"),
    [
        ("timm", "vit_base_patch14_dinov3", "did you mean 'vit_base_patch16_dinov3' or "),
        ("timm", "hf-hub:timm/resnet18", "timm has no model 'hf-hub:timm/resnet18'"),
        ("timm", "resnet50.tv3_in1k", "timm cannot make 'resnet50.tv3_in1k'.*tag"),
        ("torchvision", "resnet51", "torchvision has no model 'resnet51'; did you mean 'resnet50'"),
        ("torchvision", "fasterrcnn_resnet50_fpn", "torchvision has no model 'fasterrcnn"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(loader, name, told):
    with pytest.raises(ValueError, match=told):
        LOADERS[loader](name=name, arguments={}, pooling="network")


def test_timm_pools_as_the_row_says(pixels):
    means = {}
    for pooling in ("class_token", "average"):
        torch.manual_seed(3)
        row = dict(name="test_vit", arguments={"img_size": 64}, pooling=pooling)
        network = timm_network(**row).eval()
        with torch.inference_mode():
            tokens = network.forward_features(pixels)
            means["class_token"], means["average"] = tokens[:, 0], tokens[:, 1:].mean(dim=1)
            # timm norms before the class token is taken, and after the mean
            expected = network.fc_norm(means[pooling])
        assert encoded(network, pixels) == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("loader", "name", "pooling", "told"),
    [
        ("timm", "test_resnet", "class_token", "timm cannot make 'test_resnet' with pooling"),
        ("timm", "mixer_s16_224", "class_token", "timm cannot make 'mixer_s16_224' with pooling"),
        ("torchvision", "resnet18", "class_token", "resnet18 pools by average, not by class_token"),
        ("torchvision", "vit_b_16", "average", "vit_b_16 pools by class_token, not by average"),
        ("torchvision", "densenet121", "average", "densenet121 does not show how it pools"),
        ("torchvision", "alexnet", "average", "alexnet does not show how it pools.*: network"),
    ],
)
def test_a_pooling_that_a_network_does_not_have_is_refused(loader, name, pooling, told):
    with pytest.raises(ValueError, match=told):
        LOADERS[loader](name=name, arguments={}, pooling=pooling)


def test_a_network_built_without_its_class_token_cannot_pool_by_it():
    with pytest.raises(ValueError, match="timm cannot make .* needs the class token"):
        timm_network("eva02_tiny_patch14_224", {"class_token": False}, "class_token")


def test_pooling_is_said_in_one_place():
    with pytest.raises(ValueError, match="take global_pool from arguments"):
        timm_network("test_vit", {"global_pool": "avg"}, "average")


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(ValueError, match="SqueezeNet has no linear layer"):
        torchvision_network("squeezenet1_0", {}, "network")


def test_dinov2_s_position_embedding_is_refused_where_it_is_not_upstream_s(save):
    import timm

    network = timm.create_model("test_vit", num_classes=0)
    tensors = network.state_dict() | {"register_tokens": torch.zeros(1, 4, 64)}
    row = dict(name="test_vit", arguments={}, pooling="class_token", position_embedding="dinov2")
    with pytest.raises(ValueError, match="without register tokens"):
        timm_network(**row, **save(tensors))


HUBCONF = """
from torchvision.models import resnet18 as _resnet18
from torchvision.models import resnet34
def tiny_resnet(width, pretrained=True):
    assert not pretrained
    return _resnet18(weights=None, num_classes=width)
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/hubconf.py").write_text(HUBCONF)
    return str(tmp_path / "clone")


HUB = dict(name="tiny_resnet", arguments={"width": 7, "pretrained": False}, pooling="average")


def test_a_hub_entry_is_made_with_its_arguments_and_the_weights_of_the_row(
    pixels, resnet, save, repository
):
    weights = save({key: value for key, value in resnet.state_dict().items() if "fc." not in key})
    network = torch_hub_network(repository, **HUB, without_head=True, **weights)
    assert encoded(network, pixels) == pytest.approx(pooled(resnet, pixels), abs=1e-5)


def test_a_hub_entry_keeps_its_head_unless_told(pixels, repository, save):
    network = torch_hub_network(repository, **HUB)
    assert encoded(network, pixels).shape == (4, 7)
    tensors = network.state_dict()
    again = torch_hub_network(repository, **HUB, **save(tensors))
    assert encoded(again, pixels) == pytest.approx(encoded(network, pixels), abs=1e-6)
    del tensors["fc.bias"]
    with pytest.raises(ValueError, match="missing fc.bias"):
        torch_hub_network(repository, **HUB, **save(tensors))


def test_an_unknown_hub_entry_is_answered_with_the_nearest_and_nothing_is_run(repository):
    with pytest.raises(ValueError, match=f"{repository} has no model 'tiny_resne'.*'tiny_resnet'"):
        torch_hub_network(repository, **HUB | {"name": "tiny_resne"})
    with pytest.raises(ValueError, match="did you mean .*'resnet34'"):
        torch_hub_network(repository, **HUB | {"name": "resnet3"})


def test_a_hub_repository_needs_a_ref_and_a_folder_a_hubconf(tmp_path):
    with pytest.raises(ValueError, match="'owner/name' is not owner/name:ref; without a ref"):
        torch_hub_network("owner/name", **HUB)
    with pytest.raises(FileNotFoundError, match="hubconf.py; repo is the folder"):
        torch_hub_network(str(tmp_path), **HUB)


def test_a_hub_repository_that_cannot_be_fetched_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="owner/name:v1 could not be fetched: .*give its folder"):
        torch_hub_network("owner/name:v1", **HUB)


def test_a_hub_repository_that_was_fetched_before_needs_no_network(
    pixels, repository, monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    cached = tmp_path / "hub/owner_name_v1"
    cached.mkdir(parents=True)
    (cached / "hubconf.py").write_text(HUBCONF)
    network = torch_hub_network("owner/name:v1", **HUB)
    assert encoded(network, pixels).shape == (4, 7)
