"""Probes: how well the class can be read off a frozen representation, by named protocols.

A protocol is a row of the config: its `kind` is a function of `PROTOCOLS`, its other keys are the
arguments. Every protocol gives cells: fitted on one variant, asked about one, judged on images that
it was not fitted on. All variants share one division of the images, the folds of the manifest or,
for `official`, the published split where there is one, so that no image and no group is on both
sides of any cell, whichever variant it is seen in.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from halfseen.logistic import fit_paths, logits
from halfseen.representations import row_slices
from halfseen.splits import official_parts

SHUFFLED = "shuffled labels"
ENDS = ("lowest", "highest", "count")


@dataclass(frozen=True)
class Representations:
    """One model's representations of the images of a manifest: `read(variant)` gives (n, d)."""

    read: object
    manifest: pd.DataFrame
    variants: list

    @property
    def labels(self):
        """The class (n,) of every image, 0 to n_classes - 1."""
        return self.manifest.label.to_numpy()

    @property
    def folds(self):
        """The fold (n,) of every image."""
        return self.manifest.fold.to_numpy()

    @property
    def n_classes(self):
        """Number of classes."""
        return int(self.labels.max()) + 1

    def features(self, variant):
        """The representations (n, d) of a variant, one finite row for each image of the manifest.

        Raises ValueError that names the variant and the first image without such a row.
        """
        features, ids = self.read(variant), self.manifest.image_id.to_numpy()
        if len(features) != len(ids):
            raise ValueError(
                f"variant {variant!r} has features of {len(features):,} images, but the manifest "
                f"has {len(ids):,}; extract the features again"
            )
        blocks = row_slices(len(ids), BLOCK_ROWS)
        finite = np.concatenate([np.isfinite(features[rows]).all(axis=1) for rows in blocks])
        bad = np.flatnonzero(~finite)
        if len(bad):
            raise ValueError(
                f"variant {variant!r} has {len(bad):,} of {len(ids):,} images with NaN or "
                f"infinity, the first is {ids[bad[0]]!r} in row {bad[0]}; "
                "extract the features again"
            )
        return features


@dataclass(frozen=True)
class Probed:
    """What probing gives: a row a fold of each cell, a row an image of each, a row a value of C.

    The columns are those of the data dictionary. `selection` is empty where nothing was chosen.
    """

    cells: pd.DataFrame
    predictions: pd.DataFrame
    selection: pd.DataFrame


def run_protocols(representations, protocols, seed, **solver):
    """The `Probed` of all `protocols`, {name: row}; each draws from a generator of its own.

    `solver` is passed on to `fit_paths`. Raises ValueError that names the protocol and, where a fit
    is to blame, its variant and control.
    """
    _check_manifest(representations.manifest)
    parts = []
    for number, (name, row) in enumerate(protocols.items()):
        row = dict(row)
        protocol = PROTOCOLS[row.pop("kind")]
        rng = np.random.default_rng([seed, number])
        with _prefix_errors(f"protocol {name}"):
            probed = protocol(representations, rng=rng, **row, **solver)
        parts.append([table.assign(protocol=name) for table in vars(probed).values()])
    return Probed(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))


def cost_grids(protocols):
    """The rows of `protocols` with the values of C in place of how they are spaced."""
    return {
        name: row
        | {key: np.geomspace(*(row[key][end] for end in ENDS)) for key in ("costs",) if key in row}
        for name, row in protocols.items()
    }


def nested(representations, rng, costs, selection_tolerance, transfer, shuffled_control, **solver):
    """Linear probes whose C is chosen inside of every training part, and their transfer.

    For each variant and fold, C is the one of `costs` that does best on the other folds, each of
    them predicted by a fit on the rest (`choose_costs`), which ends at `selection_tolerance`; the
    probe is then fitted on all of them, as tightly as `solver` says.
    With `transfer` it is asked about every variant, raw and with the test variant shifted by the
    difference of the two variants' training means. With `shuffled_control`, the same is done for
    the first variant with labels shuffled within folds: what it reaches is chance.
    """
    found, choice = _Found(representations), solver | {"tolerance": selection_tolerance}
    for variant in representations.variants:
        found.fit(variant, "none", representations.labels, costs, solver, choice)
    if shuffled_control:
        labels = representations.labels.copy()
        for fold in np.unique(representations.folds):
            own = representations.folds == fold
            labels[own] = rng.permutation(labels[own])
        found.fit(representations.variants[0], SHUFFLED, labels, costs, solver, choice)
    return found.probed(transfer)


