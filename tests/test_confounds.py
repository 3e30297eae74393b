import h5py
import numpy as np
import pytest

from halfseen.confounds import (
    SIZES,
    BetweenClasses,
    Kept,
    WithinClasses,
    component_curve,
    nested_sizes,
    partial_cka,
    sample_size_rows,
    without_longest,
)
from halfseen.moments import pair_of
from halfseen.representations import Representation
from halfseen.similarity import similarity


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def classed(rng):
    """Two representations that share their classes and nothing else, and the labels."""
    labels = rng.permutation(np.arange(200) % 5)
    centres = rng.normal(size=(5, 6)) * 4
    x, y = (centres[labels] + rng.normal(size=(200, 6)) for _ in range(2))
    return x, y, labels


# Classes


def test_the_parts_within_and_between_classes_add_up_and_are_orthogonal(classed):
    x, _, labels = classed
    within, between = WithinClasses(x, labels)[:], BetweenClasses(x, labels)[:]
    assert within + between == pytest.approx(x, abs=1e-12)
    assert within.T @ between == pytest.approx(np.zeros((6, 6)), abs=1e-9)
    for label in range(5):
        assert within[labels == label].mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-12)
        assert between[labels == label] == pytest.approx(
            np.tile(x[labels == label].mean(axis=0), (40, 1))
        )


def test_similarity_by_class_alone_is_gone_within_classes_and_whole_between_them(classed):
    x, y, labels = classed
    assert similarity(x, y, "debiased_cka") > 0.8
    within = similarity(WithinClasses(x, labels), WithinClasses(y, labels), "debiased_cka")
    between = similarity(BetweenClasses(x, labels), BetweenClasses(y, labels), "linear_cka")
    assert abs(within) < 0.1
    assert between > 0.95


def test_parts_stream_from_a_file(classed, tmp_path):
    x, _, labels = classed
    with h5py.File(tmp_path / "features.h5", "w") as file:
        stored = file.create_dataset("x", data=x)
        for part in (WithinClasses, BetweenClasses):
            assert part(stored, labels)[20:31] == pytest.approx(part(x, labels)[:][20:31])
        keep = np.arange(200) % 3 == 1
        kept = Kept(stored, keep)
        assert kept.shape == (67, 6)
        assert np.array_equal(kept[10:25], x[keep][10:25])
        assert kept[67:70].shape == (0, 6)


def test_labels_that_do_not_fit_are_an_error(classed):
    x, _, labels = classed
    with pytest.raises(ValueError, match="199 labels do not fit 200 images"):
        WithinClasses(x, labels[1:])


# Long rows


def test_the_longest_rows_of_each_are_dropped_from_both(rng):
    x, y = rng.normal(size=(200, 3)) + 50, rng.normal(size=(200, 3))
    x[17] += 100
    x[18] += 90
    y[3] -= 100
    y[4] -= 90
    keep = without_longest([Representation(x), Representation(y)])
    assert np.flatnonzero(~keep).tolist() == [3, 4, 17, 18]
    assert (~without_longest([Representation(x)], share=0.004)).sum() == 1


def test_one_long_row_makes_unrelated_representations_alike_until_it_is_dropped(rng):
    x, y = rng.normal(size=(300, 5)), rng.normal(size=(300, 5))
    x[5] += 200
    y[5] += 200
    keep = without_longest([Representation(x), Representation(y)])
    assert similarity(x, y, "linear_cka") > 0.9
    assert similarity(Kept(x, keep), Kept(y, keep), "linear_cka") < 0.1


# Leading directions


def without_components(x, k):
    u, s, vh = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return (u[:, k:] * s[k:]) @ vh[k:]


@pytest.mark.parametrize("wide", [False, True])
def test_the_curve_is_cka_of_rows_without_their_leading_components(wide, rng):
    shape = (30, 80) if wide else (80, 6)
    x = rng.normal(size=shape) * np.arange(1, shape[1] + 1)
    y = x @ rng.normal(size=(shape[1], 7)) + 10 * rng.normal(size=(shape[0], 7))
    curve = component_curve(pair_of(x, y), 4)
    expected = [
        similarity(without_components(x, k), without_components(y, k), "linear_cka")
        for k in range(5)
    ]
    assert curve == pytest.approx(expected, rel=1e-8)
    with pytest.raises(ValueError, match="at most"):
        component_curve(pair_of(x, y), 7)


