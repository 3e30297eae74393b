import numpy as np
import pytest
import torch
from torch import nn

from halfseen.encoder_checks import FirstBatch, frozen, smallest_cosine
from halfseen.encoders import Encoder


def test_the_cosine_is_that_of_the_two_most_different_directions():
    expected = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    assert smallest_cosine(3 * expected, expected) == pytest.approx(1)
    turned = np.array([[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    assert smallest_cosine(turned, expected) == pytest.approx(np.sqrt(0.5))
    assert smallest_cosine(-expected, expected) == pytest.approx(-1)
    assert smallest_cosine(np.ones((3, 2), np.float32), expected) == 0


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    network.register_buffer("scratch", torch.zeros(2, dtype=torch.bfloat16), persistent=False)
    return Encoder(network, (0,) * 3, (1,) * 3, "cpu")


def test_an_encoder_that_is_left_as_it_was_is_frozen(encoder):
    with frozen(encoder, "m on d"), torch.inference_mode():
        encoder.network(torch.ones(4, 3))


def test_every_changed_tensor_counts_also_one_that_is_not_saved(encoder):
    message = "m on d: the extraction changed 2 tensors .* among them '0.bias'; an encoder must be"

    def change():
        encoder.network[0].bias.data[1] = -encoder.network[0].bias.data[1]
        encoder.network.scratch[0] = 1

    with pytest.raises(ValueError, match=message), frozen(encoder, "m on d"):
        change()


def test_a_network_that_changes_to_training_mode_is_named(encoder):
    message = "m on d: 1 modules .* among them 'Sequential'; call eval"
    with pytest.raises(ValueError, match=message), frozen(encoder, "m on d"):
        encoder.network.training = True


def test_a_function_has_nothing_to_freeze():
    with frozen(Encoder(lambda pixels, visible: pixels, (0,) * 3, (1,) * 3, "cpu"), "m on d"):
        pass


def encoded(features):
    """`encode` of a batch of these features, as they should be."""
    return lambda rows: features[list(rows)]


FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_features_of_the_image_alone_pass_every_check():
    first = FirstBatch(encoded(FEATURES), FEATURES, True, "m on d")
    assert first.check_batch_and_order() == 0
    assert first.check_once_more() == 0
    assert first.check_against(FEATURES) == (0, pytest.approx(1))


def test_the_tolerance_is_a_hundred_thousandth_of_the_largest_feature():
    within, beyond = FEATURES + 11 * 0.9e-5, FEATURES + 11 * 1.2e-5
    first = FirstBatch(encoded(within), FEATURES, True, "m on d")
    assert first.check_batch_and_order() == pytest.approx(0.9e-5, rel=0.1)
    with pytest.raises(ValueError, match="m on d: an image alone and in a batch of 4 differ by"):
        FirstBatch(encoded(beyond), FEATURES, True, "m on d").check_batch_and_order()


def test_of_features_below_one_the_tolerance_is_absolute():
    tiny = FEATURES / 1000
    first = FirstBatch(encoded(tiny + 0.9e-5), tiny, True, "m on d")
    assert first.check_batch_and_order() == pytest.approx(0.9e-5, rel=0.1)


def test_a_difference_that_is_not_a_number_is_refused():
    first = FirstBatch(encoded(FEATURES * np.nan), FEATURES, True, "m on d")
    with pytest.raises(ValueError, match="differ by nan"):
        first.check_once_more()


def test_a_difference_is_only_told_where_it_is_not_asserted(capsys):
    first = FirstBatch(encoded(FEATURES + 11), FEATURES, False, "m on d")
    assert first.check_batch_and_order() == pytest.approx(1)
    assert first.check_against(FEATURES / 2)[0] == pytest.approx(0.5)
    assert "m on d: a batch and its reverse differ by 1" in capsys.readouterr().out
