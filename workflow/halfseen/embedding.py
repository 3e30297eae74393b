"""UMAP of the representations of all variants together: an illustration, no inference."""

import numpy as np


def sample_images(n, share, at_least, rng):
    """Sorted row numbers of a random `share` of n images.

    Where that is fewer than `at_least`, as many as that, or all n if there are not so many.
    """
    count = min(n, max(at_least, round(share * n)))
    return np.sort(rng.choice(n, count, replace=False))


def embed_jointly(features, n_neighbors, min_dist, metric, seed):
    """UMAP coordinates (V, n, 2) of `features` (V, n, d), fitted on all V n rows at once.

    Equal for equal `seed` on one machine; other machines may differ. McInnes et al. 2018.
    """
    n_variants, n, d = features.shape
    rows = np.asarray(features, dtype=np.float32).reshape(-1, d)
    if n_neighbors >= len(rows):
        raise ValueError(
            f"UMAP with n_neighbors {n_neighbors} needs more than the {len(rows)} rows at hand"
        )
    from umap import UMAP  # takes seconds

    umap = UMAP(
        n_neighbors=n_neighbors, min_dist=min_dist, metric=metric, random_state=seed, n_jobs=1
    )
    return umap.fit_transform(rows).reshape(n_variants, n, 2)
