"""How much of the original's representation those of foreground and background explain, and share.

Ridge regressions of the original's representation on that of the foreground, of the background, and
of both, judged on images that they were not fitted on. All is computed from the folds' moments.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from halfseen.moments import cross_products, grouped_moments
from halfseen.representations import check_same_images

STRENGTHS = tuple(10.0 ** np.arange(-4, 5))
ADDITIVITY = [
    "total", "foreground", "background", "unique_foreground", "unique_background", "shared",
    "n_images",
]  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """Explained variance on held-out images, and what was chosen for it.

    `r2` 1 - SSE / SST over all images and dimensions, SST about the means of the training folds: 1
    at best, 0 for what the mean explains, negative for worse. `strengths` (folds,).
    """

    r2: float
    strengths: tuple


def additivity_row(original, foreground, background, strengths=STRENGTHS):
    """How the two parts of the picture add up, as explained variance: the columns `ADDITIVITY`.

    Of three `Representation`s whose groups are the folds of the manifest. total: R^2 of both
    together; unique_foreground: total less that of the background alone, and the other way round;
    shared: what either explains. The unique ones and shared sum to total. Unique and shared parts
    can be negative, by chance or where the parts hold what only both together tell.
    """
    fits = _Folds(original, foreground, background)
    both, front, back = (fits.explained(parts, strengths).r2 for parts in ((1, 2), (1,), (2,)))
    return {
        "total": both, "foreground": front, "background": back,
        "unique_foreground": both - back, "unique_background": both - front,
        "shared": front + back - both, "n_images": original.n,
    }  # fmt: skip


def cross_validated_ridge(target, predictors, strengths=STRENGTHS):
    """The `Explained` of ridge regressions of `target` on several predictors side by side.

    Of `Representation`s whose groups are the folds. All is centred by the training folds, and each
    predictor divided by the root of its mean variance there: neither units nor rotations count, as
    for the other measures. The strength, times the number of training images, is added to the
    eigenvalues of the predictors' scatter; each fold's is the one that does best when the other
    folds are predicted, one after the other, from the rest. Raises ValueError for fewer than 3
    folds.
    """
    fits = _Folds(target, *predictors)
    return fits.explained(tuple(range(1, len(predictors) + 1)), strengths)


class _Folds:
    """Moments of a target and its predictors by fold, and the regressions they give."""

    def __init__(self, *representations):
        for part in representations[1:]:
            check_same_images(representations[0], part)
        self.parts = representations
        self.counts = representations[0].counts
        if len(self.counts) < 3:
            raise ValueError(
                f"choosing a strength inside of the training folds takes 3 folds, not "
                f"{len(self.counts)}"
            )
        pairs = list(combinations(range(len(representations)), 2))
        self.products = dict(zip(pairs, cross_products(representations, pairs), strict=True))
        for number, part in enumerate(representations):
            self.products[number, number] = grouped_moments(part).parts

    def explained(self, predictors, strengths):
        """The `Explained` of the representations numbered `predictors`."""
        folds = range(len(self.counts))
        inner = np.zeros((len(folds), len(folds), len(strengths)))
        for pair in combinations(folds, 2):
            errors = self._errors(predictors, pair, strengths)
            # Without both, each is the inner test of the other's outer fit.
            for test, held in (pair, pair[::-1]):
                inner[held, test] = errors[test][0]
        errors, chosen, variances = 0.0, [], 0.0
        for held in folds:
            place = int(inner[held].sum(axis=0).argmin())
            found, variance = self._errors(predictors, (held,), strengths)[held]
            errors, variances = errors + found[place], variances + variance
            chosen.append(float(strengths[place]))
        return Explained(float(1 - errors / variances), tuple(chosen))

    def _errors(self, predictors, left_out, strengths):
        """{fold left out: (squared errors per strength, squares about the training mean)}."""
        train = [fold for fold in range(len(self.counts)) if fold not in left_out]
        n = int(self.counts[train].sum())
        shift_x, shift_y = self._sums(predictors, train) / n, self._sums((0,), train) / n
        xx = self._block(predictors, predictors, train) - n * torch.outer(shift_x, shift_x)
        xy = self._block(predictors, (0,), train) - n * torch.outer(shift_x, shift_y)
        inverse = self._inverse_scales(predictors, xx.diagonal() / n)
        values, vectors = torch.linalg.eigh(xx * inverse[:, None] * inverse)
        onto = inverse[:, None] * vectors
        fitted = onto.T @ xy
        shrunk = 1 / (values.clamp(min=0) + n * torch.tensor(strengths).to(values)[:, None])
        found = {}
        for fold in left_out:
            m = int(self.counts[fold])
            mean_x, mean_y = self._sums(predictors, [fold]), self._sums((0,), [fold])
            test_xx = self._about(predictors, predictors, fold, mean_x, mean_x, shift_x, shift_x, m)
            test_xy = self._about(predictors, (0,), fold, mean_x, mean_y, shift_x, shift_y, m)
            variance = (
                self.products[0, 0][fold].diagonal().sum()
                - 2 * shift_y @ mean_y + m * shift_y @ shift_y
            ).item()  # fmt: skip
            linear = (fitted * (onto.T @ test_xy)).sum(dim=1)
            quadratic = (onto.T @ test_xx @ onto) * (fitted @ fitted.T)
            errors = variance - 2 * shrunk @ linear + ((shrunk @ quadratic) * shrunk).sum(dim=1)
            found[fold] = errors.cpu().numpy(), variance
        return found

    def _inverse_scales(self, predictors, variances):
        """1 / root mean variance of the predictor that each coordinate belongs to."""
        parts = [self.parts[number] for number in predictors]
        own = variances.split([part.d for part in parts])
        return torch.cat(
            [
                (part.n_features / values.sum()).sqrt().expand(part.d)
                for part, values in zip(parts, own, strict=True)
            ]
        )

    def _about(self, rows, columns, fold, sum_x, sum_y, shift_x, shift_y, m):
        """The products of a fold's rows about the training folds' means."""
        products = self._block(rows, columns, [fold])
        return (
            products - torch.outer(sum_x, shift_y) - torch.outer(shift_x, sum_y)
            + m * torch.outer(shift_x, shift_y)
        )  # fmt: skip

    def _sums(self, numbers, folds):
        return torch.cat([self.parts[number].sums[folds].sum(dim=0) for number in numbers])

    def _block(self, rows, columns, folds):
        return torch.cat(
            [torch.cat([self._product(i, j, folds) for j in columns], dim=1) for i in rows]
        )

    def _product(self, i, j, folds):
        if i <= j:
            return self.products[i, j][folds].sum(dim=0)
        return self.products[j, i][folds].sum(dim=0).T
