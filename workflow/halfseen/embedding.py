"""UMAP of the representations of all variants together: an illustration, no inference."""

import numpy as np
import pandas as pd

from halfseen.neighbor_search import nearest_others, ranks_among


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


def coordinate_rows(coordinates, variants, image_ids):
    """Coordinates (V, n, 2) as a long table: variant, image_id, x and y."""
    return pd.concat(
        [
            pd.DataFrame({"variant": name, "image_id": image_ids, "x": xy[:, 0], "y": xy[:, 1]})
            for name, xy in zip(variants, coordinates, strict=True)
        ],
        ignore_index=True,
    )


def trustworthiness(features, embeddings, k, metric, device="cpu", memory_mb=1000):
    """How far nearness in the plane is nearness of the features (V, n, d): a share per embedding.

    `embeddings` is a list of coordinates (V, n, 2), whose k nearest in the plane are looked up in
    the order of the features' `metric`: each that is not among the k nearest there costs as much as
    its rank r is above k, 1 - 2 / (N k (2 N - 3 k - 1)) sum (r - k) over N = V n rows. 1 where none
    is a stranger. One pass over all pairs in blocks, for all embeddings. Venna and Kaski 2001.
    """
    rows = np.asarray(features, dtype=np.float32).reshape(-1, features.shape[-1])
    n_rows = len(rows)
    if 2 * k >= n_rows:
        raise ValueError(
            f"the trustworthiness of {n_rows} rows needs k below {n_rows / 2:g}, not {k}; "
            "embed more images or choose a smaller n_neighbors"
        )
    near = [
        nearest_others(np.asarray(xy).reshape(n_rows, -1), k, "euclidean", device, memory_mb)
        for xy in embeddings
    ]
    own = np.arange(n_rows)
    ranks = ranks_among(rows, rows, np.hstack(near), metric, own, device, memory_mb)
    beyond = np.maximum(ranks.reshape(n_rows, len(embeddings), k) - k, 0).sum(axis=(0, 2))
    return 1 - 2 * beyond / (n_rows * k * (2 * n_rows - 3 * k - 1))
