from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from halfseen.neighbors import (
    ImageDraws,
    Neighborhoods,
    centered,
    class_purity,
    class_purity_null,
    composition,
    composition_null,
    find_neighborhoods,
    hubness,
    inverse_simpson,
    inverse_simpson_null,
    neighbor_tables,
    occurrences,
    sample_images,
    sibling_ranks,
    sibling_share,
    sibling_share_null,
)

VARIANTS = ["original", "foreground", "border"]


def normal(n_variants=3, n=10, d=4, seed=2):
    return np.random.default_rng(seed).normal(size=(n_variants, n, d))


@pytest.fixture
def features():
    return normal() + 1


def found_in(features, count, metric="euclidean", images=None):
    images = np.arange(features.shape[1]) if images is None else np.asarray(images)
    return find_neighborhoods(features, images, count, metric)


def mean_composition(features, k, metric="euclidean"):
    return composition(found_in(features, k, metric), k).mean(axis=0)


def draws_of(labels, queries=None, n_draws=500, seed=0):
    labels = np.asarray(labels)
    queries = np.arange(len(labels)) if queries is None else queries
    return ImageDraws(queries, labels, n_draws, 0.95, seed)


# The composition of neighbours.


def brute_force(features, k, distance):
    n_variants, n, _ = features.shape
    places = [(variant, image) for variant in range(n_variants) for image in range(n)]
    shares = np.zeros((n_variants, n_variants))
    for query in places:
        others = [place for place in places if place != query]
        others.sort(key=lambda place: distance(features[query], features[place]))
        for variant, _ in others[:k]:
            shares[query[0], variant] += 1 / (n * k)
    return shares


def euclidean(a, b):
    return np.sqrt(((a - b) ** 2).sum())


def cosine(a, b):
    return 1 - a @ b / np.sqrt((a @ a) * (b @ b))


def test_of_points_on_a_line_by_hand():
    # Variant 0 at 0, 1 and 10, variant 1 at 3, 12 and 13: nearest are 1, 0, 12 and 1, 13, 12.
    line = np.array([[[0.0], [1], [10]], [[3], [12], [13]]])
    found = found_in(line, 1)
    assert found.rows[..., 0].tolist() == [[1, 0, 4], [1, 5, 4]]
    assert composition(found, 1)[2].tolist() == [[0, 1], [0, 1]]
    assert mean_composition(line, 1) == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))


@pytest.mark.parametrize("k", [1, 4, 11])
@pytest.mark.parametrize("distance", [euclidean, cosine])
def test_agrees_with_a_loop_over_all_pairs(distance, k, features):
    features[1] *= 2
    found = mean_composition(features, k, distance.__name__)
    assert found == pytest.approx(brute_force(features, k, distance))
    assert found.sum(axis=1) == pytest.approx(1)


def test_some_images_have_the_neighbours_that_they_have_among_all(features):
    every, some = found_in(features, 7), found_in(features, 7, images=[1, 4, 9])
    assert (some.rows == every.rows[:, [1, 4, 9]]).all()
    assert (composition(some, 5) == composition(every, 5)[[1, 4, 9]]).all()
    assert some.n == 10


def test_far_apart_variants_have_no_neighbour_in_common_until_they_are_centred(features):
    apart = features + 100 * np.arange(3)[:, None, None]
    assert (mean_composition(apart, 9) == np.eye(3)).all()
    assert mean_composition(centered(apart), 9) == pytest.approx(
        mean_composition(centered(features), 9)
    )
    assert centered(apart).mean(axis=1) == pytest.approx(0)


def test_centring_keeps_the_type_and_takes_the_mean_in_float64():
    features = (normal(2, 5000, 3) + 4e3).astype(np.float32)
    assert centered(features).dtype == np.float32
    assert np.abs(centered(features).mean(axis=1, dtype=float)).max() < 1e-6


def test_a_row_is_never_its_own_neighbour_even_among_equal_rows(features):
    same = np.repeat(features[:1], 3, axis=0)
    assert mean_composition(same, 2) == pytest.approx((1 - np.eye(3)) / 2)


def test_both_metrics_ignore_a_rotation_and_a_scaling(features):
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    for metric in ("euclidean", "cosine"):
        moved = mean_composition(5 * features @ rotation, 6, metric)
        assert (moved == mean_composition(features, 6, metric)).all()


