"""The paper's Table 1 beside ours, with the difference in units of its standard error."""

import numpy as np
import pandas as pd

from halfseen.comparison import CELL, PAPER_FOLDS

COMPARED = [
    "dataset", "model", "variant", "protocol", "ours", "ours_std", "ours_se", "paper", "paper_std",
    "paper_se", "difference", "se", "difference_in_se", "differs",
]  # fmt: skip


def compare_with_paper(table1):
    """Every cell that the paper prints beside ours: a row per cell and protocol of several folds.

    `table1` comes from `comparison.beside_paper` and has `fold_se`. The columns are `COMPARED`:
    `paper_se` is `printed_fold_se`, `se` the root of the sum of both squares. Both sides judge the
    same images, and error that they share falls out of the difference: `se` is rather too large
    than too small.
    """
    shared = table1[(table1.paper_mean != "") & (table1.fold_se != "")]
    ours, ours_se, paper, paper_std = (
        shared[name].astype(float)
        for name in ("balanced_accuracy_mean", "fold_se", "paper_mean", "paper_std")
    )
    paper_se = printed_fold_se(paper_std, PAPER_FOLDS)
    se = np.hypot(ours_se, paper_se)
    return shared[[*CELL, "protocol", "differs"]].assign(
        ours=ours,
        ours_std=shared.balanced_accuracy_std.astype(float),
        ours_se=ours_se,
        paper=paper,
        paper_std=paper_std,
        paper_se=paper_se,
        difference=ours - paper,
        se=se,
        difference_in_se=(ours - paper) / se,
    )[COMPARED]


def printed_fold_se(std, n_folds, step=0.01):
    """Standard error of a mean over folds that is printed with its standard deviation `std`.

    That of `uncertainty.corrected_fold_se`, since std / sqrt(k) takes overlapping training sets for
    independent ones. Rounding to multiples of `step` hides step^2 / 12 of the variance of either
    number, so a printed 0.00 is not taken for certainty. The divisor of a printed std is not told:
    k, numpy's, is taken. Nadeau and Bengio 2003, section 3.
    """
    rounding = step**2 / 12
    sample_variance = (std**2 + rounding) * n_folds / (n_folds - 1)
    return ((1 / n_folds + 1 / (n_folds - 1)) * sample_variance + rounding) ** 0.5


def comparison_summary(compared):
    """How far the cells of every protocol lie from the paper's: a row per protocol.

    `n_cells`; how many lie within 2 standard errors (`n_within_2_se`); the mean difference and the
    largest one in size, with its cell.
    """
    rows = []
    for protocol, own in compared.groupby("protocol", sort=False):
        largest = own.loc[own.difference_in_se.abs().idxmax()]
        rows.append(
            {
                "protocol": protocol,
                "n_cells": len(own),
                "n_within_2_se": int((own.difference_in_se.abs() <= 2).sum()),
                "mean_difference": own.difference.mean(),
                **{f"largest_{name}": largest[name] for name in CELL},
                "largest_in_se": largest.difference_in_se,
            }
        )
    return pd.DataFrame(rows)
