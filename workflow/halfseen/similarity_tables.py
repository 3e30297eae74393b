"""The tables of similarity of a study: values, calibration, confounds, sample size, additivity.

Each is in long form, a row an ordered or unordered pair of variants and what is said of it. A
measure is a row of the config: its `kind` is of `measures.MEASURES` or of `LOCAL`.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import pandas as pd

from halfseen.additivity import ADDITIVITY, additivity_row
from halfseen.confounds import (
    BetweenClasses,
    Kept,
    WithinClasses,
    component_curve,
    partial_cka,
    sample_size_rows,
    without_longest,
)
from halfseen.intervals import jackknife_groups
from halfseen.local_measures import (
    cross_validated_cca,
    mutual_neighbors,
    mutual_neighbors_null,
    prediction_agreement,
    rbf_cka,
)
from halfseen.measures import MEASURES
from halfseen.moments import grouped_moments, grouped_pair
from halfseen.neighbor_search import nearest_others
from halfseen.neighbors import sample_images
from halfseen.nulls import permutation_rows, with_holm
from halfseen.patterns import PATTERNS, angular_map, angular_tree, pattern_rows, similarity_matrix
from halfseen.representations import Representation
from halfseen.similarity import COLUMNS, similarity_of_all

CONFOUNDS = ["control", "measure", "x", "y", "similarity", "n"]
CURVES = ["x", "y", "removed", "similarity"]
ANGLE = "angular_procrustes"
MAP = ["model", "variant", "x", "y", "shown", "leaf"]


@dataclass(frozen=True)
class Variants:
    """One model's `features` {variant: (n, d)} of the images of a manifest, and the device.

    `roles` {role: variant} says which of them is the `whole` image, the `object` alone and its
    `surroundings`.
    """

    features: dict
    manifest: pd.DataFrame
    device: object = "cpu"
    roles: dict = field(default_factory=dict)

    @property
    def labels(self):
        """The class (n,) of every image."""
        return self.manifest.label.to_numpy()

    @property
    def pairs(self):
        """All unordered pairs of different variants."""
        return list(combinations(self.features, 2))

    @property
    def pairs_with_whole(self):
        """The whole image with every other variant; none where no variant shows it."""
        whole = self.roles.get("whole")
        return [(whole, name) for name in self.features if whole is not None and name != whole]

    def represented(self, view=None, **options):
        """{variant: Representation}, of what `view` makes of the rows, with its `options`."""
        return {
            name: Representation(
                rows if view is None else view(rows), name, device=self.device, **options
            )
            for name, rows in self.features.items()
        }

    def part(self, most, rng):
        """At most so many of the images, by `sample_images`."""
        keep = sample_images(self.labels, most, rng)
        features = {name: rows[keep] for name, rows in self.features.items()}
        manifest = self.manifest.iloc[keep].reset_index(drop=True)
        return replace(self, features=features, manifest=manifest)


def tables_of_model(variants, measures, settings, rng, memory_mb, level=0.95):
    """All tables of one model, {name: table}; `settings` is the config's `similarity`."""
    return {
        "table": similarity_table(
            variants, measures, settings["jackknife_groups"], rng, memory_mb, level
        ),
        "calibration": calibration_table(
            variants, measures, settings["permutations"], settings["permuted_images"], rng
        ),
        "confounds": confound_table(variants),
        "curves": curve_table(variants, settings["removed_components"]),
        "sizes": size_table(variants, measures, rng),
        "additivity": additivity_table(variants),
    }


def _of_moments(measures):
    """The rows of `measures` whose kinds are of `MEASURES`."""
    return {name: row for name, row in measures.items() if row["kind"] in MEASURES}


# Every value


def similarity_table(variants, measures, n_groups, rng, memory_mb, level=0.95):
    """Every measure of every ordered pair of variants: the columns `similarity.COLUMNS`.

    Intervals are those of the jackknife over `n_groups` groups of images, near-duplicates together;
    the measures of `LOCAL` have none. Raises ValueError that names measure and pair.
    """
    units = variants.manifest.group.to_numpy()
    groups = jackknife_groups(variants.labels, rng, units, n_groups)
    of_moments = _of_moments(measures)
    tables = []
    if of_moments:
        parts = variants.represented(groups=groups)
        tables.append(similarity_of_all(parts, of_moments, level=level, memory_mb=memory_mb).table)
    for name, row in measures.items():
        if name not in of_moments:
            tables.append(_local_table(variants, name, row, memory_mb))
    return pd.concat(tables, ignore_index=True)


