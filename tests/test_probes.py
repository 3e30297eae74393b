from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from halfseen import probes
from halfseen.logistic import fit_paths
from halfseen.probes import (
    PROTOCOLS,
    Representations,
    balanced_accuracy,
    choose_costs,
    cost_grids,
    margins,
    run_protocols,
)

N, D, CLASSES, FOLDS = 150, 12, 3, 5
COSTS = np.logspace(-4, 2, 7)
NESTED = {"kind": "nested", "costs": COSTS, "selection_tolerance": 1e-7}
NESTED |= {"transfer": True, "shuffled_control": False}
EVERY = {
    "nested": NESTED | {"shuffled_control": True},
    "paper": {"kind": "fixed", "cost": 1.0},
    "published": {"kind": "official", "costs": COSTS, "standardize": False},
    "knn": {"kind": "knn", "k": 5, "temperature": 0.07},
}


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def samples(rng):
    """(features, labels, folds): classes overlap and differ in size, dimensions differ in scale."""
    labels = np.repeat(np.arange(CLASSES), [75, 45, 30])
    features = rng.normal(size=(N, D)) + 0.8 * np.eye(CLASSES, D)[labels]
    return features * 10.0 ** rng.uniform(-1, 1, D), labels, np.arange(N) % FOLDS


def represented(variants, labels, folds, groups=None, split=""):
    """The `Representations` of {variant: features}."""
    ids = [f"image_{i:04d}" for i in range(len(labels))]
    manifest = pd.DataFrame(
        {"image_id": ids, "label": labels, "fold": folds, "group": ids, "split": split}
    ).assign(label_name=[f"class_{label}" for label in labels])
    if groups is not None:
        manifest["group"] = groups
    return Representations(variants.__getitem__, manifest, list(variants))


def run(variants, labels, folds, protocols, seed=1, **more):
    return run_protocols(represented(variants, labels, folds, **more), protocols, seed)


def accuracies(features, labels, folds, c=1.0):
    probed = run({"original": features}, labels, folds, {"paper": {"kind": "fixed", "cost": c}})
    return probed.cells.balanced_accuracy.astype(float).tolist()


def pipeline(c):
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-9, max_iter=9999))


# One C


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_agrees_with_a_scikit_learn_pipeline_in_every_fold(c, samples):
    features, labels, folds = samples
    features[folds == 0] = features[folds == 0] * 3 + 1  # unlike the training part
    expected = []
    for fold in range(FOLDS):
        fitted = pipeline(c).fit(features[folds != fold], labels[folds != fold])
        predicted = fitted.predict(features[folds == fold])
        expected.append(balanced_accuracy_score(labels[folds == fold], predicted))
    assert accuracies(features, labels, folds, c) == pytest.approx(expected)


def test_every_image_is_predicted_by_the_probe_that_was_not_fitted_on_it(samples):
    features, labels, folds = samples
    probed = run({"original": features}, labels, folds, {"paper": EVERY["paper"]})
    predicted = probed.predictions.predicted.to_numpy()
    for fold, row in zip(range(FOLDS), probed.cells.itertuples(), strict=True):
        own = folds == fold
        assert (row.fold, row.n_train, row.n_test) == (fold, (~own).sum(), own.sum())
        fitted = pipeline(1.0).fit(features[~own], labels[~own])
        assert (predicted[own] == fitted.predict(features[own])).all()
        scores = fitted.decision_function(features[own])
        assert probed.predictions.margin[own].to_numpy() == pytest.approx(
            margins(scores, labels[own]), abs=1e-3
        )


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


# C chosen inside of the training part


def by_brute_force(features, labels, folds, costs):
    """Balanced accuracy (folds, m) on the inner splits, by scikit-learn, fit by fit."""
    scores = np.zeros((FOLDS, len(costs)))
    for fold, place in product(range(FOLDS), range(len(costs))):
        inner = []
        for other in set(range(FOLDS)) - {fold}:
            train, judged = ~np.isin(folds, (fold, other)), folds == other
            fitted = pipeline(costs[place]).fit(features[train], labels[train])
            predicted = fitted.predict(features[judged])
            inner.append(balanced_accuracy_score(labels[judged], predicted))
        scores[fold, place] = np.mean(inner)
    return scores


