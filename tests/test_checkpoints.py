import hashlib

import pytest
import torch
from torch import nn

from halfseen.checkpoints import (
    dinov2_position_embedding,
    load_exactly,
    paired_by_order,
    read_checkpoint,
    without_classifier,
)

ONE, TWO = torch.ones(1), torch.full((2,), 2.0)


@pytest.fixture
def read(tmp_path):
    """`read_checkpoint` of a file that holds the given value."""

    def save_and_read(value, **layout):
        path = tmp_path / "file.pth"
        torch.save(value, path)
        return read_checkpoint(path, hashlib.sha256(path.read_bytes()).hexdigest(), **layout)

    return save_and_read


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_tensors_are_found_where_unwrap_leads_by_their_stripped_names(read):
    held = {"a": {"b": {"m.x": ONE, "m.head.y": TWO, "other": ONE}}, "epoch": 3}
    found = read(held, unwrap=["a", "b"], strip="m.", drop=["head."])
    assert found == {"x": ONE}


def test_a_key_that_is_not_there_is_named_with_those_that_are(read):
    with pytest.raises(ValueError, match=r"checkpoint\['a'\] has no key 'c', only \['b'\]"):
        read({"a": {"b": {}}}, unwrap=["a", "c"])
    with pytest.raises(ValueError, match=r"checkpoint\['a'\] has no key 'x', only Tensor"):
        read({"a": ONE}, unwrap=["a", "x"])


def test_names_are_replaced_in_the_order_given(read):
    held = {"norm.w": ONE, "block.norm.w": TWO}
    assert list(read(held, rename=[["norm.", "ln."]])) == ["ln.w", "block.ln.w"]
    assert list(read(held, rename=[["^norm.", "fc_norm."]])) == ["fc_norm.w", "block.norm.w"]
    assert list(read(held, rename=[["^norm", "x"], ["x", "y"]])) == ["y.w", "block.norm.w"]
    assert list(read(held, rename=[["x", "y"], ["^norm", "x"]])) == ["x.w", "block.norm.w"]


def test_two_tensors_of_one_name_are_refused(read):
    with pytest.raises(ValueError, match="two tensors of the file are called 'b'"):
        read({"a": ONE, "b": TWO}, rename=[["^a", "b"]])


def test_what_is_no_tensor_is_named(read):
    with pytest.raises(ValueError, match="1 entries of the file are no tensors: epoch"):
        read({"w": ONE, "epoch": 3})


def test_a_prefix_that_leaves_nothing_is_named(read):
    with pytest.raises(ValueError, match=r"none of its 1 names, such as 'w', passes strip 'm\.'"):
        read({"w": ONE}, strip="m.")


def test_order_pairs_tensors_and_refuses_another_number():
    assert paired_by_order({"a": ONE, "b": TWO}, {"x": 0, "y": 0}) == {"x": ONE, "y": TWO}
    with pytest.raises(ValueError, match="holds 1 tensors, the network has 2"):
        paired_by_order({"a": ONE}, {"x": 0, "y": 0})


def test_only_a_classifier_that_the_network_lacks_is_left_out(network):
    tensors = network.state_dict() | {"fc.weight": ONE, "fcx.weight": ONE}
    kept = without_classifier(tensors, network, ["fc", "0"])
    assert kept.keys() == network.state_dict().keys() | {"fcx.weight"}


def test_every_tensor_is_loaded(network):
    tensors = {key: torch.randn(value.shape) for key, value in network.state_dict().items()}
    tensors["1.num_batches_tracked"] = torch.tensor(7)
    load_exactly(network, tensors)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in tensors.items())


def test_missing_unexpected_and_misshapen_tensors_are_named_and_nothing_is_loaded(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    tensors = {key: value + 1 for key, value in before.items()}
    tensors["1.weights"] = tensors.pop("1.weight")
    tensors["0.bias"] = torch.zeros(5)
    message = r"3 tensors .* 0.bias is \(5,\), not \(3,\); missing 1.weight; unexpected 1.weights"
    with pytest.raises(ValueError, match=message):
        load_exactly(network, tensors)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())


def test_only_counters_of_batches_may_be_missing_and_that_is_told(network, capsys):
    tensors = {key: value for key, value in network.state_dict().items() if "num_" not in key}
    load_exactly(network, tensors)
    assert "the file lacks 1 counters of training batches" in capsys.readouterr().out
    del tensors["1.running_var"]
    with pytest.raises(ValueError, match="1 tensors .* missing 1.running_var"):
        load_exactly(network, tensors)


def cubic(t):
    """Keys' cubic convolution kernel with a = -0.75, which torch's bicubic uses."""
    t, a = abs(t), -0.75
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def resampling_matrix(side, cells):
    """(cells, side): weights of a bicubic resampling by the scale (cells + 0.1) / side."""
    matrix = torch.zeros(cells, side, dtype=torch.float64)
    for cell in range(cells):
        place = (cell + 0.5) * side / (cells + 0.1) - 0.5
        for tap in range(int(place) - 1, int(place) + 3):
            matrix[cell, min(max(tap, 0), side - 1)] += cubic(place - tap)
    return matrix


def test_dinov2_s_position_embedding_follows_its_formula():
    torch.manual_seed(0)
    embedding = torch.randn(1, 1 + 37 * 37, 8)
    found = dinov2_position_embedding(embedding, (16, 16))
    matrix = resampling_matrix(37, 16)
    square = embedding[0, 1:].double().reshape(37, 37, 8)
    expected = torch.einsum("ar,bc,rcd->abd", matrix, matrix, square).reshape(256, 8)
    assert found.shape == (1, 257, 8)
    assert torch.equal(found[:, 0], embedding[:, 0])
    assert found[0, 1:].double().numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_position_embedding_of_the_right_size_is_left_as_it_is():
    embedding = torch.randn(1, 1 + 37 * 37, 4)
    assert dinov2_position_embedding(embedding, (37, 37)) is embedding


def test_a_position_embedding_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match="of 12 patches is no square"):
        dinov2_position_embedding(torch.zeros(1, 13, 4), (4, 4))
