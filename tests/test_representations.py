import h5py
import numpy as np
import pytest
import torch

from halfseen.representations import EPSILON, Representation, check_same_images, row_slices


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def all_rows(representation):
    return torch.cat([block for _, block in representation.blocks()]).numpy()


def gram(x):
    center = np.eye(len(x)) - 1 / len(x)
    return center @ x @ x.T @ center


@pytest.mark.parametrize("block_rows", [1, 7, 64, 1000])
def test_the_rows_are_centred_whatever_the_block_size(rng, block_rows):
    x = rng.normal(size=(60, 5)).astype(np.float32) + 1000
    rows = all_rows(Representation(x, block_rows=block_rows))
    assert rows == pytest.approx(x.astype(float) - x.mean(axis=0, dtype=float), abs=1e-9)


def test_a_data_set_of_a_file_gives_what_the_array_gives(rng, tmp_path):
    x = rng.normal(size=(50, 4)).astype(np.float32)
    with h5py.File(tmp_path / "features.h5", "w") as file:
        stored = file.create_dataset("features", data=x)
        found = all_rows(Representation(stored, block_rows=16))
    assert np.array_equal(found, all_rows(Representation(x, block_rows=16)))


def test_the_array_that_was_given_stays_as_it_was(rng):
    x = rng.normal(size=(20, 3))
    before = x.copy()
    all_rows(Representation(x))
    assert np.array_equal(x, before)


def test_more_dimensions_than_images_become_coordinates_with_the_same_distances(rng):
    x = rng.normal(size=(9, 40)) + 3
    compressed = Representation(x)
    assert (compressed.d, compressed.n_features, compressed.is_compressed) == (8, 40, True)
    rows = all_rows(compressed)
    assert rows @ rows.T == pytest.approx(gram(x), abs=1e-10)
    assert rows.sum(axis=0) == pytest.approx(np.zeros(8), abs=1e-10)
    plain = Representation(x, compress=False)
    assert (plain.d, plain.is_compressed) == (40, False)


def test_the_sums_of_the_groups_are_those_of_their_centred_rows(rng):
    groups = np.arange(60) % 4
    for x in (rng.normal(size=(60, 5)) + 9, rng.normal(size=(60, 80))):
        representation = Representation(x, groups=groups, block_rows=13)
        rows = all_rows(representation)
        expected = [rows[groups == group].sum(axis=0) for group in range(4)]
        assert representation.sums.numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_orthonormal_coordinates_leave_out_repeated_combined_and_constant_columns(rng):
    x = rng.normal(size=(60, 5))
    wide = np.column_stack([x, x, x @ np.arange(5), np.full(60, 7.0)])
    view = Representation(wide, block_rows=7).orthonormal()
    rows = all_rows(view)
    assert (view.d, view.n_features) == (5, 12)
    assert rows.T @ rows == pytest.approx(np.eye(5), abs=1e-9)
    # They span what x spans.
    centred = x - x.mean(axis=0)
    assert rows @ (rows.T @ centred) == pytest.approx(centred, abs=1e-9)


def test_a_column_counts_just_above_the_stated_tolerance_and_not_just_below(rng):
    q = np.linalg.qr(np.column_stack([np.ones(60), rng.normal(size=(60, 3))]))[0][:, 1:]
    tolerance = Representation(q).tolerance
    assert tolerance == 60 * EPSILON
    for factor, rank in [(100, 3), (0.001, 2)]:
        assert Representation(q * [1, 1, factor * tolerance]).orthonormal().d == rank


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 17])
def test_a_number_that_is_not_finite_is_an_error_that_names_representation_and_row(bad, row):
    x = np.random.default_rng(0).normal(size=(30, 3))
    x[row, 1] = bad
    with pytest.raises(ValueError, match=rf"border must be finite; row {row} of shape \(30, 3\)"):
        Representation(x, "border", block_rows=8)


@pytest.mark.parametrize("shape", [(5,), (5, 3, 2), (5, 0)])
def test_anything_but_a_matrix_is_an_error(shape):
    with pytest.raises(ValueError, match=r"must be a finite \(n, d\) array"):
        Representation(np.ones(shape))


@pytest.mark.parametrize("constant", [0, 0.1, 1e6])
def test_the_same_row_for_every_image_is_an_error(constant):
    with pytest.raises(ValueError, match="border is the same for every image"):
        Representation(np.full((1000, 3), constant) * [1, 2, 3], "border")


def test_fewer_than_four_images_are_an_error(rng):
    with pytest.raises(ValueError, match="border has 3 images; similarity needs at least 4"):
        Representation(rng.normal(size=(3, 2)), "border")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 1] * 4, "has 10 images; its groups must be as many integers"),
        ([0.0, 1.0] * 5, "must be as many integers"),
        ([-1, 1] * 5, "must be as many integers from 0"),
        ([0, 2] * 5, "group 1 of 3 has no image"),
        ([0] * 8 + [1] * 2, "without group 0 there are 2 images"),
    ],
)
def test_groups_that_do_not_fit_are_an_error(rng, groups, message):
    with pytest.raises(ValueError, match=message):
        Representation(rng.normal(size=(10, 2)), groups=np.array(groups))


def test_representations_of_other_images_are_an_error_that_names_both_and_the_first_row(rng):
    x = rng.normal(size=(5, 2))
    ids = np.array(["a", "b", "c", "d", "e"])
    one, other = Representation(x, "one", ids=ids), Representation(x, "other", ids=ids[::-1])
    with pytest.raises(ValueError, match="one and other are of other images: row 0 is 'a' .* 'e'"):
        check_same_images(one, other)
    with pytest.raises(ValueError, match="one of 5 and two of 4 images cannot be compared; join"):
        check_same_images(one, Representation(x[1:], "two"))
    with pytest.raises(ValueError, match="other groups"):
        check_same_images(
            Representation(np.tile(x, (2, 1)), groups=np.arange(10) % 2),
            Representation(np.tile(x, (2, 1))),
        )
    with pytest.raises(ValueError, match="one has 5 images, but 4 ids"):
        Representation(x, "one", ids=ids[1:])
    check_same_images(one, Representation(x + 1, "again", ids=ids.copy()))


def test_slices_cover_every_row_once():
    assert [(part.start, part.stop) for part in row_slices(10, 4)] == [(0, 4), (4, 8), (8, 10)]
