import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from halfseen.embedding import embed_jointly, sample_images


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
