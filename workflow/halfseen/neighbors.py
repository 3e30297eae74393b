"""Whose neighbours are whose: what the nearest neighbours of all images in all variants say.

Row v n + i is image i of n in variant v of V; all V n rows are each other's candidates, and none is
its own neighbour. The other variants of an image are its siblings. The image is the unit of every
interval: what is known of an image is one value per variant, and images are drawn, whole, within
their classes. The rows that they are searched among stay as they are.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from halfseen.neighbor_search import nearest_others, nearest_rows, ranks_among
from halfseen.uncertainty import resampling_counts

RAW, CENTERED = "raw", "centred"
BLOCK = 2**22  # entries of the weights that exist at once
NULL_DRAWS = 20_000


@dataclass(frozen=True)
class Neighborhoods:
    """The nearest rows (V, q, m), nearest first, of the query images `images` (q,) of n."""

    rows: np.ndarray
    images: np.ndarray
    n: int

    @property
    def n_variants(self):
        """Number of variants, V."""
        return len(self.rows)

    def variants(self, k):
        """The variant (V, q, k) of each of the k nearest."""
        return self.rows[..., :k] // self.n


def find_neighborhoods(features, images, count, metric, device="cpu", memory_mb=1000):
    """The `Neighborhoods` of `count` rows each of `images` (q,), sorted, in features (V, n, d).

    All candidates are searched, whichever images are asked for. Errors of `nearest_rows`.
    """
    n_variants, n, d = features.shape
    rows = features.reshape(-1, d)
    if len(images) == n:
        found = nearest_others(rows, count, metric, device, memory_mb)
    else:
        own = (np.arange(n_variants)[:, None] * n + images).ravel()
        found = nearest_rows(rows[own], rows, count, metric, own, device, memory_mb)
    return Neighborhoods(found.reshape(n_variants, len(images), count), np.asarray(images), n)


def centered(features):
    """Features (V, n, d) less the mean of each variant.

    Linear CKA and CCA ignore a shift of one representation against another; neighbours do not. What
    is far from its null raw and near it centred was the shift of a whole variant, which a black
    frame alone can cause; what stays says that its images are arranged otherwise. A variant that is
    the same for every image becomes zeros, exactly.
    """
    moved = np.empty_like(features)
    for part, rows in zip(moved, features, strict=True):
        constant = (rows == rows[0]).all()
        part[:] = 0 if constant else rows - rows.mean(axis=0, dtype=np.float64)
    return moved


def composition(found, k):
    """Share (q, V, V) of the k nearest of each query image in each variant that are of a variant.

    The last axis sums to 1. The paper, section 5.3.
    """
    variants = found.variants(k)
    shares = np.stack([(variants == v).mean(axis=-1) for v in range(found.n_variants)], axis=-1)
    return shares.transpose(1, 0, 2)


def composition_null(n_variants, n):
    """Composition (V, V) expected where variants play no part: (n-1)/(Vn-1) own, n/(Vn-1) other."""
    null = np.full((n_variants, n_variants), n / (n_variants * n - 1))
    np.fill_diagonal(null, (n - 1) / (n_variants * n - 1))
    return null


def inverse_simpson(shares):
    """Effective number of variants (q, V) among neighbours: 1 / sum p^2 of shares (q, V, V).

    1 where all are of one variant, V where all variants are equally frequent. Korsunsky et al.
    2019, where it is called LISI; all k neighbours weigh the same here.
    """
    return 1 / (shares**2).sum(axis=-1)


def inverse_simpson_null(n_variants, n, k, rng):
    """Mean of `inverse_simpson` where the variants of all other rows are shuffled: below V.

    Of k rows drawn at random without replacement, which are n - 1 of the own variant and n of each
    other; by `NULL_DRAWS` draws.
    """
    sizes = np.full(n_variants, n)
    sizes[0] -= 1
    counts = rng.multivariate_hypergeometric(sizes, k, NULL_DRAWS, method="marginals")
    return float((k**2 / (counts**2).sum(axis=1)).mean())


def class_purity(found, k, labels):
    """Share (q, V) of the k nearest that are no siblings whose class is the query image's.

    Siblings have its class by construction. `labels` (n,); `found` must hold k + V - 1 rows, of
    which at most V - 1 are siblings.
    """
    image = found.rows % found.n
    stranger = image != found.images[:, None]
    counted = stranger & (stranger.cumsum(axis=-1) <= k)
    same = labels[image] == labels[found.images][:, None]
    return ((same & counted).sum(axis=-1) / k).T


def class_purity_null(labels):
    """Purity expected where classes play no part, (n_c - 1) / (n - 1) averaged over the images."""
    sizes = np.bincount(labels)
    return float((sizes * (sizes - 1)).sum() / (len(labels) * (len(labels) - 1)))


def sibling_share(found, k):
    """Share (q, V) of the V - 1 siblings of each query that are among its k nearest."""
    siblings = found.rows[..., :k] % found.n == found.images[:, None]
    return (siblings.sum(axis=-1) / (found.n_variants - 1)).T


def sibling_share_null(n_variants, n, k):
    """The share of siblings among k rows drawn at random."""
    return k / (n_variants * n - 1)


def sibling_ranks(features, images, reference, metric, device="cpu", memory_mb=1000):
    """The rank (q, V) int of the same image's row of variant `reference` among all of its rows.

    1 where each of `images` (q,) finds its own reference first; of the reference itself, always,
    unless another image has an equal row. Uniform on 1 to n where images play no part.
    """
    n_variants, n, d = features.shape
    queries = features[:, images].reshape(-1, d)
    targets = np.tile(images, n_variants)[:, None]
    ranks = ranks_among(
        queries, features[reference], targets, metric, device=device, memory_mb=memory_mb
    )
    return ranks.reshape(n_variants, len(images)).T


def occurrences(found, k):
    """How often (V, n) each row is among the k nearest of the query rows."""
    counts = np.bincount(found.rows[..., :k].ravel(), minlength=found.n_variants * found.n)
    return counts.reshape(found.n_variants, found.n)


def hubness(counts, k, n_rows):
    """{measure: (value, null)} of how unevenly rows occur among neighbours: counts (m,) of them.

    The skewness of the counts, the share of orphans, which are nobody's neighbour, and the largest
    count over k. Null: counts are binomial, n_rows - 1 chances of k / (n_rows - 1); None for the
    largest. Radovanovic, Nanopoulos and Ivanovic 2010, section 2.
    """
    chances = n_rows - 1
    p = k / chances
    spread = np.sqrt(chances * p * (1 - p))
    return {
        "hub_skewness": (
            0.0 if counts.min() == counts.max() else float(stats.skew(counts)),
            (1 - 2 * p) / spread if spread > 0 else 0.0,
        ),
        "orphan_share": (float((counts == 0).mean()), (1 - p) ** chances),
        "largest_hub": (float(counts.max() / k), None),
    }


def sample_images(labels, at_most, rng):
    """Sorted numbers (q,) of the query images: all, or `at_most`, in the classes' shares.

    Every class has one at least. Raises ValueError for fewer images than classes.
    """
    n, sizes = len(labels), np.bincount(labels)
    if at_most is None or at_most >= n:
        return np.arange(n)
    wanted = at_most * sizes / n
    if at_most < (sizes > 0).sum():
        raise ValueError(
            f"{at_most} query images cannot show {(sizes > 0).sum()} classes; ask for more"
        )
    counts = np.maximum(np.floor(wanted), sizes > 0).astype(int)
    while counts.sum() != at_most:
        # One image at a time, to or from the class that is furthest from its share.
        step = np.sign(at_most - counts.sum())
        movable = counts < sizes if step > 0 else counts > 1
        counts[np.where(movable, step * (wanted - counts), -np.inf).argmax()] += step
    chosen = [
        rng.choice(np.flatnonzero(labels == label), count, replace=False)
        for label, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class ImageDraws:
    """Means and medians over all images, and their intervals, from the query images.

    `queries` (q,) of the images with `labels` (n,). Each class counts by its number of images, and
    so do its query images in it. An interval holds what `n_draws` draws of query images within
    their classes (`resampling_counts`) give, with a share `level`: a mean has the variance
    sum_c (N_c / N)^2 s_c^2 / n_c, s_c^2 with the divisor n_c - 1. Every call sees the same draws.
    """

    queries: np.ndarray
    labels: np.ndarray
    n_draws: int
    level: float
    seed: int

    def mean(self, values):
        """Mean, low and high (...) of values (q, ...), one per query image."""
        flat = values.reshape(len(values), -1).astype(np.float64)
        draws = np.concatenate([weights @ flat for weights in self._weights()])
        return self._interval(self._shares() @ flat, draws, values.shape[1:])

    def median(self, values):
        """Median, low and high (...) of values (q, ...): what half of the images do not exceed."""
        flat = values.reshape(len(values), -1)
        draws = [_weighted_medians(flat, weights) for weights in self._weights()]
        point = _weighted_medians(flat, self._shares()[None])[0]
        return self._interval(point, np.concatenate(draws), values.shape[1:])

    def _interval(self, point, draws, shape):
        low, high = np.quantile(draws, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return tuple(part.reshape(shape) for part in (point, low, high))

    def _shares(self):
        """The share (q,) of all images that each query image stands for."""
        asked, sizes = np.bincount(self.labels[self.queries]), np.bincount(self.labels)
        return (sizes[: len(asked)] / len(self.labels) / np.maximum(asked, 1))[
            self.labels[self.queries]
        ]

    def _weights(self):
        """Blocks of draws (b, q): the share of all images that each query image stands for."""
        rng = np.random.default_rng(self.seed)
        labels, shares = self.labels[self.queries], self._shares()
        rows = max(1, BLOCK // len(labels))
        for start in range(0, self.n_draws, rows):
            weights = np.empty((min(rows, self.n_draws - start), len(labels)))
            for label in np.unique(labels):
                own = np.flatnonzero(labels == label)
                counts, size = resampling_counts(len(own), len(weights), rng)
                weights[:, own] = shares[own] * counts * (len(own) / size)
            yield weights


def _weighted_medians(values, weights):
    """The least value (b, m) in each column (q, m) that half of the weight (b, q) is not above."""
    medians = np.empty((len(weights), values.shape[1]))
    for column, order in enumerate(values.argsort(axis=0, kind="stable").T):
        reached = weights[:, order].cumsum(axis=1) >= 0.5 - 1e-9
        medians[:, column] = values[order[reached.argmax(axis=1)], column]
    return medians


def neighbor_tables(
    features, labels, variants, ks, metrics, draws, whole=None, device="cpu", memory_mb=1000
):
    """What neighbours say of features (V, n, d) of `variants`, raw and centred: two long tables.

    The composition, a row per pair of variants, and the measures, a row per variant, or with
    `variant` "" of all of them; both by centering, metric and each k of `ks`, the measures that
    need none with k "". The columns are those of the data dictionary. `draws` are the `ImageDraws`;
    hubness is told only where all images are queries, and the ranks of siblings where a variant,
    `whole`, shows the whole image.
    Raises ValueError for k out of range, and for features that are not finite or have no cosine.
    """
    n_variants, n, _ = features.shape
    if not 1 <= min(ks) <= max(ks) <= n_variants * (n - 1):
        raise ValueError(
            f"k of {ks} is out of range: {n_variants} variants of {n} images have neighbours of "
            f"other images for k from 1 to {n_variants * (n - 1)}"
        )
    compositions, measures = [], []
    for centering in (RAW, CENTERED):
        given = features if centering == RAW else centered(features)
        _check_features(given, variants, metrics, centering)
        for metric in metrics:
            count = min(max(ks) + n_variants - 1, n_variants * n - 1)
            found = find_neighborhoods(given, draws.queries, count, metric, device, memory_mb)
            at = {"centering": centering, "metric": metric}
            for k in ks:
                shares = composition(found, k)
                compositions += [at | row for row in _composition_rows(shares, k, n, draws)]
                measures += [at | row for row in _measure_rows(found, shares, k, labels, draws)]
            if whole is not None:
                reference = variants.index(whole)
                ranks = sibling_ranks(given, draws.queries, reference, metric, device, memory_mb)
                measures += [at | row for row in _rank_rows(ranks, reference, n, draws)]
    told = {"n": n, "n_queries": len(draws.queries)}
    names = dict(enumerate(variants)) | {"": ""}
    compositions, measures = pd.DataFrame(compositions), pd.DataFrame(measures)
    for column in ("variant", "neighbor_variant"):
        compositions[column] = compositions[column].map(names)
    measures["variant"] = measures["variant"].map(names)
    return compositions.assign(**told), measures.assign(**told)


def _composition_rows(shares, k, n, draws):
    null = composition_null(shares.shape[1], n)
    share, low, high = draws.mean(shares)
    for (v, w), expected in np.ndenumerate(null):
        yield {
            "k": k, "variant": v, "neighbor_variant": w, "share": share[v, w], "low": low[v, w],
            "high": high[v, w], "null": expected, "enrichment": share[v, w] / expected,
        }  # fmt: skip


def _measure_rows(found, shares, k, labels, draws):
    n_variants, n = found.n_variants, found.n
    rng = np.random.default_rng(draws.seed)
    told = {
        "inverse_simpson": (
            inverse_simpson(shares), inverse_simpson_null(n_variants, n, k, rng),
        ),
        "class_purity": (class_purity(found, k, labels), class_purity_null(labels)),
    }  # fmt: skip
    if n_variants > 1:
        told["sibling_share"] = sibling_share(found, k), sibling_share_null(n_variants, n, k)
    for measure, (values, null) in told.items():
        yield from _variant_rows(measure, k, draws.mean(values), null)
    if len(found.images) == n:
        counts = occurrences(found, k)
        for v, part in [("", counts.ravel()), *enumerate(counts)]:
            for measure, (value, null) in hubness(part, k, n_variants * n).items():
                yield _row(measure, k, v, value, "", "", "" if null is None else null)


def _rank_rows(ranks, reference, n, draws):
    others = [v for v in range(ranks.shape[1]) if v != reference]
    ranks = ranks[:, others]
    told = {
        "sibling_reciprocal_rank": (draws.mean(1 / ranks), (1 / np.arange(1, n + 1)).mean()),
        "sibling_recall_at_1": (draws.mean(ranks == 1), 1 / n),
        "sibling_median_rank": (draws.median(ranks), (n + 1) / 2),
    }
    for measure, (values, null) in told.items():
        yield from _variant_rows(measure, "", values, null, others)


def _variant_rows(measure, k, values, null, variants=None):
    """A row per variant of point, low and high (V,)."""
    for place, (value, low, high) in enumerate(zip(*values, strict=True)):
        yield _row(
            measure, k, place if variants is None else variants[place], value, low, high, null
        )


def _row(measure, k, variant, value, low, high, null):
    return {
        "k": k, "variant": variant, "measure": measure, "value": value, "low": low, "high": high,
        "null": null,
    }  # fmt: skip


def _check_features(features, variants, metrics, centering):
    """Raise ValueError that names the variant with NaN or infinity, or without a cosine."""
    for variant, part in zip(variants, features, strict=True):
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if len(bad):
            raise ValueError(
                f"variant {variant!r} has {len(bad)} images with NaN or infinity, the first is "
                f"image {bad[0]}; extract the features again"
            )
        zero = np.flatnonzero(~part.any(axis=1))
        if len(zero) and "cosine" in metrics:
            raise ValueError(
                f"variant {variant!r}, {centering}, has {len(zero)} images whose features are all "
                f"zeros, the first is image {zero[0]}: they have no cosine; "
                "leave cosine out of neighbors.metrics"
            )