def test_only_euclidean_ignores_a_shift_and_only_cosine_a_length(features):
    shifted, longer = features + [9, 0, 0, 0], features * np.array([1, 5, 9])[:, None, None]
    for moved, blind in [(shifted, "euclidean"), (longer, "cosine")]:
        for metric in ("euclidean", "cosine"):
            same = mean_composition(moved, 6, metric) == pytest.approx(
                mean_composition(features, 6, metric)
            )
            assert same == (metric == blind)


def test_the_null_of_three_variants_of_ten_images_by_hand():
    null = composition_null(3, 10)
    assert null == pytest.approx(np.full((3, 3), 10 / 29) - np.eye(3) / 29)
    assert null.sum(axis=1) == pytest.approx(1)


def test_with_all_others_as_neighbours_the_composition_is_the_null(features):
    assert mean_composition(features, 29) == pytest.approx(composition_null(3, 10))


@pytest.mark.parametrize("k", [1, 2])
def test_the_null_is_the_mean_over_every_assignment_of_rows_to_variants(k):
    found = [
        mean_composition(np.array(line).reshape(2, 2, 1), k)
        for line in permutations([0.0, 1, 3, 7])
    ]
    assert np.mean(found, axis=0) == pytest.approx(composition_null(2, 2))


# Other measures.


def hoods(rows, n, images=None):
    rows = np.array(rows)
    return Neighborhoods(rows, np.arange(n) if images is None else np.array(images), n)


def test_the_effective_number_of_variants_by_hand():
    shares = np.array([[[1.0, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]]])
    assert inverse_simpson(shares) == pytest.approx(np.array([[1, 2, 3]]))


def test_its_null_by_hand_and_by_shuffling_variants():
    rng = np.random.default_rng(0)
    # Two of the own and three others of k = 2 in 2 x 3: equal pairs with 1 / 10 + 3 / 10.
    assert inverse_simpson_null(2, 3, 2, rng) == pytest.approx(0.4 + 2 * 0.6, abs=0.02)
    # Of so many rows it hardly matters that they are not put back.
    counts = rng.multinomial(20, np.full(5, 0.2), 20000)
    expected = (400 / (counts**2).sum(axis=1)).mean()
    assert inverse_simpson_null(5, 4000, 20, rng) == pytest.approx(expected, abs=0.02)
    features = normal(3, 8, 2)
    shuffled = []
    for _ in range(300):
        rows = rng.permutation(features.reshape(-1, 2)).reshape(3, 8, 2)
        shuffled.append(inverse_simpson(composition(found_in(rows, 5), 5)).mean())
    expected = inverse_simpson_null(3, 8, 5, rng)
    assert expected == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 300**0.5)


def test_purity_skips_siblings_and_still_counts_k_by_hand():
    # Two variants of three images; of image 0 and 1 the class is 0. Rows 0, 3 are image 0.
    rows = [[[3, 1, 2], [4, 0, 5], [5, 1, 0]], [[0, 4, 5], [2, 3, 0], [1, 2, 4]]]
    found, labels = hoods(rows, 3), np.array([0, 0, 1])
    assert class_purity(found, 1, labels).tolist() == [[1, 1], [1, 0], [0, 0]]
    assert class_purity(found, 2, labels).tolist() == [[0.5, 0.5], [0.5, 0.5], [0, 0]]


def test_purity_of_the_k_nearest_without_siblings_by_a_search_that_never_sees_them():
    features, labels, k = normal(3, 30, 3), np.arange(30) % 4, 6
    found = class_purity(found_in(features, k + 2), k, labels)
    for i, v in [(0, 0), (7, 1), (29, 2)]:
        others = features[:, np.arange(30) != i].reshape(-1, 3)
        theirs = np.tile(labels[np.arange(30) != i], 3)
        near = NearestNeighbors(n_neighbors=k).fit(others).kneighbors(features[v, [i]])[1]
        assert found[i, v] == pytest.approx((theirs[near[0]] == labels[i]).mean())


def test_the_null_of_purity_is_what_unrelated_features_reach():
    labels = np.repeat([0, 1, 2], [5, 15, 40])
    assert class_purity_null(labels) == pytest.approx((5 * 4 + 15 * 14 + 40 * 39) / (60 * 59))
    values = [
        class_purity(found_in(normal(2, 60, 3, seed), 9), 8, labels).mean() for seed in range(60)
    ]
    spread = 4 * np.std(values) / 60**0.5
    assert np.mean(values) == pytest.approx(class_purity_null(labels), abs=spread)


