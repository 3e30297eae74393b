import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from halfseen import neighbor_search
from halfseen.neighbor_search import (
    METRICS,
    nearest_others,
    nearest_rows,
    pair_distances,
    ranks_among,
)

N, K = 600, 20
# In MB: one block holds all rows; blocks of 89 rows, the last one smaller.
MEMORY = {"one block": 1000, "many blocks": 0.255}


def normal(n=N, d=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def integers():
    # Odd squared lengths and coordinates: few are multiples of others, most distances are ties.
    return np.random.default_rng(1).integers(0, 3, (N, 6)).astype(float)


DATA = {
    "random": normal(),
    "float32": normal().astype(np.float32),
    "with an offset of 1000": normal() + 1e3,
    "float32 with an offset of 1000": (normal() + 1e3).astype(np.float32),
    "duplicated": normal()[np.random.default_rng(2).integers(0, N // 4, N)],
    "nearly duplicated": normal()[np.random.default_rng(2).integers(0, N // 4, N)]
    + 1e-7 * normal(seed=8),
    "wider than a sum": normal(d=600),
    "tiny": normal() * 1e-25,
    "huge": normal() * 1e25,
    "with one row far away": np.vstack([normal(N - 1), np.full((1, 40), 1e5)]),
    "nearly equal": np.float32(1e3) + normal().astype(np.float32) * np.float32(1e-3),
}


def squared(query, rows, metric):
    """Squared distances in float64 by differences; by the cosine, of rows of length 1."""
    query, rows = query.astype(float), rows.astype(float)
    if metric == "cosine":
        query = query / np.linalg.norm(query)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return ((rows - query) ** 2).sum(axis=1)


def brute_force(queries, database, k, metric, own=None):
    """By sorting all distances in float64, then row numbers."""
    found = []
    for place, query in enumerate(queries):
        distance = squared(query, database, metric)
        if own is not None:
            distance[own[place]] = np.inf
        found.append(np.lexsort((np.arange(len(database)), distance))[:k])
    return np.array(found)


def test_of_points_on_a_line_by_hand():
    line = np.array([[0.0], [1], [10], [3], [12], [13]])
    assert nearest_others(line, 2, "euclidean").tolist() == [
        [1, 3], [0, 3], [4, 5], [1, 0], [5, 2], [4, 2],
    ]  # fmt: skip


def test_of_directions_by_hand():
    # At 0, 10, 80 and 100 degrees, of any length.
    angle = np.radians([0, 10, 80, 100])
    rows = np.array([5, 0.1, 3, 70])[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert nearest_others(rows, 3, "cosine").tolist() == [
        [1, 2, 3], [0, 2, 3], [3, 1, 0], [2, 1, 0],
    ]  # fmt: skip


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", DATA)
def test_equals_brute_force_in_float64(name, metric, memory):
    rows, own = DATA[name], np.arange(N)
    expected = brute_force(rows, rows, K, metric, own)
    found = nearest_others(rows, K, metric, memory_mb=MEMORY[memory])
    assert (found == expected).all()
    some = own[::7]
    found = nearest_rows(rows[some], rows, K, metric, some, memory_mb=MEMORY[memory])
    assert (found == expected[::7]).all()


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("k", [1, 3, K, 200])
def test_of_integers_the_lower_number_comes_first_among_equal_distances(k, memory):
    rows = integers()
    expected = brute_force(rows, rows, k, "euclidean", np.arange(N))
    found = nearest_others(rows, k, "euclidean", memory_mb=MEMORY[memory])
    assert (found == expected).all()
    others = integers()[::-1][:50] + 1
    found = nearest_rows(others, rows, k, "euclidean", memory_mb=MEMORY[memory])
    assert (found == brute_force(others, rows, k, "euclidean")).all()


# Where it works in float64 and has digits left: it takes tiny rows for zeros.
PEER_KNOWS = ["random", "float32", "with an offset of 1000", "duplicated", "wider than a sum"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", PEER_KNOWS)
def test_neighbours_are_scikit_learn_s(name, metric):
    rows = DATA[name].astype(float)
    peer = NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute").fit(rows)
    found = [peer.kneighbors(return_distance=False), nearest_others(DATA[name], K, metric)]
    if name == "duplicated":  # it takes any of equal rows
        found = [equal_rows(DATA[name])[ids] for ids in found]
    theirs, ours = (np.sort(ids, axis=1) for ids in found)
    assert (ours == theirs).all()


def equal_rows(rows):
    """The same number (n,) for equal rows."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def test_of_integers_the_distances_are_scikit_learn_s():
    rows = integers()
    peer = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(rows)
    expected, _ = peer.kneighbors()
    assert pair_distances(
        rows, rows, nearest_others(rows, K, "euclidean"), "euclidean"
    ) == pytest.approx(expected)


def test_all_rows_equal_are_neighbours_by_number():
    found = nearest_others(np.ones((50, 7)), 4, "euclidean")
    assert found[0].tolist() == [1, 2, 3, 4]
    assert found[2].tolist() == [0, 1, 3, 4]
    assert (found[5:] == [0, 1, 2, 3]).all()


def test_the_search_does_not_hang_on_thousands_of_equal_rows(monkeypatch):
    pairs = []
    exact = neighbor_search._squared_distances

    def counted(asked, given, lines, *rest):
        pairs.append(len(lines))
        return exact(asked, given, lines, *rest)

    monkeypatch.setattr(neighbor_search, "_squared_distances", counted)
    rows = np.vstack([normal(300), np.repeat(normal(3, seed=5), 500, axis=0)])
    found = nearest_others(rows, 5, "euclidean")
    assert found[1799].tolist() == [1300, 1301, 1302, 1303, 1304]
    assert sum(pairs) < 20 * len(rows)


def test_every_other_row_can_be_asked_for():
    rows = normal(30)
    found = nearest_others(rows, 29, "cosine")
    assert (found == brute_force(rows, rows, 29, "cosine", np.arange(30))).all()
    assert (nearest_rows(rows[:4], rows, 30, "cosine")[:, 0] == np.arange(4)).all()


def test_a_smaller_k_is_the_beginning_of_a_larger():
    rows = DATA["duplicated"]
    largest = nearest_others(rows, 50, "cosine")
    for k in (5, 10, 20):
        assert (nearest_others(rows, k, "cosine") == largest[:, :k]).all()


def test_both_metrics_ignore_a_rotation_and_a_scaling():
    rotation = np.linalg.qr(normal(40, seed=3))[0]
    rows = normal()
    for metric in METRICS:
        moved = nearest_others(4 * rows @ rotation, K, metric)
        assert (moved == nearest_others(rows, K, metric)).all()


def test_only_euclidean_ignores_a_shift_and_only_cosine_the_rows_lengths():
    rows = normal()
    shifted = rows + 5 * np.eye(40)[0]
    longer = rows * np.random.default_rng(4).uniform(1, 9, (N, 1))
    for moved, blind in [(shifted, "euclidean"), (longer, "cosine")]:
        for metric in METRICS:
            same = (nearest_others(moved, K, metric) == nearest_others(rows, K, metric)).all()
            assert same == (metric == blind)


@pytest.mark.parametrize("metric", METRICS)
def test_the_error_bound_holds_and_is_not_a_thousand_times_too_large(metric):
    rows = DATA["wider than a sum"].astype(np.float32)
    (points,) = neighbor_search._prepared([rows], metric, "cpu")
    scores = neighbor_search._scores(points, points, slice(0, N), slice(0, N)).double()
    truth = np.stack([squared(row, rows, metric) for row in rows]) / (2 * points.unit**2)
    wrong = np.abs(scores.numpy() + truth)
    bound = neighbor_search._error(points, points.norm[:, None], points.norm[None]).numpy()
    assert (wrong <= bound).all()
    assert wrong.max() > bound.min() / 1000


def test_an_error_bound_of_nothing_would_be_noticed(monkeypatch):
    monkeypatch.setattr(neighbor_search, "ROUNDING", 0.0)
    rows = DATA["nearly duplicated"]
    expected = brute_force(rows, rows, K, "cosine", np.arange(N))
    assert (nearest_others(rows, K, "cosine") != expected).any()


@pytest.mark.parametrize("metric", METRICS)
def test_distances_of_pairs_are_scikit_learn_s(metric):
    rows, queries = normal(100), normal(9, seed=6)
    ids = nearest_rows(queries, rows, 7, metric)
    distances, theirs = NearestNeighbors(n_neighbors=7, metric=metric).fit(rows).kneighbors(queries)
    assert (ids == theirs).all()
    assert pair_distances(queries, rows, ids, metric) == pytest.approx(distances)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", DATA)
def test_ranks_are_places_in_the_whole_order(name, metric, memory):
    rows = DATA[name]
    queries, targets = rows[:40], np.random.default_rng(7).integers(0, N, (40, 3))
    order = brute_force(queries, rows, N, metric)
    places = np.argsort(order, axis=1)
    found = ranks_among(queries, rows, targets, metric, memory_mb=MEMORY[memory])
    assert (found == np.take_along_axis(places, targets, axis=1) + 1).all()


def test_a_rank_leaves_the_own_row_out():
    rows, own = integers(), np.arange(0, N, 50)
    targets = nearest_others(rows, 30, "euclidean")[own]
    found = ranks_among(rows[own], rows, targets, "euclidean", own)
    assert (found == np.arange(1, 31)).all()


@pytest.mark.parametrize("k", [0, 600])
def test_a_k_out_of_range_is_an_error_that_gives_the_range(k):
    told = f"k is {k}, but each row has 599 others; choose k from 1 to 599"
    with pytest.raises(ValueError, match=told):
        nearest_others(normal(), k, "cosine")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(value):
    rows = normal()
    rows[[17, 40], 3] = value
    with pytest.raises(ValueError, match="2 of 600 rows hold NaN or infinity, the first is row 17"):
        nearest_others(rows, 5, "euclidean")


def test_a_row_of_zeros_has_no_cosine():
    rows = normal()
    rows[[8, 9]] = 0
    told = "2 of 600 rows are all zeros, the first is row 8: .* use the euclidean metric"
    with pytest.raises(ValueError, match=told):
        nearest_others(rows, 5, "cosine")
    assert nearest_others(rows, 5, "euclidean")[8, 0] == 9


def test_rows_of_another_width_are_an_error():
    with pytest.raises(ValueError, match="queries of 40 dimensions .* rows of 30; take both"):
        nearest_rows(normal(), normal(d=30), 5, "cosine")


def test_an_unknown_metric_is_an_error_with_the_known():
    with pytest.raises(ValueError, match="'manhattan'; it must be one of cosine, euclidean"):
        nearest_others(normal(), 5, "manhattan")


@pytest.mark.parametrize("rows", [np.zeros(5), np.zeros((0, 5)), np.zeros((5, 0))])
def test_what_is_no_matrix_is_an_error(rows):
    with pytest.raises(ValueError, match=r"rows must be a matrix \(n, d\); they have the shape"):
        nearest_others(rows, 1, "euclidean")


def test_products_that_torch_may_round_are_refused():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(RuntimeError, match="set_float32_matmul_precision"):
            nearest_others(normal(), 5, "cosine")
    finally:
        torch.set_float32_matmul_precision(before)


def test_full_float32_as_the_scripts_ask_for_it_is_accepted():
    from halfseen.devices import use_full_float32

    use_full_float32()
    assert nearest_others(normal(20), 5, "cosine").shape == (20, 5)