def test_c_is_judged_as_by_brute_force_on_the_inner_splits(samples):
    features, labels, folds = samples
    costs = np.array([1e-3, 1e-1, 10.0])
    found = choose_costs(features, labels, folds, costs, CLASSES)
    assert found == pytest.approx(by_brute_force(features, labels, folds, costs), abs=1e-12)


def test_no_image_of_a_fold_has_a_say_in_the_choice_of_its_c(samples, rng):
    features, labels, folds = samples
    costs = np.array([1e-3, 1.0])
    found = choose_costs(features, labels, folds, costs, CLASSES)
    own = folds == 2
    features[own] = rng.normal(size=(own.sum(), D))
    changed = choose_costs(features, labels, folds, costs, CLASSES)
    assert (changed[2] == found[2]).all()
    assert (changed[0] != found[0]).any()


def test_the_probe_is_fitted_with_the_c_that_did_best_and_edges_are_flagged(samples):
    features, labels, folds = samples
    costs = np.array([1e-9, 1e-2, 1.0])
    protocols = {"nested": NESTED | {"costs": costs}}
    probed = run({"original": features}, labels, folds, protocols)
    scores = by_brute_force(features, labels, folds, costs)
    best = costs[scores.argmax(axis=1)]
    assert probed.cells.cost.tolist() == best.tolist()
    assert probed.cells.at_edge.tolist() == np.isin(best, costs[[0, -1]]).tolist()
    chosen = probed.selection[probed.selection.chosen]
    assert chosen.cost.tolist() == best.tolist()
    assert chosen.balanced_accuracy.to_numpy() == pytest.approx(scores.max(axis=1))
    for fold, c in enumerate(best):
        own = folds == fold
        predicted = pipeline(c).fit(features[~own], labels[~own]).predict(features[own])
        assert probed.cells.balanced_accuracy[fold] == pytest.approx(
            balanced_accuracy_score(labels[own], predicted)
        )


def test_loose_fits_choose_nearly_as_tight_ones_and_much_looser_ones_do_not(samples, rng):
    features, labels, folds = samples
    # Nearly collinear, as statistics of colours are: the hard case for the solver.
    features = (features @ rng.normal(size=(D, 40))) + 1e-3 * rng.normal(size=(N, 40))
    tight, loose, careless = (
        choose_costs(features, labels, folds, COSTS[:5], CLASSES, tolerance=tolerance)
        for tolerance in (1e-10, 1e-7, 1e-1)
    )
    # One image of the smallest class in one of the four folds that judge.
    image = 1 / CLASSES / (np.bincount(labels).min() / FOLDS) / (FOLDS - 1)
    assert abs(loose - tight).max() <= image + 1e-12
    assert abs(careless - tight).max() > 1.5 * image


def test_only_the_choice_of_c_is_made_of_loose_fits(samples):
    features, labels, folds = samples
    loose, tight = (
        run(
            {"original": features},
            labels,
            folds,
            {"nested": NESTED | {"selection_tolerance": tolerance}},
        )
        for tolerance in (1e-2, 1e-10)
    )
    same = loose.cells.cost == tight.cells.cost
    assert same.any()
    assert not loose.selection.balanced_accuracy.equals(tight.selection.balanced_accuracy)
    pd.testing.assert_frame_equal(loose.cells[same], tight.cells[same])


def test_choosing_c_takes_three_folds(samples):
    features, labels, _ = samples
    with pytest.raises(
        ValueError, match=r"protocol nested: original: choosing C .* takes 3 folds, not 2"
    ):
        run({"original": features}, labels, np.arange(N) % 2, {"nested": NESTED})


@pytest.mark.parametrize("row", [NESTED, EVERY["published"]], ids=["nested", "published"])
def test_of_values_of_c_that_do_equally_well_the_strongest_penalty_is_taken(row, samples):
    _, labels, folds = samples
    costs = np.array([0.1, 1.0, 10.0])
    told_apart = np.eye(CLASSES)[labels]
    probed = run({"original": told_apart}, labels, folds, {"any": row | {"costs": costs}})
    assert (probed.selection.balanced_accuracy == 1).all()
    assert (probed.cells.cost == 0.1).all()
    assert (probed.selection.cost[probed.selection.chosen] == 0.1).all()