def fixed(representations, rng, cost, **solver):
    """Linear probes of one C for all, as a paper that states no selection is read."""
    found = _Found(representations)
    for variant in representations.variants:
        found.fit(variant, "none", representations.labels, [cost], solver)
    return found.probed(transfer=False)


def official(representations, rng, costs, standardize, **solver):
    """Linear probes on the published split: C chosen on its validation part, fitted on both.

    The last fit sees training and validation part, the test part is judged, as one fold. Where a
    data set has no split, folds stand in, and `split_source` says so (`official_parts`).
    """
    solver = {"standardize": standardize} | solver
    labels, n_classes = representations.labels, representations.n_classes
    parts = official_parts(representations.manifest, rng)
    judged = representations.manifest.assign(fold=0)[parts.test]
    told = {"split_source": parts.source, "n_left_out": parts.n_left_out}
    found = _Tables()
    for variant in representations.variants:
        features = representations.features(variant)
        with _prefix_errors(variant):
            scores = np.array(
                [
                    balanced_accuracy(
                        labels[parts.validation],
                        logits(features[parts.validation], fit).argmax(1),
                        n_classes,
                    )
                    for fit in fit_paths(
                        features, labels, parts.train[None], costs, n_classes,
                        names=["training part"], **solver,
                    )
                ]
            )  # fmt: skip
            place = scores.argmax()
            found.add_selection(variant, "none", 0, costs, scores, place)
            (fit,) = fit_paths(
                features, labels, (parts.train | parts.validation)[None], costs[place : place + 1],
                n_classes, names=["training and validation part"], **solver,
            )  # fmt: skip
        found.add(
            (variant, variant, "raw", "none"), judged, logits(features[parts.test], fit), n_classes,
            {0: _of_fit(fit, (parts.train | parts.validation).sum(), costs) | told},
        )  # fmt: skip
    return found.probed()


