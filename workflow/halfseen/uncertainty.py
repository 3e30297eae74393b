"""How sure a balanced accuracy is: intervals, paired differences, agreement of predictions.

The tables here are made of out-of-fold predictions, one row an image and cell, with the columns
`CELL`, image_id, label, fold and predicted. A cell holds each image of its protocol once, predicted
by the probe that was not fitted on it. Cells keep the order in which they first appear; nothing
else depends on the order of the rows.

Two sources of chance, and two measures of it. The bootstrap draws the images that are judged while
the probes stay as they were fitted: it does not contain the draw of the training sets, nor that of
the folds. The standard error over the folds (`corrected_fold_se`) does contain the draw of the
training sets, from few values. Models are fixed in both: nothing here speaks of other encoders.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

CELL = [
    "dataset", "model", "protocol", "train_variant", "test_variant", "centering", "control",
]  # fmt: skip
DIFFERENCES = [
    "dataset", "protocol", "compares", "within", "first", "second",
    "difference", "low", "high", "se", "p", "p_holm", "n_images",
]  # fmt: skip
NAMED_MARGINS = [
    "dataset", "model", "protocol", "centering", "margin", "train_variant", "test_variant",
    "balanced_accuracy", "low", "high", "se",
    "chance", "above_chance", "above_chance_low", "above_chance_high",
    "difference", "difference_low", "difference_high", "difference_se", "n_images",
]  # fmt: skip
AGREEMENT = [
    "dataset", "protocol", "model", "reference", "variant",
    "kappa", "flip_rate", "lost", "gained", "n_images",
]  # fmt: skip
# Named pairs of the roles of training and test variant.
MARGINS = {
    "sufficiency": ("whole", "object"),
    "background reliance": ("whole", "surroundings"),
}
BLOCK = 2**22  # entries of the weights that exist at once, some 100 MB while they are counted


def cell_matrix(predictions):
    """Who is right: correct (n, cells) bool, labels (n,) and the cells, a table of columns `CELL`.

    Images stand in the order of their ids, whatever the order of the predictions. Raises ValueError
    that names cell and image where an image is missing, doubled or has another label.
    """
    predicted, cells, labels = _by_image(predictions, "label")
    return predicted == labels[:, None], labels, cells


def mean_recall(correct, labels):
    """Balanced accuracy (cells,) of correct (n, cells) over all images: the mean recall of classes.

    It is linear in `correct`: with differences of two such columns, -1 to 1, it gives the
    difference of their balanced accuracies.
    """
    classes = np.unique(labels)
    return sum(correct[labels == label].mean(axis=0) for label in classes) / len(classes)


def fold_mean_recall(correct, labels, folds):
    """Balanced accuracy (folds, cells) in each fold; ValueError for a class that a fold lacks."""
    classes, rows = np.unique(labels), []
    for fold in np.unique(folds):
        own = folds == fold
        lacking = np.setdiff1d(classes, labels[own])
        if len(lacking):
            raise ValueError(
                f"fold {fold} has no image of class {lacking[0]}; its recall is not defined"
            )
        rows.append(mean_recall(correct[own], labels[own]))
    return np.stack(rows)


def bootstrap_balanced_accuracy(correct, labels, n_draws, rng):
    """Balanced accuracy (n_draws, cells) float64 of images drawn with replacement in each class.

    `correct` (n, cells) holds bools or, for differences of cells, -1, 0 and 1. All columns see the
    same draws, so they can be subtracted. Of a class's n_c images n_c - 1 are drawn
    (`resampling_counts`), so the variance of a cell is sum_c p_c (1 - p_c) / (n_c - 1) / K^2,
    without bias however small the classes, but 0 where each is all right or all wrong. Images are
    drawn singly, even those of one group. The probes stay as they were fitted: the draw of the
    training sets is not in it.

    Counts are summed in float32, exactly for classes of less than 2^24 images: equal columns give
    equal draws, on any number of threads. O(n_draws n cells) time, memory for `BLOCK` weights.
    Efron and Tibshirani 1993, chapters 6 and 13.
    """
    classes = np.unique(labels)
    draws = np.zeros((n_draws, correct.shape[1]))
    for label in classes:
        own = correct[labels == label].astype(np.float32)
        rows = max(1, BLOCK // len(own))
        for start in range(0, n_draws, rows):
            block = draws[start : start + rows]
            counts, size = resampling_counts(len(own), len(block), rng)
            block += (counts @ own) / np.float64(size)
    return draws / len(classes)


def resampling_counts(n, n_draws, rng):
    """How often each of a class's n images is drawn, (n_draws, n) float32, and how many a draw has.

    n - 1 with replacement: their mean then has the variance s^2 / n, s^2 with the divisor n - 1,
    where n of n would make it too small by the factor (n - 1) / n. Of a single image nothing is
    known; it is drawn every time and adds no variance. McCarthy and Snowden 1985; Rao and Wu 1988,
    section 2.
    """
    size = max(n - 1, 1)
    drawn = rng.integers(n, size=(n_draws, size))
    drawn += n * np.arange(n_draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_draws * n)
    return counts.reshape(n_draws, n).astype(np.float32), size


def cell_table(predictions, n_draws, rng, level=0.95):
    """Balanced accuracy of every cell and how sure it is: a row per cell, the columns `CELL` first.

    balanced_accuracy and accuracy are over all `n_images`, predicted out of fold and pooled; low,
    high and se are percentiles and standard deviation of `bootstrap_balanced_accuracy`, which holds
    the probes fixed. n_classes K, chance 1 / K, chance_corrected (BA - 1 / K) / (1 - 1 / K): 0 by
    chance, 1 at best. fold_mean, fold_std (divisor k) and fold_se are of the k folds' balanced
    accuracies; fold_se (`corrected_fold_se`) contains the draw of the training sets. These three
    are empty text for a protocol of a single fold. Raises ValueError where cells of a protocol
    differ in images, labels or folds.
    """
    tables = []
    # Labels may differ between controls: the shuffled ones are their own strata.
    for _, group in _grouped(predictions, ["dataset", "protocol", "control"]):
        predicted, cells, labels, folds = _by_image(group, "label", "fold")
        correct = predicted == labels[:, None]
        accuracy, chance = mean_recall(correct, labels), _chance(labels, cells)
        low, high, se = _spread(bootstrap_balanced_accuracy(correct, labels, n_draws, rng), level)
        tables.append(
            cells.assign(
                balanced_accuracy=accuracy,
                accuracy=correct.mean(axis=0),
                low=low,
                high=high,
                se=se,
                n_images=len(labels),
                n_classes=len(np.unique(labels)),
                chance=chance,
                chance_corrected=(accuracy - chance) / (1 - chance),
                **_fold_columns(correct, labels, folds),
            )
        )
    return pd.concat(tables, ignore_index=True)


def difference_table(predictions, n_draws, rng, level=0.95):
    """Every paired difference of balanced accuracy, first - second, with the columns `DIFFERENCES`.

    Of the cells trained and tested on one variant, raw and without a control: `compares` says
    "variants", `within` a model, or "models", `within` a variant. low, high and se are percentiles
    and standard deviation of the bootstrap of the same images in both (the probes are fixed). p is
    `two_sided_p`; p_holm is Holm's over all differences of a data set and protocol. The share of
    draws beyond 0 would not do for p: it cannot fall below 2 / (n_draws + 1), which no correction
    over hundreds of differences leaves significant.
    """
    tables = []
    for _, group in _grouped(_own_variants(predictions), ["dataset", "protocol"]):
        correct, labels, cells = cell_matrix(group)
        pairs = _pairs(cells)
        if pairs.empty:
            continue
        differences = correct[:, pairs["i"]].astype(np.int8) - correct[:, pairs["j"]]
        difference = mean_recall(differences, labels)
        draws = bootstrap_balanced_accuracy(differences, labels, n_draws, rng)
        low, high, se = _spread(draws, level)
        gained, lost = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
        p = two_sided_p(difference, se, gained, lost)
        tables.append(
            pairs.assign(
                dataset=cells.dataset.iloc[0], protocol=cells.protocol.iloc[0],
                difference=difference, low=low, high=high, se=se, p=p, p_holm=holm(p),
                n_images=len(labels),
            )[DIFFERENCES]
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=DIFFERENCES)


def margins_of(roles):
    """The `MARGINS` of `roles` {role: variant}: {name: (training variant, test variant)}."""
    return {
        name: tuple(roles[role] for role in pair)
        for name, pair in MARGINS.items()
        if roles.keys() >= set(pair)
    }


def named_margins(predictions, n_draws, rng, level=0.95, *, margins):
    """The transfers that have a name, `margins` {name: (training variant, test variant)}.

    A row per data set, model, protocol, centering and margin whose cell there is, without control:
    its balanced_accuracy with low, high and se, and the same `above_chance` (less 1 / K, `chance`);
    and the paired `difference` from the cell that was trained and tested, raw, on the training
    variant, negative where the transfer loses. Bootstrap as in `difference_table`. Raises
    ValueError where that cell is missing.
    """
    trained = {train for train, _ in margins.values()}
    kept = (predictions.control == "none") & predictions.train_variant.isin(trained)
    tables = []
    for _, group in _grouped(predictions[kept], ["dataset", "protocol"]):
        correct, labels, cells = cell_matrix(group)
        rows = _margin_cells(cells, margins)
        if rows.empty:
            continue
        own = correct[:, rows["i"]].astype(np.int8)
        values = np.hstack([own, own - correct[:, rows["j"]]])
        value, other = np.split(mean_recall(values, labels), 2)
        draws = bootstrap_balanced_accuracy(values, labels, n_draws, rng)
        (low, other_low), (high, other_high), (se, other_se) = (
            np.split(part, 2) for part in _spread(draws, level)
        )
        chance = _chance(labels, cells)
        tables.append(
            rows.assign(
                balanced_accuracy=value, low=low, high=high, se=se, chance=chance,
                above_chance=value - chance,
                above_chance_low=low - chance, above_chance_high=high - chance,
                difference=other, difference_low=other_low, difference_high=other_high,
                difference_se=other_se, n_images=len(labels),
            )[NAMED_MARGINS]
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=NAMED_MARGINS)


def agreement_table(predictions, reference):
    """How far the predictions on each variant agree with those on `reference`, image by image.

    Without a reference, None, the table is empty.

    A row per data set, protocol, model and other `variant`, of the cells trained and tested on one
    variant, raw and without a control: Cohen's kappa (`cohen_kappa`), flip_rate, the share of
    images whose predicted class changes, and of them lost, right to wrong, and gained, wrong to
    right, as shares of `n_images`. Raises ValueError for a model without the reference.
    """
    rows = []
    if reference is None:
        return pd.DataFrame(columns=AGREEMENT)
    for _, group in _grouped(_own_variants(predictions), ["dataset", "protocol"]):
        predicted, cells, labels = _by_image(group, "label")
        correct = predicted == labels[:, None]
        for i, cell in cells[cells.train_variant != reference].iterrows():
            j = _cell_number(cells, cell, reference)
            rows.append(
                {name: cell[name] for name in ("dataset", "protocol", "model")}
                | {
                    "reference": reference,
                    "variant": cell.train_variant,
                    "kappa": cohen_kappa(predicted[:, j], predicted[:, i]),
                    "flip_rate": (predicted[:, j] != predicted[:, i]).mean(),
                    "lost": (correct[:, j] & ~correct[:, i]).mean(),
                    "gained": (~correct[:, j] & correct[:, i]).mean(),
                    "n_images": len(labels),
                }
            )
    return pd.DataFrame(rows, columns=AGREEMENT)


def cohen_kappa(first, second):
    """Agreement of two predictions (n,) beyond chance: 1 for equal ones, 0 for independent ones.

    Equal predictions of a single class, where the ratio is 0 / 0, count as equal: 1.
    """
    # slow to import, and the other tables do without
    from sklearn.metrics import cohen_kappa_score

    if np.array_equal(first, second):
        return 1.0
    return float(cohen_kappa_score(first, second))


def two_sided_p(difference, se, gained, lost):
    """Two-sided p of difference / se as standard normal, but no less than an exact test can give.

    `gained` and `lost` are the numbers of images that the first cell alone, and the second alone,
    has right. The sign test of n such images gives 2 / 2^n where all fall to one cell, and never
    less; few images are no surer than that, however little the draws vary. Where these have no
    spread (se 0), p is that of the sign test of gained against lost, or 1 for no difference.
    McNemar 1947.
    """
    difference, se = np.asarray(difference, dtype=float), np.asarray(se, dtype=float)
    constant, fewer = se == 0, np.minimum(gained, lost)
    p = 2 * stats.norm.sf(np.abs(difference) / np.where(constant, 1, se))
    exact = 2 * stats.binom.cdf(np.where(constant, fewer, 0), np.add(gained, lost), 0.5)
    return np.minimum(np.maximum(np.where(constant, difference == 0, p), exact), 1)


def holm(p):
    """Holm's adjusted p (m,), in the order of p: valid for all m tests together, however dependent.

    The i-th smallest, from 0, times m - i, is raised to the largest before it and cut at 1.
    Raises ValueError for a p that is not in 0 to 1. Holm 1979.
    """
    p = np.asarray(p, dtype=float)
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise ValueError(f"{p[bad][0]} is no p value; it must be between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    factors = np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted


def corrected_fold_se(values, n_test_over_n_train=None):
    """Standard error of the mean over k folds of values (k, ...): sqrt((1/k + n_test/n_train) s^2).

    It contains the draw of the training sets, whose overlap makes the plain s^2 / k too small: two
    folds are taken to correlate by n_test / (n_test + n_train). n_test / n_train is 1 / (k - 1)
    unless given. Raises ValueError for a single fold. Nadeau and Bengio 2003, section 3.
    """
    values = np.asarray(values, dtype=float)
    k = len(values)
    if k < 2:
        raise ValueError(f"{k} fold(s) have no standard error; it takes two")
    if n_test_over_n_train is None:
        n_test_over_n_train = 1 / (k - 1)
    return np.sqrt((1 / k + n_test_over_n_train) * values.var(axis=0, ddof=1))


def _spread(draws, level):
    """Percentile interval and standard deviation of each column of draws: low, high, se."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    # Rounding of the mean would give equal draws a spread.
    constant = draws.max(axis=0) == draws.min(axis=0)
    return low, high, np.where(constant, 0, draws.std(axis=0, ddof=1))