# Transfer


@pytest.fixture
def variants(samples, rng):
    features = samples[0]
    return {
        "original": features,
        "foreground": features + rng.normal(size=(N, D)) + 3,
        "background": rng.normal(size=(N, D)),
    }


def cell_of(table, train, test, centering="raw", control="none"):
    return table[
        (table.train_variant == train)
        & (table.test_variant == test)
        & (table.centering == centering)
        & (table.control == control)
    ]


def test_every_pair_of_variants_is_probed_raw_and_recentred(variants, samples):
    _, labels, folds = samples
    predictions = run(variants, labels, folds, {"nested": NESTED}).predictions
    cells = set(map(tuple, predictions[["train_variant", "test_variant", "centering"]].to_numpy()))
    pairs = list(product(variants, variants))
    assert cells == {(*pair, "raw") for pair in pairs} | {
        (*pair, "recentred") for pair in pairs if pair[0] != pair[1]
    }
    assert (predictions.groupby(["train_variant", "test_variant", "centering"]).size() == N).all()


def test_transfer_asks_the_training_variants_probe_about_the_other_variant(variants, samples):
    _, labels, folds = samples
    probed = run(variants, labels, folds, {"nested": NESTED})
    for centering in ("raw", "recentred"):
        found = cell_of(probed.predictions, "original", "foreground", centering)
        costs = cell_of(probed.cells, "original", "foreground", centering).cost
        for fold, cost in zip(range(FOLDS), costs, strict=True):
            own = folds == fold
            fitted = pipeline(cost).fit(variants["original"][~own], labels[~own])
            seen = variants["foreground"][own]
            if centering == "recentred":
                means = [variants[name][~own].mean(axis=0) for name in ("original", "foreground")]
                seen = seen + means[0] - means[1]
            assert (found.predicted.to_numpy()[own] == fitted.predict(seen)).all()


def test_a_shifted_copy_of_a_variant_is_the_variant_once_recentred(samples):
    features, labels, folds = samples
    variants = {"original": features, "moved": features + 40 * features.std(axis=0)}
    predictions = run(variants, labels, folds, {"nested": NESTED}).predictions
    own = cell_of(predictions, "original", "original").predicted.to_numpy()
    recentred = cell_of(predictions, "original", "moved", "recentred").predicted.to_numpy()
    raw = cell_of(predictions, "original", "moved").predicted.to_numpy()
    assert (own == recentred).all()
    assert (own != raw).any()


VARIANTS = ("original", "foreground", "background")
TWO_COSTS = np.array([1e-2, 1.0])
SPLIT = ["validation", "train", "train", "train", "test"]


@pytest.fixture
def groups(samples):
    """The group (n,) of every image, whole in a fold and of one class; two or more images each."""
    _, labels, folds = samples
    return (labels * FOLDS + folds) * 2 + np.arange(N) // FOLDS % 2


@pytest.fixture
def betraying(samples, groups):
    """`Representations` that tell group and variant of every row: a direction each, a length each.

    The published split is none that folds stand in for, and tests a single image of group 2 too.
    """
    _, labels, folds = samples
    split = np.array(SPLIT)[folds]
    split[np.argmax(groups == 2)] = "test"
    directions = np.eye(groups.max() + 1)[groups]
    variants = {name: (1.0 + place) * directions for place, name in enumerate(VARIANTS)}
    return represented(variants, labels, folds, groups, split)