def _local_table(variants, name, row, memory_mb):
    options = {key: value for key, value in row.items() if key != "kind" and value is not None}
    values = LOCAL[row["kind"]](variants, memory_mb=memory_mb, **options)
    n = len(variants.manifest)
    rows = [
        {"measure": name, "x": x, "y": y, "similarity": value, "null": null, "n": n}
        for (first, second), (value, null) in values.items()
        for x, y in dict.fromkeys([(first, second), (second, first)])
    ]
    return pd.DataFrame(rows).reindex(columns=COLUMNS).astype(object).fillna("")


def _of_pairs(variants, value):
    """{pair: value(x, y)} of all pairs of variants, each also with itself."""
    pairs = [(name, name) for name in variants.features] + variants.pairs
    return {pair: value(*pair) for pair in pairs}


def _mutual_neighbors(variants, k, metric, memory_mb):
    ids = {
        name: nearest_others(rows, k, metric, variants.device, memory_mb / 4)
        for name, rows in variants.features.items()
    }
    null = mutual_neighbors_null(len(variants.manifest), k)
    return _of_pairs(variants, lambda x, y: (mutual_neighbors(ids[x], ids[y]), null))


def _rbf_cka(variants, bandwidth, memory_mb):
    parts = variants.represented()
    return _of_pairs(variants, lambda x, y: (rbf_cka(parts[x], parts[y], bandwidth), 0.0))


def _cross_validated_cca(variants, components=None, memory_mb=None):
    parts = variants.represented(groups=variants.manifest.fold.to_numpy())
    moments = {name: grouped_moments(part) for name, part in parts.items()}
    return _of_pairs(
        variants,
        lambda x, y: (cross_validated_cca(grouped_pair(moments[x], moments[y]), components), 0.0),
    )


# Kinds of measures that moments do not give: {pair: (value, null)} of the `Variants`.
LOCAL = {
    "mutual_neighbors": _mutual_neighbors,
    "rbf_cka": _rbf_cka,
    "cross_validated_cca": _cross_validated_cca,
}


# What chance gives


def calibration_table(variants, measures, n_permutations, most_images, rng):
    """Values beside those of images paired at random, freely and within classes: `CALIBRATED`.

    Of the measures of moments, for all pairs of variants, on at most `most_images` (`n`); p_holm is
    Holm's over the pairs, of one measure and kind of pairing.
    """
    of_moments = _of_moments(measures)
    part = variants.part(most_images, rng)
    parts = part.represented()
    pairs = {(x, y): (parts[x], parts[y]) for x, y in part.pairs}
    tables = [
        permutation_rows(pairs, of_moments, n_permutations, rng, labels)
        for labels in (None, part.labels)
    ]
    families = pd.concat(tables).groupby(["permutes", "measure"], sort=False)
    corrected = [with_holm(family) for _, family in families]
    return pd.concat(corrected, ignore_index=True).assign(n=len(part.manifest))


# What else may explain a value


def confound_table(variants):
    """Linear CKA of all pairs where a confound is gone: `CONFOUNDS`.

    `control`: none; within classes, the class means removed; between classes, the class means
    alone; longest dropped, without the 1 % of images farthest from the mean. Of within classes and
    longest dropped also the debiased one.
    """
    labels = variants.labels
    keep = without_longest(variants.represented().values())
    views = {
        "none": None,
        "within classes": lambda rows: WithinClasses(rows, labels),
        "between classes": lambda rows: BetweenClasses(rows, labels),
        "longest dropped": lambda rows: Kept(rows, keep),
    }
    rows = []
    for control, view in views.items():
        parts = variants.represented(view)
        # Class means repeat: a correction for pairs of different images does not fit them.
        kinds = ["linear_cka"] + ["debiased_cka"] * (control != "between classes")
        measures = {kind: {"kind": kind} for kind in kinds}
        table = similarity_of_all(parts, measures, pairs=variants.pairs).table
        rows += [
            (control, row.measure, row.x, row.y, row.similarity, row.n)
            for row in table.itertuples()
            if (row.x, row.y) in variants.pairs
        ]
    return pd.DataFrame(rows, columns=CONFOUNDS)


def curve_table(variants, n_components):
    """Linear CKA with the whole image without leading principal components of both: `CURVES`."""
    moments = {name: grouped_moments(part) for name, part in variants.represented().items()}
    rows = []
    for x, y in variants.pairs_with_whole:
        pair = grouped_pair(moments[x], moments[y]).whole
        most = min(len(pair.x.principal[0]), len(pair.y.principal[0])) - 1
        values = component_curve(pair, min(n_components, most))
        rows += [(x, y, removed, value) for removed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=CURVES)