def _fold_columns(correct, labels, folds):
    if len(np.unique(folds)) == 1:
        return {"fold_mean": "", "fold_std": "", "fold_se": ""}
    values = fold_mean_recall(correct, labels, folds)
    return {
        "fold_mean": values.mean(axis=0),
        "fold_std": values.std(axis=0),
        "fold_se": corrected_fold_se(values),
    }


def _chance(labels, cells):
    """1 / K; ValueError for a single class."""
    n_classes = len(np.unique(labels))
    if n_classes < 2:
        raise ValueError(
            f"{cells.dataset.iloc[0]} has a single class in protocol {cells.protocol.iloc[0]}; "
            "a probe needs two"
        )
    return 1 / n_classes


def _grouped(predictions, names):
    return predictions.groupby(names, sort=False, observed=True)


def _own_variants(predictions):
    """The predictions on the variant that was trained on, raw and without a control."""
    plain = predictions[(predictions.centering == "raw") & (predictions.control == "none")]
    # As objects: categories of the two columns may differ.
    train, test = (np.asarray(plain[name], object) for name in ("train_variant", "test_variant"))
    return plain[train == test]


def _pairs(cells):
    """The pairs of cells i and j to compare: compares, within, first, second, i, j."""
    rows = []
    for compares, fixed, varied in (
        ("variants", "model", "train_variant"),
        ("models", "train_variant", "model"),
    ):
        for within, group in cells.groupby(fixed, sort=False):
            for i, j in combinations(group.index, 2):
                first, second = cells.loc[i, varied], cells.loc[j, varied]
                rows.append((compares, within, first, second, i, j))
    return pd.DataFrame(rows, columns=["compares", "within", "first", "second", "i", "j"])