class Witness:
    """What probes were truly fitted on and asked about, of representations that betray it.

    `judged` counts the rows by the variants of training and judged part, `crossing` those of them
    whose group the probe was fitted on. Neighbours know directions alone: they have no variants.
    """

    def __init__(self, monkeypatch):
        self.judged, self.crossing, self.fitted = Counter(), Counter(), []
        for name, spy in (
            ("fit_paths", self.fit_paths), ("logits", self.logits), ("_votes", self.votes),
        ):  # fmt: skip
            monkeypatch.setattr(probes, name, partial(spy, getattr(probes, name)))

    def fit_paths(self, original, features, labels, trains, *args, **more):
        for fit in original(features, labels, trains, *args, **more):
            self.fitted.append((fit, features[trains[fit.problem]]))
            yield fit

    def logits(self, original, features, fit):
        (train,) = [rows for known, rows in self.fitted if known is fit]
        cell = self.variant(train), self.variant(features)
        self.judged[cell] += len(features)
        self.crossing[cell] += int(np.isin(features.argmax(1), train.argmax(1)).sum())
        return original(features, fit)

    def votes(self, original, similarities, *args):
        self.judged["neighbours"] += len(similarities)
        self.crossing["neighbours"] += int(similarities.any(axis=1).sum())
        return original(similarities, *args)

    @staticmethod
    def variant(rows):
        """The one variant that all rows are of."""
        (length,) = set(rows.max(axis=1))
        return VARIANTS[int(length) - 1]


@pytest.fixture
def witness(monkeypatch):
    return Witness(monkeypatch)


@pytest.mark.parametrize("name", EVERY)
def test_no_image_or_group_is_on_both_sides_of_any_fit(name, betraying, witness):
    row = EVERY[name] | ({"costs": TWO_COSTS} if "costs" in EVERY[name] else {})
    run_protocols(betraying, {name: row}, 1)
    own = dict.fromkeys(zip(VARIANTS, VARIANTS, strict=True), N)
    if name == "nested":
        # Every image helps to choose the C of all folds but its own.
        inner = len(TWO_COSTS) * (FOLDS - 1) * N
        pairs = dict.fromkeys(product(VARIANTS, VARIANTS), 2 * N)  # raw and recentred
        expected = pairs | dict.fromkeys(own, inner + N)
        expected[VARIANTS[0], VARIANTS[0]] *= 2  # with shuffled labels once more
    elif name == "published":
        split = betraying.manifest.split
        expected = dict.fromkeys(
            own, len(TWO_COSTS) * (split == "validation").sum() + (split == "test").sum()
        )
    else:
        expected = {"neighbours": len(VARIANTS) * N} if name == "knn" else own
    assert witness.judged == expected
    assert witness.crossing.total() == 0


def test_folds_drawn_per_variant_would_be_caught(betraying, witness, monkeypatch):
    honest_fit = probes._Found.fit

    def fit_on_folds_of_its_own(self, variant, *args):
        manifest = self.given.manifest
        moved = (manifest.fold + VARIANTS.index(variant)) % FOLDS
        shared, self.given = self.given, replace(self.given, manifest=manifest.assign(fold=moved))
        honest_fit(self, variant, *args)
        self.given = shared

    monkeypatch.setattr(probes._Found, "fit", fit_on_folds_of_its_own)
    run_protocols(betraying, {"nested": NESTED | {"costs": TWO_COSTS}}, 1)
    # All that the probes of the moved folds are asked about, but for the choice of their C.
    assert witness.crossing == {
        (train, test): 0 if train == VARIANTS[0] else N if train == test else 2 * N
        for train, test in product(VARIANTS, VARIANTS)
    }


def test_a_probe_that_has_seen_the_image_in_another_variant_does_too_well(samples, rng):
    # Each image is memorised by its own random direction, in both variants.
    _, labels, folds = samples
    noise = rng.normal(size=(N, 400))
    variants = {"original": noise, "foreground": noise + 0.01 * rng.normal(size=noise.shape)}
    shared = run(variants, labels, folds, {"nested": NESTED}).cells
    honest = cell_of(shared, "original", "foreground").balanced_accuracy.astype(float).mean()
    drawn_anew = rng.permutation(folds)
    leaked = []
    for fold in range(FOLDS):
        train, judged = folds != fold, drawn_anew == fold
        probe = pipeline(1.0).fit(noise[train], labels[train])
        leaked.append(
            balanced_accuracy_score(labels[judged], probe.predict(variants["foreground"][judged]))
        )
    assert honest < 0.45 < 0.7 < np.mean(leaked)