def size_table(variants, measures, rng):
    """Is n large enough? Every measure of moments with the whole on nested subsets of images."""
    of_moments = _of_moments(measures)
    tables = [
        sample_size_rows(variants.features[x], variants.features[y], of_moments, rng).assign(
            x=x, y=y
        )
        for x, y in variants.pairs_with_whole
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def additivity_table(variants):
    """How object and surroundings add up to the whole: one row, `ADDITIVITY`; none without them."""
    names = [variants.roles.get(role) for role in ("whole", "object", "surroundings")]
    if None in names:
        return pd.DataFrame(columns=ADDITIVITY)
    parts = variants.represented(groups=variants.manifest.fold.to_numpy())
    return pd.DataFrame([additivity_row(*(parts[name] for name in names))])


# Across models


def model_table(models, predictions, measures, picture, memory_mb):
    """Every ordered pair of representations of all `models` {name: Variants} under every measure.

    Columns model_x, variant_x, model_y, variant_y, measure, similarity, null, n. Of the measures of
    moments, the angle of Procrustes, a metric, and the agreement of `predictions` {(model,
    variant): (n,)}. Where `picture`, a (model, variant), is the whole pictures themselves, also of
    every linear CKA what is left once they are taken out of both (`partial_cka`).
    """
    of_moments = _of_moments(measures)
    parts = {
        (model, name): part
        for model, variants in models.items()
        for name, part in variants.represented().items()
    }
    keyed = {str(number): part for number, part in enumerate(parts.values())}
    measured = of_moments | {ANGLE: {"kind": ANGLE}}
    table = similarity_of_all(keyed, measured, memory_mb=memory_mb).table
    names = {str(number): name for number, name in enumerate(parts)}
    rows = [
        (*names[row.x], *names[row.y], row.measure, row.similarity, row.null, row.n)
        for row in table.itertuples()
    ]
    rows += [
        (*x, *y, "prediction_agreement", prediction_agreement(own, other), 0.0, len(own))
        for x, own in predictions.items()
        for y, other in predictions.items()
    ]
    for name, row in of_moments.items():
        if picture is not None and row["kind"] == "linear_cka":
            rows += _without_pixels([row for row in rows if row[4] == name], picture)
    columns = ["model_x", "variant_x", "model_y", "variant_y", "measure", "similarity", "null", "n"]
    return pd.DataFrame(rows, columns=columns)


def _without_pixels(rows, picture):
    """The rows of a linear CKA with the `picture`, a (model, variant), taken out of both sides."""
    values = {(row[:2], row[2:4]): row[5] for row in rows}
    return [
        (*x, *y, f"{row[4]}_without_pixels",
         partial_cka(values[x, y], values[x, picture], values[y, picture]), "", row[7])
        for row in rows
        for x, y in [(row[:2], row[2:4])]
        if picture not in (x, y)
    ]  # fmt: skip


def pattern_table(table, reference):
    """How each model's matrix of variants goes with the reference's, a row a measure and model.

    Empty for fewer than three variants, whose matrix has one cell and so no pattern.
    """
    if table.variant_x.nunique() < 3:
        return pd.DataFrame(columns=[*PATTERNS, "measure"])
    tables = []
    for measure in table.measure.unique():
        own = table[(table.measure == measure) & (table.model_x == table.model_y)]
        whole = own.groupby("model_x").variant_x.transform("nunique")
        own = own[whole == whole.max()]  # the pictures themselves lack a row without pixels
        own = own.rename(columns={"variant_x": "x", "variant_y": "y"})
        matrices = {
            model: similarity_matrix(rows, list(dict.fromkeys(rows.x)), measure)
            for model, rows in own.groupby("model_x", sort=False)
        }
        tables.append(pattern_rows(matrices, reference).assign(measure=measure))
    return pd.concat(tables, ignore_index=True)


def map_table(table):
    """A map of all representations by their angles, and their order as leaves of a tree.

    A row a model and variant: x, y (radians, `shown` the share of variance that the plane holds),
    leaf, its place among the leaves of average linkage. Empty for fewer than three of them.
    """
    angles = table[table.measure == ANGLE]
    keys = list(dict.fromkeys(zip(angles.model_x, angles.variant_x, strict=True)))
    if len(keys) < 3:
        return pd.DataFrame(columns=MAP)
    distances = angles.pivot(
        index=["model_x", "variant_x"], columns=["model_y", "variant_y"], values="similarity"
    )
    distances = distances.loc[keys, keys].to_numpy(dtype=float, copy=True)
    np.fill_diagonal(distances, 0)  # the angle to itself, but for rounding
    coordinates, shown = angular_map(distances)
    _, leaves = angular_tree(distances)
    places = np.argsort(leaves)
    return pd.DataFrame(keys, columns=MAP[:2]).assign(
        x=coordinates[:, 0], y=coordinates[:, 1], shown=shown, leaf=places
    )
