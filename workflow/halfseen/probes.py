"""Linear probes: how well the class can be read off a frozen representation."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def fit_probe(features, labels, folds, inverse_regularization, max_iterations):
    """Balanced accuracy of a linear probe in each fold, a list of dicts, and each image's class.

    The second value (n,) holds what the probe that was not fitted on an image predicts for it.

    `features` (n, d), `labels` (n,), `folds` (n,). In every fold the features are z-scored with the
    mean and standard deviation of its training part, and a multinomial logistic regression with an
    L2 penalty, (1/n) sum CE + |W|^2 / (2 C n), is fitted in float64; C is `inverse_regularization`.
    Raises ValueError for non-finite features and for a fit that has not converged after
    `max_iterations`.
    """
    features = np.asarray(features, dtype=np.float64)
    if not np.isfinite(features).all():
        raise ValueError(
            f"{(~np.isfinite(features)).any(axis=1).sum()} rows of the features are not finite"
        )
    results, predictions = [], np.empty_like(labels)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        scaler = StandardScaler().fit(features[train])
        # The features are of unit scale, so one tolerance on the gradient suits all encoders.
        probe = LogisticRegression(C=inverse_regularization, tol=1e-6, max_iter=max_iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                probe.fit(scaler.transform(features[train]), labels[train])
            except ConvergenceWarning as error:
                raise ValueError(
                    f"fold {fold}, C = {inverse_regularization}: "
                    f"the probe did not converge: {error}"
                ) from error
        predicted = predictions[test] = probe.predict(scaler.transform(features[test]))
        results.append(
            {
                "fold": int(fold),
                "balanced_accuracy": balanced_accuracy(labels[test], predicted, labels.max() + 1),
                "n_train": int(train.sum()),
                "n_test": int(test.sum()),
                "n_iterations": int(probe.n_iter_[0]),
            }
        )
    return results, predictions


def balanced_accuracy(labels, predicted, n_classes):
    """Mean over the classes of the share predicted right: 1 at best, 1 / n_classes by chance.

    Raises ValueError that names a class without a sample: its recall is not defined.
    """
    total = np.bincount(labels, minlength=n_classes)
    if (total == 0).any():
        raise ValueError(
            f"class {int(np.argmin(total))} of {n_classes} has no sample; its recall is not defined"
        )
    return float((np.bincount(labels[labels == predicted], minlength=n_classes) / total).mean())