def test_a_group_that_folds_separate_is_named(samples):
    features, labels, folds = samples
    groups = [f"g{i}" for i in range(N)]
    groups[7] = groups[8]
    with pytest.raises(ValueError, match="group 'g8' is in 2 folds; make the manifest again"):
        run({"original": features}, labels, folds, {"paper": EVERY["paper"]}, groups=groups)


# Controls


def test_shuffled_labels_give_chance(rng):
    labels = np.repeat([0, 1, 2], [60, 45, 45])
    folds = np.arange(N) % FOLDS
    features = rng.normal(size=(N, 4)) + 2 * np.eye(3, 4)[labels]
    found = []
    for seed in range(8):
        protocols = {"nested": NESTED | {"shuffled_control": True}}
        cells = run({"original": features}, labels, folds, protocols, seed).cells
        found += cell_of(cells, "original", "original", control="shuffled labels")[
            "balanced_accuracy"
        ].tolist()
    true = cell_of(cells, "original", "original").balanced_accuracy.astype(float).mean()
    assert np.mean(found) == pytest.approx(1 / 3, abs=0.04)
    assert true > 0.7


# Neighbours


def test_neighbours_vote_as_in_scikit_learn(samples):
    features, labels, folds = samples
    temperature = 0.07
    probed = run({"original": features}, labels, folds, {"knn": EVERY["knn"]})
    predicted = probed.predictions.predicted.to_numpy()
    for fold in range(FOLDS):
        own = folds == fold
        classifier = KNeighborsClassifier(
            5, metric="cosine", weights=lambda distance: np.exp((1 - distance) / temperature)
        ).fit(features[~own], labels[~own])
        assert (predicted[own] == classifier.predict(features[own])).mean() > 0.99


@pytest.mark.parametrize(("factor", "predicted"), [(4, 0), (1.5, 1)])
def test_the_temperature_says_how_much_a_nearer_neighbour_counts_by_hand(factor, predicted):
    # A vote at similarity 1 is worth `factor` at 0.9: one such of class 0 against two of class 1.
    aside = np.sqrt(1 - 0.9**2)
    directions = np.array([[1, 0], [-1, 0], [-1, 0], [1, 0], [0.9, aside], [0.9, -aside]])
    features = directions * np.array([3, 1, 1, 0.5, 2, 7])[:, None]
    labels, folds = np.array([0, 1, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    row = {"kind": "knn", "k": 3, "temperature": 0.1 / np.log(factor)}
    first = run({"original": features}, labels, folds, {"knn": row}).predictions.iloc[0]
    assert first.predicted == predicted
    assert first.margin == pytest.approx((factor - 2) / (factor + 2), abs=1e-5)


def test_the_margin_of_neighbours_is_one_of_shares_of_the_votes(samples):
    features, labels, folds = samples
    margin = run({"original": features}, labels, folds, {"knn": EVERY["knn"]}).predictions.margin
    assert margin.max() == pytest.approx(1)  # all five are of its own class
    assert margin.min() >= -1 - 1e-12


def test_more_neighbours_than_training_images_are_an_error(samples):
    features, labels, folds = samples
    protocols = {"knn": EVERY["knn"] | {"k": 121}}
    with pytest.raises(ValueError, match="protocol knn: k is 121, but fold 0 has 120 training"):
        run({"original": features}, labels, folds, protocols)


# The published split


def test_the_official_split_is_fitted_chosen_and_tested_on_its_parts(samples):
    features, labels, folds = samples
    split = np.array(["test", "validation", "train", "train", "train"])[folds]
    costs = np.array([1e-4, 1e-1, 1e2])
    protocols = {"published": EVERY["published"] | {"costs": costs}}
    probed = run({"original": features}, labels, folds[::-1].copy(), protocols, split=split)
    parts = {name: split == name for name in ("train", "validation", "test")}
    plain = [LogisticRegression(C=c, tol=1e-10, max_iter=99999) for c in costs]
    scores = [
        balanced_accuracy_score(
            labels[parts["validation"]],
            one.fit(features[parts["train"]], labels[parts["train"]]).predict(
                features[parts["validation"]]
            ),
        )
        for one in plain
    ]
    assert probed.selection.balanced_accuracy.to_numpy() == pytest.approx(scores)
    both = parts["train"] | parts["validation"]
    last = plain[int(np.argmax(scores))].fit(features[both], labels[both])
    expected = last.predict(features[parts["test"]])
    assert (probed.predictions.predicted.to_numpy() == expected).all()
    (row,) = probed.cells.to_dict("records")
    assert (row["fold"], row["n_train"], row["n_test"]) == (0, 120, 30)
    assert (row["split_source"], row["n_left_out"]) == ("official", 0)
    assert row["accuracy"] == pytest.approx((expected == labels[parts["test"]]).mean())


# Errors


@pytest.mark.parametrize("name", EVERY)
def test_non_finite_features_are_an_error_that_counts_the_images(name, samples, variants):
    _, labels, folds = samples
    variants["foreground"][3, :2], variants["foreground"][8, 1] = np.nan, np.inf
    with pytest.raises(
        ValueError,
        match=f"protocol {name}: variant 'foreground' has 2 of 150 images with NaN or infinity, "
        "the first is 'image_0003' in row 3; extract the features again",
    ):
        run(variants, labels, folds, {name: EVERY[name]})


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("n", [N - 1, N + 1])
def test_features_of_more_or_fewer_images_than_the_manifest_has_are_an_error(
    name, n, samples, variants
):
    _, labels, folds = samples
    variants["foreground"] = np.resize(variants["foreground"], (n, D))
    with pytest.raises(
        ValueError,
        match=f"protocol {name}: variant 'foreground' has features of {n} images, but the "
        "manifest has 150; extract the features again",
    ):
        run(variants, labels, folds, {name: EVERY[name]})


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nested", "all but folds 0 and 1, C = 1000"),
        ("paper", "fold 0, C = 1000"),
        ("published", "training part, C = 1000"),
    ],
)
def test_a_fit_that_has_not_converged_is_an_error_that_names_variant_fold_and_c(
    name, part, samples, variants
):
    # A representation without a column is fitted at once.
    _, labels, folds = samples
    variants["original"] = np.zeros((N, D))
    row = {key: 1e3 if key == "cost" else value for key, value in EVERY[name].items()}
    row |= {"costs": np.array([1e3, 1e4])} if "costs" in row else {}
    with pytest.raises(
        ValueError, match=f"protocol {name}: foreground: {part}: the fit has not converged"
    ):
        run_protocols(represented(variants, labels, folds), {name: row}, 1, max_iterations=2)