def test_a_shared_direction_shows_only_before_it_is_removed(rng):
    shared = 30 * rng.normal(size=(400, 1))
    x, y = (np.hstack([shared, rng.normal(size=(400, 5))]) for _ in range(2))
    curve = component_curve(pair_of(x, y), 2)
    assert curve[0] > 0.99
    assert (curve[1:] < 0.1).all()


# Pixels


def test_partial_cka_is_that_of_gram_matrices_less_their_projection(rng):
    z = rng.normal(size=(50, 3))
    x, y = (z @ rng.normal(size=(3, 4)) + rng.normal(size=(50, 4)) for _ in range(2))

    def gram(a):
        a = a - a.mean(0)
        return a @ a.T

    k, loss, m = gram(x), gram(y), gram(z)
    k, loss = (g - (g * m).sum() / (m * m).sum() * m for g in (k, loss))
    expected = (k * loss).sum() / np.linalg.norm(k) / np.linalg.norm(loss)
    values = [similarity(a, b, "linear_cka") for a, b in ((x, y), (x, z), (y, z))]
    assert partial_cka(*values) == pytest.approx(expected, rel=1e-9)
    assert partial_cka(0.5, 0, 0) == 0.5
    with pytest.raises(ValueError, match="nothing is left"):
        partial_cka(0.5, 1, 0.5)


# Is n large enough?


MEASURES = {"cca": {"kind": "mean_squared_cca"}, "cka": {"kind": "debiased_cka"}}


def test_sizes_are_halved_down_to_the_least():
    assert nested_sizes(1000) == [125, 250, 500, 1000]
    assert nested_sizes(200, least=60) == [100, 200]
    assert nested_sizes(50) == [50]


def test_cca_of_few_images_is_warned_of_and_debiased_cka_of_many_is_not(rng):
    x = rng.normal(size=(2000, 20))
    y = x @ rng.normal(size=(20, 20)) / 4 + rng.normal(size=(2000, 20))
    few = sample_size_rows(x[:200], y[:200], MEASURES, rng)
    assert list(few.columns) == SIZES
    cca = few[few.measure == "cca"]
    assert cca.n.tolist() == [100, 200]
    assert cca.similarity.is_monotonic_decreasing
    assert cca.null.to_numpy() == pytest.approx([20 / 99, 20 / 199])
    assert cca.change.iloc[1] == pytest.approx(np.diff(cca.similarity)[0])
    assert cca.warning.iloc[1].startswith("changed by -0.")
    many = sample_size_rows(x, y, MEASURES, rng)
    last = many[many.n == 2000].set_index("measure")
    assert last.warning["cka"] == ""
    assert last.n_over_d["cca"] == 100


def test_the_last_size_is_all_images_and_a_refused_size_has_no_row(rng):
    x, y = rng.normal(size=(150, 100)), rng.normal(size=(150, 100))
    table = sample_size_rows(x, y, MEASURES, rng, sizes=[75, 150])
    assert table[table.measure == "cca"].n.tolist() == [150]
    assert table[table.measure == "cca"].warning.tolist() == ["measured at one size alone"]
    last = table[(table.measure == "cka") & (table.n == 150)].similarity.iloc[0]
    assert last == pytest.approx(similarity(x, y, "debiased_cka"))
    with pytest.raises(ValueError, match="1 by construction"):
        sample_size_rows(x[:90], y[:90], MEASURES, rng)


def test_few_images_per_dimension_are_warned_of_even_where_nothing_changes(rng):
    x = rng.normal(size=(160, 40))
    table = sample_size_rows(x, x.copy(), {"cca": {"kind": "mean_squared_cca"}}, rng)
    assert table.warning.iloc[-1] == "4.0 images per dimension; CCA needs 10"
