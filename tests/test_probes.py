import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from halfseen.probes import balanced_accuracy, fit_probe

N, D, CLASSES, FOLDS = 150, 12, 3, 5


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def samples(rng):
    """(features, labels, folds): classes overlap and differ in size, dimensions differ in scale."""
    labels = np.repeat(np.arange(CLASSES), [75, 45, 30])
    features = rng.normal(size=(N, D)) + 0.8 * np.eye(CLASSES, D)[labels]
    return features * 10.0 ** rng.uniform(-1, 1, D), labels, np.arange(N) % FOLDS


def accuracies(features, labels, folds, c=1.0):
    results, _ = fit_probe(features, labels, folds, inverse_regularization=c, max_iterations=5000)
    return [result["balanced_accuracy"] for result in results]


# The probe


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_agrees_with_a_scikit_learn_pipeline_in_every_fold(c, samples):
    features, labels, folds = samples
    features[folds == 0] = features[folds == 0] * 3 + 1  # unlike the training part
    expected = []
    for fold in range(FOLDS):
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-9, max_iter=9999))
        pipeline.fit(features[folds != fold], labels[folds != fold])
        predicted = pipeline.predict(features[folds == fold])
        expected.append(balanced_accuracy_score(labels[folds == fold], predicted))
    assert accuracies(features, labels, folds, c) == pytest.approx(expected)


def test_every_image_is_predicted_by_the_probe_that_was_not_fitted_on_it(samples):
    features, labels, folds = samples
    results, predicted = fit_probe(features, labels, folds, 1.0, 5000)
    for fold, result in enumerate(results):
        own = folds == fold
        expected = balanced_accuracy_score(labels[own], predicted[own])
        assert result["balanced_accuracy"] == pytest.approx(expected)
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-9, max_iter=9999))
        pipeline.fit(features[~own], labels[~own])
        assert (predicted[own] == pipeline.predict(features[own])).all()


def test_regularization_matters_on_these_samples(samples):
    assert accuracies(*samples, c=1e-3) != accuracies(*samples, c=1e3)


def test_ignores_the_scale_and_shift_of_every_dimension(samples, rng):
    features, labels, folds = samples
    moved = features * 10.0 ** rng.integers(-3, 4, D) + rng.normal(size=D)
    assert accuracies(moved, labels, folds) == accuracies(features, labels, folds)


def test_does_not_ignore_a_shear(samples):
    features, labels, folds = samples
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    sheared = standard + 100 * standard[:, -1:] * np.arange(D)
    assert accuracies(sheared, labels, folds, 0.1) != accuracies(features, labels, folds, 0.1)


def test_separable_classes_are_read_off_without_an_error(rng):
    labels, folds = np.repeat([0, 1, 2], 20), np.arange(60) % 4
    features = 10 * np.eye(3)[labels] + rng.normal(size=(60, 3))
    results, predicted = fit_probe(features, labels, folds, 1.0, 5000)
    assert (predicted == labels).all()
    assert [result["balanced_accuracy"] for result in results] == [1, 1, 1, 1]
    assert [result["fold"] for result in results] == [0, 1, 2, 3]
    assert {(result["n_train"], result["n_test"]) for result in results} == {(45, 15)}
    assert min(result["n_iterations"] for result in results) > 1


def test_shuffled_labels_give_chance(rng):
    features, folds = rng.normal(size=(60, 4)), np.arange(60) % 3
    labels = np.repeat([0, 1, 2], [30, 18, 12])
    shuffled = []
    for _ in range(20):
        for fold in range(3):  # within a fold, so that none lacks a class
            labels[folds == fold] = rng.permutation(labels[folds == fold])
        shuffled += accuracies(features, labels, folds)
    assert np.mean(shuffled) == pytest.approx(1 / 3, abs=0.03)


def test_non_finite_features_are_an_error_that_counts_the_rows(samples):
    features, labels, folds = samples
    features[3, :2], features[8, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="^2 rows of the features are not finite"):
        fit_probe(features, labels, folds, 1.0, 100)


def test_a_fit_that_has_not_converged_is_an_error_that_names_fold_and_c(samples):
    with pytest.raises(ValueError, match=r"fold 0, C = 1000.0: the probe did not converge"):
        fit_probe(*samples, inverse_regularization=1000.0, max_iterations=3)


def test_a_class_that_a_fold_lacks_is_an_error_that_names_it(samples):
    features, labels, folds = samples
    folds[labels == 1] = 0
    with pytest.raises(ValueError, match="class 1 of 3 has no sample"):
        fit_probe(features, labels, folds, 1.0, 5000)


# Balanced accuracy


def test_balanced_accuracy_is_the_mean_recall_by_hand():
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 0])
    assert balanced_accuracy(labels, predicted, 3) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_balanced_accuracy_agrees_with_scikit_learn(rng):
    for _ in range(20):
        labels = np.append(np.arange(5), rng.integers(0, 5, 40))
        predicted = np.where(rng.random(45) < 0.5, labels, rng.integers(0, 5, 45))
        expected = balanced_accuracy_score(labels, predicted)
        assert balanced_accuracy(labels, predicted, 5) == pytest.approx(expected)


def test_balanced_accuracy_of_one_answer_to_all_is_chance():
    labels = np.repeat([0, 1, 2, 3], [97, 1, 1, 1])
    assert balanced_accuracy(labels, np.zeros(100, dtype=int), 4) == 1 / 4


@pytest.mark.parametrize(("labels", "missing"), [([0, 2, 3], 1), ([0, 1, 2], 3)])
def test_balanced_accuracy_without_a_sample_of_a_class_is_an_error(labels, missing):
    with pytest.raises(ValueError, match=f"class {missing} of 4 has no sample"):
        balanced_accuracy(np.array(labels), np.array(labels), 4)