def test_an_error_of_the_control_names_it(samples, monkeypatch):
    features, labels, folds = samples

    def of_true_labels_alone(features, given, *args, **more):
        if (given != labels).any():
            raise ValueError("no fit")
        return fit_paths(features, given, *args, **more)

    monkeypatch.setattr(probes, "fit_paths", of_true_labels_alone)
    with pytest.raises(ValueError, match="^protocol nested: original, shuffled labels: no fit"):
        run({"original": features}, labels, folds, {"nested": EVERY["nested"]})


def test_a_class_that_a_fold_lacks_is_an_error_that_names_it(samples):
    features, labels, folds = samples
    folds[labels == 1] = 0
    with pytest.raises(ValueError, match="class 1 of 3"):
        run({"original": features}, labels, folds, {"paper": EVERY["paper"]})


def test_a_single_class_is_an_error(samples):
    features, labels, folds = samples
    with pytest.raises(ValueError, match="a single class; a probe needs two"):
        run({"original": features}, 0 * labels, folds, {"paper": EVERY["paper"]})


def test_every_kind_of_protocol_is_tried_here():
    assert {row["kind"] for row in EVERY.values()} == set(PROTOCOLS)


def test_costs_are_spaced_evenly_on_a_log_scale():
    rows = {"a": {"kind": "nested", "costs": {"lowest": 0.01, "highest": 100, "count": 5}}, "b": {}}
    grids = cost_grids(rows)
    assert grids["a"]["costs"] == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert grids["b"] == {}


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


def test_the_margin_is_the_lead_of_the_true_class_by_hand():
    scores = np.array([[3.0, 1.0, 2.5], [0.0, 1.0, 4.0]])
    assert margins(scores, np.array([0, 1])) == pytest.approx([0.5, -3.0])
