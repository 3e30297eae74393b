import numpy as np
import pytest
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import NearestNeighbors

from halfseen.embedding import (
    coordinate_rows,
    embed_jointly,
    sample_images,
    trustworthiness,
)


@pytest.mark.parametrize(
    ("n", "share", "at_least", "count"),
    [(1000, 0.1, 50, 100), (1000, 0.1, 300, 300), (200, 0.1, 300, 200), (7, 0.5, 1, 4)],
)
def test_a_sample_is_the_share_or_the_minimum_or_all(n, share, at_least, count):
    chosen = sample_images(n, share, at_least, np.random.default_rng(0))
    assert len(set(chosen)) == len(chosen) == count
    assert list(chosen) == sorted(chosen)
    assert set(chosen) <= set(range(n))


def test_a_sample_depends_on_the_seed_alone():
    first, again, other = (
        list(sample_images(1000, 0.1, 1, np.random.default_rng(seed))) for seed in (5, 5, 6)
    )
    assert first == again != other


def test_every_image_is_equally_likely_in_a_sample():
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        counts[sample_images(10, 0.3, 1, rng)] += 1
    assert np.abs(counts / 2000 - 0.3).max() < 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_too_few_rows_for_the_neighbours_is_an_error():
    with pytest.raises(ValueError, match="n_neighbors 12 needs more than the 12 rows at hand"):
        embed_jointly(np.zeros((3, 4, 5)), 12, 0.1, "cosine", 0)


def test_rows_come_back_to_their_variant_and_image():
    # Two clusters by direction, with other images of either variant; the cosine ignores lengths.
    rng = np.random.default_rng(0)
    second = np.array([np.arange(30) < 10, np.arange(30) % 2 == 0])  # (variants, images)
    features = rng.normal(scale=0.05, size=(2, 30, 8))
    features[..., 0] += ~second
    features[..., 1] += second
    features *= rng.uniform(0.1, 10, size=(2, 30, 1))
    coordinates = embed_jointly(features, n_neighbors=8, min_dist=0.1, metric="cosine", seed=1)
    assert coordinates.shape == (2, 30, 2)
    rows, cluster = coordinates.reshape(-1, 2), second.ravel()
    nearest = NearestNeighbors(n_neighbors=8).fit(rows).kneighbors(return_distance=False)
    assert (cluster[nearest] == cluster[:, None]).all()


def test_a_row_of_the_table_is_an_image_of_a_variant():
    coordinates = np.arange(12.0).reshape(2, 3, 2)
    table = coordinate_rows(coordinates, ["original", "border"], np.array(["a", "b", "c"]))
    assert list(table.columns) == ["variant", "image_id", "x", "y"]
    assert table.iloc[4].tolist() == ["border", "b", 8, 9]
    assert len(table) == 6


def flat(n=40, seed=0):
    """Representations (2, n, 6) and coordinates (2, n, 2) of their first two dimensions, noisy."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2, n, 6)) * np.array([9, 9, 1, 1, 1, 1])
    return features, features[..., :2] + rng.normal(size=(2, n, 2))


@pytest.mark.parametrize("memory_mb", [1000, 0.02])
@pytest.mark.parametrize("k", [1, 5, 15])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_trustworthiness_is_scikit_learn_s(metric, k, memory_mb):
    features, near = flat()
    far = np.random.default_rng(1).normal(size=near.shape)
    found = trustworthiness(features, [near, far], k, metric, memory_mb=memory_mb)
    expected = [
        sklearn_trustworthiness(
            features.reshape(80, 6), xy.reshape(80, 2), n_neighbors=k, metric=metric
        )
        for xy in (near, far)
    ]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[0] > found[1] + 0.2


def test_trustworthiness_is_1_for_a_copy_and_half_for_a_shuffled_one():
    features, _ = flat(400)
    plane = features[..., :2]
    copy, shuffled = 3 * plane + 5, np.random.default_rng(0).permuted(plane, axis=1)
    found = trustworthiness(plane, [copy, shuffled], 10, "euclidean")
    assert found[0] == 1
    assert found[1] == pytest.approx(0.5, abs=0.03)


def test_trustworthiness_of_too_few_rows_is_an_error():
    features, near = flat(10)
    with pytest.raises(ValueError, match="of 20 rows needs k below 10, not 10; embed more"):
        trustworthiness(features, [near], 10, "cosine")


def test_an_embedding_is_trusted_more_than_chance_and_differs_by_seed():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 40, 8)) + 5 * np.eye(8)[rng.integers(0, 4, 40)]
    seeds = [1, 2, 1]
    embeddings = [embed_jointly(features, 8, 0.1, "cosine", seed) for seed in seeds]
    assert (embeddings[0] == embeddings[2]).all()
    assert (embeddings[0] != embeddings[1]).any()
    assert (trustworthiness(features, embeddings, 8, "cosine") > 0.8).all()