def knn(representations, rng, k, temperature, **solver):
    """The k nearest training images by cosine vote for their class, exp(similarity / temperature).

    Nothing is fitted and nothing standardised; the margin is one of shares of the votes. Wu et al.
    2018, section 3.4.
    """
    labels, folds, n_classes = (
        representations.labels, representations.folds, representations.n_classes,
    )  # fmt: skip
    found = _Tables()
    for variant in representations.variants:
        features = representations.features(variant).astype(np.float32)
        directions = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), TINY)
        votes = np.empty((len(labels), n_classes))
        told = {}
        for fold in np.unique(folds):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            if k > len(train):
                raise ValueError(f"k is {k}, but fold {fold} has {len(train)} training images")
            for rows in np.array_split(test, -(-len(test) // BLOCK_ROWS)):
                votes[rows] = _votes(
                    directions[rows] @ directions[train].T, labels[train], k, temperature, n_classes
                )
            told[fold] = {"n_train": len(train)}
        found.add(
            (variant, variant, "raw", "none"), representations.manifest, votes, n_classes, told
        )
    return found.probed()


# The kinds of a protocol; a new one is a function here and a value in the schema.
PROTOCOLS = {"nested": nested, "fixed": fixed, "official": official, "knn": knn}
TINY = np.finfo(np.float32).tiny
BLOCK_ROWS = 1024


def choose_costs(features, labels, folds, costs, n_classes, **solver):
    """Balanced accuracy (folds, m) of each C on the training part of each fold, never on the fold.

    Of fold f it is the mean over the other folds g of the accuracy on g of a fit on all but f and
    g. That fit serves the choice of f and, on f, that of g: k folds take k (k - 1) / 2 of them.
    Raises ValueError for fewer than 3 folds.
    """
    names = np.unique(folds)
    if len(names) < 3:
        raise ValueError(f"choosing C inside of a training part takes 3 folds, not {len(names)}")
    pairs = list(combinations(range(len(names)), 2))
    trains = np.array([~np.isin(folds, names[list(pair)]) for pair in pairs])
    scores = np.full((len(names), len(names), len(costs)), np.nan)
    places = {cost: place for place, cost in enumerate(costs)}
    told = [f"all but folds {names[f]} and {names[g]}" for f, g in pairs]
    for fit in fit_paths(features, labels, trains, costs, n_classes, names=told, **solver):
        for f, g in (pairs[fit.problem], pairs[fit.problem][::-1]):
            judged = folds == names[g]
            predicted = logits(features[judged], fit).argmax(1)
            scores[f, g, places[fit.cost]] = balanced_accuracy(labels[judged], predicted, n_classes)
    return np.nanmean(scores, axis=1)  # a fold is no judge of its own C


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


class _Found:
    """The probes of a model, fitted fold by fold on one variant after the other."""

    def __init__(self, representations):
        self.given, self.tables = representations, _Tables()
        self.fits, self.labels, self.means, self.costs = {}, {}, {}, {}

    def fit(self, variant, control, labels, costs, solver, choice=None):
        """Fit the probes of a variant's folds, each with the best of several `costs`.

        `choice`: the solver's options of fits that only help to choose, if they are others.
        """
        given, costs = self.given, np.asarray(costs, dtype=float)
        features, folds = given.features(variant), given.folds
        names, cell = np.unique(folds), (variant, control)
        with _prefix_errors(*cell):
            chosen = np.zeros(len(names), dtype=int)
            if len(costs) > 1:
                scores = choose_costs(
                    features, labels, folds, costs, given.n_classes, **choice or solver
                )
                chosen = scores.argmax(axis=1)  # the strongest penalty of equals
                for fold, row, place in zip(names, scores, chosen, strict=True):
                    self.tables.add_selection(variant, control, fold, costs, row, place)
            trains = np.array([folds != fold for fold in names])
            told = [f"fold {fold}" for fold in names]
            self.fits[cell] = list(
                fit_paths(
                    features, labels, trains, costs[chosen][:, None], given.n_classes,
                    names=told, **solver,
                )
            )  # fmt: skip
        self.labels[cell], self.costs[cell] = labels, costs
        self.means[cell] = [features[train].mean(axis=0, dtype=np.float64) for train in trains]

    def probed(self, transfer):
        """Ask the probes about every variant, or each about its own; the `Probed`."""
        for test in self.given.variants:
            features = self.given.features(test)
            for (train, control), fits in self.fits.items():
                if train == test:
                    self._ask(train, test, "raw", control, features, fits)
                elif transfer and control == "none":
                    self._ask(train, test, "raw", control, features, fits)
                    self._ask(train, test, "recentred", control, features, fits)
        return self.tables.probed()

    def _ask(self, train, test, centering, control, features, fits):
        given, cell = self.given, (train, control)
        scores = np.empty((len(features), given.n_classes))
        told = {}
        for place, (fold, fit) in enumerate(zip(np.unique(given.folds), fits, strict=True)):
            judged = given.folds == fold
            scores[judged] = logits(features[judged], fit)
            if centering == "recentred":
                shift = self.means[cell][place] - self.means[test, "none"][place]
                scores[judged] += shift @ fit.weight.numpy()
            told[fold] = _of_fit(fit, (~judged).sum(), self.costs[cell])
        manifest = given.manifest.assign(label=self.labels[cell])
        self.tables.add((train, test, centering, control), manifest, scores, given.n_classes, told)


class _Tables:
    """The three tables of a `Probed`, cell by cell."""

    def __init__(self):
        self.cells, self.predictions, self.selection = [], [], []

    def add_selection(self, variant, control, fold, costs, scores, place):
        """How each C did on the inner splits of a fold's training part, and which was taken."""
        for number, (cost, score) in enumerate(zip(costs, scores, strict=True)):
            self.selection.append(
                {
                    "train_variant": variant, "control": control, "fold": int(fold),
                    "cost": float(cost), "balanced_accuracy": float(score),
                    "chosen": number == place,
                    "at_edge": number == place and place in (0, len(costs) - 1),
                }
            )  # fmt: skip

    def add(self, cell, manifest, scores, n_classes, told):
        """A cell: (training variant, test variant, centering, control) and its scores (n, K)."""
        names = dict(
            zip(("train_variant", "test_variant", "centering", "control"), cell, strict=True)
        )
        labels, folds = manifest.label.to_numpy(), manifest.fold.to_numpy()
        predicted = scores.argmax(axis=1)
        self.predictions.append(
            manifest[["image_id", "label", "fold"]].assign(
                **names, predicted=predicted, margin=margins(scores, labels)
            )
        )
        for fold in np.unique(folds):
            judged = folds == fold
            self.cells.append(
                names
                | {
                    "fold": int(fold),
                    "balanced_accuracy": balanced_accuracy(
                        labels[judged], predicted[judged], n_classes
                    ),
                    "accuracy": float((labels[judged] == predicted[judged]).mean()),
                    "chance": 1 / n_classes,
                    "n_test": int(judged.sum()),
                }
                | told[fold]
            )

    def probed(self):
        """The `Probed` so far."""
        cells = pd.DataFrame(self.cells).reindex(columns=CELL_COLUMNS)
        return Probed(
            cells.astype(object).where(cells.notna(), ""),
            pd.concat(self.predictions, ignore_index=True),
            pd.DataFrame(self.selection, columns=SELECTION_COLUMNS),
        )


CELL_COLUMNS = [
    "train_variant", "test_variant", "centering", "control", "fold", "balanced_accuracy",
    "accuracy", "chance", "n_train", "n_test", "cost", "at_edge", "objective", "gradient_norm",
    "n_iterations", "split_source", "n_left_out",
]  # fmt: skip
SELECTION_COLUMNS = [
    "train_variant", "control", "fold", "cost", "balanced_accuracy", "chosen", "at_edge",
]  # fmt: skip


def margins(scores, labels):
    """The score of the true class less the largest other, (n,): above 0 where it is predicted."""
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1)


def _votes(similarities, labels, k, temperature, n_classes):
    """Shares (n, n_classes) of the weighted votes of the k most similar columns (n, m)."""
    nearest = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(similarities, nearest, axis=1).astype(np.float64)
    weights = np.exp((found - found.max(axis=1, keepdims=True)) / temperature)
    votes = np.zeros((len(similarities), n_classes))
    np.add.at(votes, (np.arange(len(votes))[:, None], labels[nearest]), weights)
    return votes / weights.sum(axis=1, keepdims=True)


@contextmanager
def _prefix_errors(name, control="none"):
    """Put a name, and the control if it is one, before the text of a ValueError."""
    try:
        yield
    except ValueError as error:
        prefix = name if control == "none" else f"{name}, {control}"
        raise ValueError(f"{prefix}: {error}") from error


def _of_fit(fit, n_train, costs):
    """What the table of cells says of a fit."""
    return {
        "n_train": int(n_train), "cost": fit.cost,
        "at_edge": len(costs) > 1 and fit.cost in (costs[0], costs[-1]),
        "objective": fit.objective, "gradient_norm": fit.gradient_norm,
        "n_iterations": fit.n_iterations,
    }  # fmt: skip


def _check_manifest(manifest):
    """Raise ValueError for a single class and for a group that folds separate."""
    if manifest.label.nunique() < 2:
        raise ValueError("the manifest has a single class; a probe needs two")
    torn = manifest.groupby("group").fold.nunique()
    if (torn > 1).any():
        raise ValueError(
            f"group {torn.idxmax()!r} is in {torn.max()} folds; make the manifest again"
        )