def _margin_cells(cells, margins):
    """The cells i with a name and j, what each is compared with."""
    rows = []
    for name, (train, test) in margins.items():
        named = cells[(cells.train_variant == train) & (cells.test_variant == test)]
        for i, cell in named.iterrows():
            row = {key: cell[key] for key in ("dataset", "model", "protocol", "centering")}
            j = _cell_number(cells, cell, train)
            rows.append(
                row | {"margin": name, "train_variant": train, "test_variant": test, "i": i, "j": j}
            )
    return pd.DataFrame(rows)


def _cell_number(cells, cell, variant):
    """Where the cell of the same model that was trained and tested on `variant`, raw, stands."""
    found = cells.index[
        (cells.model == cell.model)
        & (cells.train_variant == variant)
        & (cells.test_variant == variant)
        & (cells.centering == "raw")
    ]
    if found.empty:
        raise ValueError(
            f"{_named(cell)} has nothing to compare with: "
            f"{cell.model} has no raw predictions trained and tested on {variant}"
        )
    return found[0]


def _by_image(predictions, *shared):
    """predicted (n, cells), cells, and the `shared` columns, each (n,), in the order of image ids.

    Raises ValueError that names cell and image unless each cell holds each image once and all
    agree on the shared columns.
    """
    columns = [*CELL, "image_id", "predicted", *shared]
    missing = [name for name in columns if name not in predictions]
    if missing:
        raise ValueError(f"the predictions lack the columns {missing}")
    empty = [name for name in columns if predictions[name].isna().any()]
    if empty:
        raise ValueError(f"the predictions have empty fields in the columns {empty}")
    numbers = _grouped(predictions, CELL).ngroup().to_numpy()
    _, first = np.unique(numbers, return_index=True)
    cells = predictions[CELL].iloc[first].astype(str).reset_index(drop=True)
    codes, image_ids = pd.factorize(predictions.image_id)
    order = np.argsort(np.asarray(image_ids, dtype=object))
    image_ids = np.asarray(image_ids, dtype=object)[order]
    rows = np.argsort(order)[codes]
    shape = len(image_ids), len(cells)
    _check_once(
        np.bincount(numbers * shape[0] + rows, minlength=shape[0] * shape[1]), image_ids, cells
    )

    def matrix(name):
        values = predictions[name].to_numpy()
        filled = np.empty(shape, dtype=values.dtype)
        filled[rows, numbers] = values
        return filled

    common = [_common(matrix(name), name, image_ids, cells) for name in shared]
    return matrix("predicted"), cells, *common


def _check_once(counts, image_ids, cells):
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        cell, image = divmod(wrong[0], len(image_ids))
        problem = "lacks" if counts[wrong[0]] == 0 else f"holds {counts[wrong[0]]} times"
        raise ValueError(
            f"{_named(cells.iloc[cell])} {problem} image {image_ids[image]!r}; "
            "the cells of a protocol hold the same images, each once"
        )


def _common(values, name, image_ids, cells):
    """The one column that all columns of values (n, cells) equal."""
    differing = np.argwhere(values != values[:, :1])
    if len(differing):
        image, cell = differing[0]
        raise ValueError(
            f"image {image_ids[image]!r} has {name} {values[image, cell]} in "
            f"{_named(cells.iloc[cell])} but {values[image, 0]} in {_named(cells.iloc[0])}"
        )
    return values[:, 0]


def _named(cell):
    return (
        f"cell {cell.dataset}/{cell.model}/{cell.protocol}, {cell.train_variant} -> "
        f"{cell.test_variant}, {cell.centering}, control {cell.control},"
    )
