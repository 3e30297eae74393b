"""How sure a similarity is: the delete-a-group jackknife over images, with classes as strata.

Images are what is sampled; models are fixed. Rows are never drawn with replacement: a row that is
drawn twice matches itself, and unrelated representations then look alike. A value is computed once
without each of g groups of images. Every group holds an equal share of every class, so the classes'
shares, which are part of the design, do not add to the spread. All values use the same groups, so
differences of them are paired.
"""

import numpy as np
import pandas as pd
from scipy import stats

from halfseen.uncertainty import holm

N_GROUPS = 8
DIFFERENCES = [
    "measure", "first_x", "first_y", "second_x", "second_y",
    "difference", "low", "high", "se", "p", "p_holm",
]  # fmt: skip


def jackknife_groups(labels, rng, units=None, n_groups=N_GROUPS):
    """The group (n,) of every image, 0 to n_groups - 1: dealt at random, class by class.

    Images of one of `units` (n,), such as near-duplicates, stay together. Groups of a class differ
    by at most one unit in size, those of all images too. Raises ValueError for fewer than 2 groups
    and for fewer units than groups.
    """
    labels = np.asarray(labels)
    units = np.arange(len(labels)) if units is None else np.asarray(units)
    _, first, members = np.unique(units, return_index=True, return_inverse=True)
    if n_groups < 2 or len(first) < n_groups:
        raise ValueError(
            f"{len(first)} images or groups of near-duplicates cannot be dealt to {n_groups} groups"
        )
    # A unit of several classes is dealt with the class of its first image.
    shuffled = rng.permutation(len(first))
    dealt = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    group = np.empty(len(first), dtype=int)
    group[dealt] = np.arange(len(first)) % n_groups
    return group[members]


def jackknife_se(replicates):
    """Standard error from values (g,) without each group: sqrt((g - 1) / g sum of squares).

    Of smooth measures of many images; its own uncertainty is that of g - 1 degrees of freedom.
    Kott 2001, equation 3.
    """
    values = np.asarray(replicates, dtype=float)
    g = len(values)
    if g < 2:
        raise ValueError(f"{g} group(s) of images have no standard error; it takes two")
    return float(np.sqrt((g - 1) / g * ((values - values.mean()) ** 2).sum()))


def jackknife_interval(value, replicates, level=0.95):
    """Confidence interval (low, high) and standard error of a value; Student's t, g - 1 degrees.

    Not cut to the measure's range.
    """
    se = jackknife_se(replicates)
    half = stats.t.ppf((1 + level) / 2, len(replicates) - 1) * se
    return float(value - half), float(value + half), se


def difference_rows(table, replicates, contrasts, level=0.95):
    """Paired differences of similarities, first - second, with the columns `DIFFERENCES`.

    `table` and `replicates` as of `similarity.Similarities`, of one model or of several whose names
    are part of x and y; `contrasts` [((x, y), (x, y))]. Every measure of the table is compared. p
    is two-sided, of Student's t with g - 1 degrees of freedom; p_holm is Holm's over all rows.
    """
    points = table.set_index(["measure", "x", "y"]).similarity.astype(float)
    left_out = replicates.pivot_table(
        index=["measure", "x", "y"], columns="group", values="similarity"
    )
    rows = []
    for measure in table.measure.unique():
        for first, second in contrasts:
            value = points[(measure, *first)] - points[(measure, *second)]
            spread = (left_out.loc[(measure, *first)] - left_out.loc[(measure, *second)]).to_numpy()
            low, high, se = jackknife_interval(value, spread, level)
            rows.append(
                (
                    measure,
                    *first,
                    *second,
                    value,
                    low,
                    high,
                    se,
                    _p(value, se, len(spread) - 1),
                    1.0,
                )
            )
    differences = pd.DataFrame(rows, columns=DIFFERENCES)
    return differences.assign(p_holm=holm(differences.p))


def _p(value, se, freedom):
    if se == 0:
        return float(value == 0)
    return float(2 * stats.t.sf(abs(value) / se, freedom))
