import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import pdist, squareform

from halfseen.patterns import (
    PATTERNS,
    angular_map,
    angular_tree,
    pattern_rows,
    similarity_matrix,
)
from halfseen.representations import Representation
from halfseen.similarity import similarity_of_all


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def symmetric(*cells):
    matrix = np.eye(3)
    matrix[np.triu_indices(3, 1)] = cells
    return np.triu(matrix) + np.triu(matrix, 1).T


def test_a_pattern_s_correlations_by_hand():
    matrices = {
        "supervised": symmetric(0.1, 0.2, 0.3),
        "same": symmetric(0.5, 0.7, 0.9),
        "curved": symmetric(0.1, 0.2, 0.9),
        "opposite": symmetric(0.3, 0.2, 0.1),
    }
    table = pattern_rows(matrices, "supervised").set_index("model")
    assert list(table.reset_index().columns) == PATTERNS
    assert table.pearson.to_dict() == pytest.approx(
        # Of (1, 2, 9) with (1, 2, 3): 8 / sqrt(2 * 38).
        {"supervised": 1, "same": 1, "curved": 8 / np.sqrt(76), "opposite": -1}
    )
    assert table.spearman.to_dict() == pytest.approx(
        {"supervised": 1, "same": 1, "curved": 1, "opposite": -1}
    )
    assert (table.n_cells == 3).all()


def test_the_diagonal_plays_no_part(rng):
    a = symmetric(0.1, 0.2, 0.3)
    b = a.copy()
    np.fill_diagonal(b, [0.3, 0.2, 0.9])
    assert pattern_rows({"a": a, "b": b}, "a").pearson.tolist() == pytest.approx([1, 1])


def test_a_flat_matrix_and_an_unknown_reference_are_errors():
    flat = symmetric(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="all pairs of mae are equally similar"):
        pattern_rows({"mae": flat, "swav": symmetric(1, 2, 3)}, "swav")
    with pytest.raises(ValueError, match="'dino' is not among the models mae"):
        pattern_rows({"mae": flat}, "dino")
    with pytest.raises(ValueError, match="V at least 3"):
        pattern_rows({"mae": np.eye(2)}, "mae")


def test_a_matrix_comes_from_the_table_in_the_order_asked_for(rng):
    parts = {name: Representation(rng.normal(size=(30, 3)), name) for name in "abc"}
    table = similarity_of_all(parts, {"cka": {"kind": "linear_cka"}}).table
    matrix = similarity_matrix(table, "cab", "cka")
    cells = table.set_index(["x", "y"]).similarity
    assert matrix[0, 1] == cells["c", "a"]
    assert np.array_equal(matrix, matrix.T)
    with pytest.raises(ValueError, match="has no cka of d"):
        similarity_matrix(table, "abd", "cka")
    with pytest.raises(ValueError, match="not every pair's"):
        similarity_matrix(table[(table.x != "a") | (table.y != "b")], "abc", "cka")


def test_a_map_of_points_gives_their_distances_back_exactly(rng):
    points = rng.normal(size=(12, 2)) * [5, 1]
    coordinates, shown = angular_map(squareform(pdist(points)))
    assert pdist(coordinates) == pytest.approx(pdist(points))
    assert shown == pytest.approx(1)
    assert coordinates.var(axis=0)[0] > coordinates.var(axis=0)[1]
    largest = np.abs(coordinates).argmax(axis=0)
    assert (coordinates[largest, [0, 1]] > 0).all()


def test_a_map_says_what_it_cannot_show(rng):
    corners = squareform(pdist(np.eye(4)))  # 3 equal axes, of which 2 are shown
    _, shown = angular_map(corners)
    assert shown == pytest.approx(2 / 3)


def test_a_tree_by_hand():
    # 0 and 2 are near, 1 is far from both: they join at 1, then at the mean of 4 and 6.
    distances = np.array([[0, 4, 1], [4, 0, 6], [1, 6, 0]], dtype=float)
    tree, leaves = angular_tree(distances)
    assert tree[:, 2].tolist() == [1, 5]
    assert leaves.tolist() in ([1, 0, 2], [2, 0, 1])  # 0, the nearer one, beside 1
    assert squareform(cophenet(tree))[0, 1] == 5


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((2, 2)), "V at least 3"),
        (np.full((3, 3), np.nan), "finite and not negative"),
        (-squareform([1.0, 1, 1]), "finite and not negative"),
        (np.arange(9.0).reshape(3, 3), "symmetric"),
        (np.ones((3, 3)), "0 from each to itself"),
    ],
)
def test_what_are_no_distances_is_an_error(distances, message):
    for chart in (angular_map, angular_tree):
        with pytest.raises(ValueError, match=message):
            chart(distances)