def test_the_share_of_siblings_among_the_neighbours_by_hand_and_by_chance():
    # Three variants of two images: rows 0, 2 and 4 are image 0.
    found = hoods([[[3, 2], [3, 5]], [[4, 0], [0, 4]], [[1, 3], [0, 1]]], 2)
    assert sibling_share(found, 1).tolist() == [[0, 0.5, 0], [0.5, 0, 0]]
    assert sibling_share(found, 2).tolist() == [[0.5, 1, 0], [1, 0, 0.5]]
    assert sibling_share_null(5, 4000, 20) == pytest.approx(20 / 19999)
    values = [sibling_share(found_in(normal(3, 20, 3, seed), 6), 6).mean() for seed in range(60)]
    spread = 4 * np.std(values) / 60**0.5
    assert np.mean(values) == pytest.approx(6 / 59, abs=spread)


def test_ranks_of_the_original_by_hand():
    # Originals at 0, 1, 5; seen by the other variant at 1.2, 0.9 and 9.
    features = np.array([[[0.0], [1], [5]], [[1.2], [0.9], [9]]])
    ranks = sibling_ranks(features, np.arange(3), 0, "euclidean")
    assert ranks.tolist() == [[1, 2], [1, 1], [1, 1]]
    # By the variant as reference: 1.2, 0.9, 9 as seen by the originals.
    assert sibling_ranks(features, np.array([0, 2]), 1, "euclidean").tolist() == [[2, 1], [2, 1]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_ranks_agree_with_a_sorted_list_of_distances(metric, features):
    distance = {"euclidean": euclidean, "cosine": cosine}[metric]
    ranks = sibling_ranks(features, np.arange(10), 1, metric)
    for v in range(3):
        for i in range(10):
            away = [distance(features[v, i], other) for other in features[1]]
            assert ranks[i, v] == 1 + sum(np.delete(away, i) < away[i])


def test_ranks_of_unrelated_variants_are_uniform():
    ranks = sibling_ranks(normal(2, 2000, 20), np.arange(2000), 0, "cosine")
    assert (ranks[:, 0] == 1).all()
    assert stats.kstest(ranks[:, 1] / 2000, "uniform").pvalue > 0.01


def test_occurrences_and_hubness_by_hand():
    # Row 0 is the neighbour of all others, and row 1 is that of row 0.
    counts = occurrences(hoods([[[1], [0]], [[0], [0]]], 2), 1)
    assert counts.tolist() == [[3, 1], [0, 0]]
    told = hubness(counts.ravel(), 1, 4)
    assert told["hub_skewness"] == pytest.approx((stats.skew([3, 1, 0, 0]), 1 / 3 / (2 / 3) ** 0.5))
    assert told["orphan_share"] == pytest.approx((0.5, (2 / 3) ** 3))
    assert told["largest_hub"] == (3, None)
    assert hubness(np.full(5, 2), 2, 5)["hub_skewness"][0] == 0


def test_the_nulls_of_hubness_are_those_of_random_lists():
    rng, n, k = np.random.default_rng(0), 200, 3
    skewness, orphans = [], []
    for _ in range(40):
        lists = np.array([rng.choice(np.delete(np.arange(n), i), k, False) for i in range(n)])
        told = hubness(np.bincount(lists.ravel(), minlength=n), k, n)
        skewness.append(told["hub_skewness"][0])
        orphans.append(told["orphan_share"][0])
    for values, null in [(skewness, "hub_skewness"), (orphans, "orphan_share")]:
        spread = 4 * np.std(values) / 40**0.5
        assert told[null][1] == pytest.approx(np.mean(values), abs=spread)


def test_a_hub_is_found_where_one_is_put():
    features = normal(2, 100, 50)
    rows = found_in(features, 5)
    features[0, 0] = features.mean(axis=(0, 1))
    plain, hub = (hubness(occurrences(f, 5).ravel(), 5, 200) for f in (rows, found_in(features, 5)))
    assert occurrences(found_in(features, 5), 5).argmax() == 0
    assert hub["hub_skewness"][0] > 2 * plain["hub_skewness"][0]


# Query images and intervals.


def test_all_images_are_asked_unless_there_are_more_than_allowed():
    labels = np.repeat([0, 1], [30, 70])
    for most in (None, 100, 1000):
        assert (sample_images(labels, most, np.random.default_rng(0)) == np.arange(100)).all()


@pytest.mark.parametrize(
    ("sizes", "at_most", "counts"),
    [([30, 70], 10, [3, 7]), ([1, 2, 97], 10, [1, 1, 8]), ([5, 5, 5], 7, [3, 2, 2])],
)
def test_a_sample_has_the_shares_of_the_classes_and_all_of_them(sizes, at_most, counts):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    chosen = sample_images(labels, at_most, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == counts
    assert (np.diff(chosen) > 0).all()


def test_a_sample_depends_on_the_seed_alone_and_takes_each_image_equally_often():
    labels = np.arange(40) % 4
    first, again, other = (
        sample_images(labels, 8, np.random.default_rng(seed)).tolist() for seed in (5, 5, 6)
    )
    assert first == again != other
    rng, counts = np.random.default_rng(0), np.zeros(40)
    for _ in range(2000):
        counts[sample_images(labels, 8, rng)] += 1
    assert np.abs(counts / 2000 - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_fewer_query_images_than_classes_are_an_error():
    with pytest.raises(ValueError, match="3 query images cannot show 5 classes; ask for more"):
        sample_images(np.arange(50) % 5, 3, np.random.default_rng(0))


def test_a_mean_weighs_classes_by_their_images_and_not_by_their_queries():
    labels = np.repeat([0, 1], [80, 20])
    draws = draws_of(labels, np.r_[0:5, 80:90])
    values = np.where(labels[draws.queries] == 0, 1.0, 6.0)
    point, low, high = draws.mean(values)
    assert (point, low, high) == pytest.approx((2, 2, 2))
    assert draws.median(values)[0] == 1


def test_the_mean_s_interval_has_the_variance_of_a_stratified_mean():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [4, 12, 24])
    values = rng.normal(size=(40, 2)) * np.array([1, 3, 2])[labels][:, None]
    draws = draws_of(labels, n_draws=20000)
    sizes = np.array([4, 12, 24])
    variance = sum(
        (m / 40) ** 2 * values[labels == c].var(axis=0, ddof=1) / m for c, m in enumerate(sizes)
    )
    _, low, high = draws.mean(values)
    assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(variance), rel=0.03)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, held = np.random.default_rng(1), []
    labels = np.repeat([0, 1, 2, 3], 10)
    for trial in range(300):
        shares = rng.beta(2, 2, size=40) + np.array([0, 0.2, 0.4, 0.6])[labels]
        _, low, high = draws_of(labels, n_draws=200, seed=trial).mean(shares)
        held.append(low <= 0.5 + 0.3 <= high)
    assert 0.9 <= np.mean(held) <= 0.99


def test_the_median_is_numpy_s_and_its_interval_that_of_order_statistics():
    values = np.random.default_rng(3).permutation(np.arange(1, 202))
    point, low, high = draws_of(np.zeros(201, int), n_draws=4000).median(values)
    assert point == np.median(values) == 101
    # Ranks 101 -+ 1.96 sqrt(201) / 2.
    assert low == pytest.approx(101 - 13.9, abs=3)
    assert high == pytest.approx(101 + 13.9, abs=3)


def test_all_rows_of_an_image_are_drawn_together():
    values = np.random.default_rng(0).normal(size=(30, 1))
    values = np.hstack([values, 1 - values])
    draws = draws_of(np.arange(30) % 3)
    (low, high) = draws.mean(values)[1:]
    assert low[0] == pytest.approx(1 - high[1])
    total = draws.mean(values.sum(axis=1))
    assert total == pytest.approx((1, 1, 1))


# The tables.


def tables(features, labels=None, ks=(4, 2), metrics=("cosine", "euclidean"), queries=None):
    labels = np.arange(features.shape[1]) % 2 if labels is None else labels
    draws = draws_of(labels, queries, n_draws=50)
    return neighbor_tables(
        features, labels, VARIANTS, list(ks), list(metrics), draws, whole="original"
    )


def test_the_tables_say_what_the_measures_say(features):
    compositions, measures = tables(features)
    assert len(compositions) == 2 * 2 * 2 * 9
    assert compositions.iloc[0][["centering", "metric", "k"]].tolist() == ["raw", "cosine", 4]
    cell = compositions.query("centering == 'centred' and metric == 'euclidean' and k == 2")
    expected = mean_composition(centered(features), 2)
    wide = cell.pivot(index="variant", columns="neighbor_variant", values="share")
    assert wide.loc[VARIANTS, VARIANTS].to_numpy() == pytest.approx(expected)
    assert (cell.enrichment * cell.null).to_numpy() == pytest.approx(cell.share.to_numpy())
    assert ((cell.low <= cell.share) & (cell.share <= cell.high)).all()

    raw = measures[(measures.centering == "raw") & (measures.metric == "cosine")]
    ranks = sibling_ranks(features, np.arange(10), 0, "cosine")
    told = raw[raw.measure == "sibling_recall_at_1"]
    assert told.variant.tolist() == ["foreground", "border"]
    assert told.value.to_numpy() == pytest.approx((ranks == 1).mean(axis=0)[1:])
    assert told.null.to_numpy() == pytest.approx(0.1)
    assert told.k.tolist() == ["", ""]
    purity = raw[(raw.measure == "class_purity") & (raw.k == 4)]
    found = found_in(features, 6, "cosine")
    labels = np.arange(10) % 2
    assert purity.value.to_numpy() == pytest.approx(class_purity(found, 4, labels).mean(axis=0))
    hubs = raw[(raw.measure == "hub_skewness") & (raw.k == 4)]
    assert hubs.variant.tolist() == ["", *VARIANTS]
    assert hubs.value.iloc[0] == pytest.approx(stats.skew(occurrences(found, 4).ravel()))


def test_a_perfect_copy_is_retrieved_and_an_unrelated_variant_is_not():
    features = normal(3, 200, 20)
    features[1] = features[0] + 1e-3 * features[1]
    _, measures = tables(features)
    cell = measures[(measures.centering == "raw") & (measures.metric == "euclidean")]
    cell = cell[cell.k == ""].set_index(["measure", "variant"])
    assert cell.value["sibling_recall_at_1", "foreground"] == pytest.approx(1)
    assert cell.value["sibling_median_rank", "foreground"] == 1
    far = cell.loc["sibling_median_rank", "border"]
    assert far.low < far.null < far.high
    assert far.null == 100.5
    far = cell.loc["sibling_reciprocal_rank", "border"]
    assert far.null == pytest.approx((1 / np.arange(1, 201)).mean())
    assert far.value < 2 * far.null


def test_some_query_images_give_no_hubs_and_intervals_that_hold_the_whole():
    features = normal(3, 300, 6)
    labels = np.arange(300) % 3
    whole, _ = tables(features, labels)
    part, measures = tables(features, labels, queries=np.arange(0, 300, 4))
    assert not measures.measure.str.contains("hub|orphan").any()
    assert set(part.n_queries) == {75}
    assert set(part.n) == {300}
    inside = (part.low <= whole.share) & (whole.share <= part.high)
    assert inside.mean() > 0.85


def test_the_tables_are_equal_for_an_equal_seed(features):
    for first, again in zip(tables(features), tables(features), strict=True):
        assert first.equals(again)


def test_a_study_without_the_original_has_no_ranks_of_it(features):
    draws = draws_of(np.arange(10) % 2, n_draws=20)
    _, measures = neighbor_tables(
        features[:2], np.arange(10) % 2, ["center", "border"], [3], ["cosine"], draws
    )
    assert set(measures.k) == {3}


def test_a_single_variant_has_no_siblings(features):
    draws = draws_of(np.arange(10) % 2, n_draws=20)
    compositions, measures = neighbor_tables(
        features[:1], np.arange(10) % 2, ["original"], [3], ["cosine"], draws
    )
    assert compositions.share.tolist() == pytest.approx([1, 1])
    assert not measures.measure.str.contains("sibling").any()


@pytest.mark.parametrize("ks", [[0], [5, 28]])
def test_a_k_out_of_range_is_an_error_that_gives_the_range(ks, features):
    with pytest.raises(ValueError, match="3 variants of 10 images .* for k from 1 to 27"):
        tables(features, ks=ks)


def test_a_variant_with_features_that_are_not_finite_is_named(features):
    features[1, 2, 3] = np.nan
    told = "variant 'foreground' has 1 images with NaN or infinity, the first is image 2"
    with pytest.raises(ValueError, match=told):
        tables(features)


def test_a_variant_that_is_the_same_for_every_image_has_no_cosine_when_centred(features):
    features[2] = features[2, 0]
    told = "variant 'border', centred, has 10 images .* all zeros.* leave cosine out"
    with pytest.raises(ValueError, match=told):
        tables(features)
    assert len(tables(features, metrics=["euclidean"])[0]) == 36
