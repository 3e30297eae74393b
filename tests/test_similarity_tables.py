import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from halfseen.representations import Representation
from halfseen.similarity import similarity
from halfseen.similarity_tables import (
    ANGLE,
    Variants,
    additivity_table,
    calibration_table,
    confound_table,
    curve_table,
    map_table,
    model_table,
    pattern_table,
    similarity_table,
    size_table,
)

ROLES = {"whole": "original", "object": "foreground", "surroundings": "background"}
N, D, CLASSES = 120, 6, 4
CKA = {"cka": {"kind": "linear_cka"}}
MEASURES = CKA | {
    "cca": {"kind": "mean_squared_cca", "components": None},
    "near": {"kind": "mutual_neighbors", "k": 5, "metric": "cosine", "components": None},
    "kernel": {"kind": "rbf_cka", "bandwidth": 1.0},
    "held_out": {"kind": "cross_validated_cca"},
}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def manifest(labels):
    n = len(labels)
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)], "label": labels, "fold": np.arange(n) % 5,
            "group": [f"g{k // 2}" for k in range(n)],
        }
    )  # fmt: skip


def variants_of(**features):
    labels = np.repeat(np.arange(CLASSES), N // CLASSES)
    return Variants(features, manifest(labels), roles=ROLES)


@pytest.fixture
def variants(rng):
    """The original is the sum of the other two, of which one alone follows the classes."""
    centres = 3 * rng.normal(size=(CLASSES, D))
    foreground = np.repeat(centres, N // CLASSES, axis=0) + rng.normal(size=(N, D))
    background = 2 * rng.normal(size=(N, D))
    return variants_of(
        original=foreground + background, foreground=foreground, background=background
    )


def value(table, x, y, **where):
    rows = table[(table.x == x) & (table.y == y)]
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    (row,) = rows.to_dict("records")
    return row


def similarities(variants, measures):
    return similarity_table(variants, measures, 8, np.random.default_rng(0), 1000)


# Every value


def test_every_measure_has_a_row_for_every_ordered_pair(variants):
    table = similarities(variants, MEASURES)
    assert len(table) == len(MEASURES) * 9
    assert not table.duplicated(["measure", "x", "y"]).any()
    for name in MEASURES:
        own = table[table.measure == name]
        values = own.set_index(["x", "y"]).similarity.astype(float).unstack()
        assert values.to_numpy() == pytest.approx(values.to_numpy().T)
        if name != "held_out":  # on held-out images a representation is like itself, but for noise
            assert np.diag(values) == pytest.approx(np.ones(3))
        assert values.loc["foreground", "background"] < values.loc["original", "foreground"]


def test_the_value_is_the_measure_s_and_lies_within_its_interval(variants):
    row = value(similarities(variants, CKA), "original", "foreground")
    parts = [variants.features[name] for name in ("original", "foreground")]
    expected = similarity(*(Representation(part) for part in parts), "linear_cka")
    assert row["similarity"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]


def test_mutual_neighbours_are_those_of_scikit_learn(variants):
    row = value(similarities(variants, MEASURES), "original", "foreground", measure="near")
    found = [
        NearestNeighbors(n_neighbors=5, metric="cosine")
        .fit(variants.features[name])
        .kneighbors(return_distance=False)
        for name in ("original", "foreground")
    ]
    shared = [len(set(a) & set(b)) / 5 for a, b in zip(*found, strict=True)]
    assert row["similarity"] == pytest.approx(np.mean(shared))
    assert row["null"] == pytest.approx(5 / (N - 1))


def test_fewer_groups_of_near_duplicates_than_those_left_out_are_an_error(variants):
    few = variants.manifest.assign(group=["g0"] * (N // 2) + ["g1"] * (N // 2))
    with pytest.raises(ValueError, match="2 images or groups of near-duplicates"):
        similarities(Variants(variants.features, few), CKA)


# What chance gives


def test_classes_alone_are_far_from_chance_freely_but_not_within_classes(rng):
    centres = 3 * rng.normal(size=(CLASSES, D))
    seen = [np.repeat(centres, N // CLASSES, axis=0) + rng.normal(size=(N, D)) for _ in range(2)]
    variants = variants_of(original=seen[0], center=seen[1])
    table = calibration_table(variants, CKA, 99, N, rng).set_index("permutes")
    assert table.p["freely"] == pytest.approx(0.01)
    assert table.calibrated["freely"] > 0.5
    assert table.p["within classes"] > 0.05
    assert table.null_mean["within classes"] == pytest.approx(table.similarity.iloc[0], abs=0.05)


def test_images_seen_alike_are_far_from_chance_within_classes_too(variants, rng):
    table = calibration_table(variants, MEASURES, 99, N, rng)
    assert set(table.measure) == {"cka", "cca"}
    row = value(table, "original", "background", measure="cka", permutes="within classes")
    assert row["p"] == pytest.approx(0.01)
    assert row["p_holm"] >= row["p"]
    assert row["n"] == N


@pytest.mark.parametrize("most", [4, 10, 61, N, 10 * N])
def test_a_part_of_the_images_keeps_the_shares_of_the_classes(variants, most, rng):
    part = variants.part(most, rng)
    assert len(part.manifest) == min(most, N)
    counts = np.bincount(part.labels, minlength=CLASSES)
    assert counts.max() - counts.min() <= 1
    for name, rows in part.features.items():
        places = part.manifest.image_id.str[1:].astype(int)
        assert (rows == variants.features[name][places]).all()


# What else may explain a value


def test_confounds_are_taken_out_as_by_hand(variants):
    table = confound_table(variants)
    labels = variants.labels
    own = {name: variants.features[name] for name in ("original", "foreground")}
    means = {name: pd.DataFrame(x).groupby(labels).transform("mean") for name, x in own.items()}

    def by_hand(rows, kind="linear_cka"):
        return similarity(*(Representation(np.asarray(part)) for part in rows), kind)

    pair = "original", "foreground"
    expected = {
        "none": by_hand(own.values()),
        "within classes": by_hand([own[name] - means[name] for name in own]),
        "between classes": by_hand(means.values()),
    }
    for control, wanted in expected.items():
        row = value(table, *pair, control=control, measure="linear_cka")
        assert row["similarity"] == pytest.approx(wanted)
        assert row["n"] == N
    dropped = value(table, *pair, control="longest dropped", measure="debiased_cka")
    assert N - 6 <= dropped["n"] <= N - 2


def test_a_similarity_that_one_outlier_makes_falls_when_it_is_dropped(rng):
    seen = [rng.normal(size=(N, D)) for _ in range(2)]
    for rows in seen:
        rows[5] += 100
    table = confound_table(variants_of(original=seen[0], center=seen[1]))
    values = table[table.measure == "linear_cka"].set_index("control").similarity
    assert values["none"] > 0.9
    assert values["longest dropped"] < 0.2


def test_the_curve_begins_with_the_value_and_falls_where_one_direction_carries_it(rng):
    seen = [rng.normal(size=(N, D)) for _ in range(2)]
    shared = 10 * rng.normal(size=N)
    for rows in seen:
        rows[:, 0] = shared
    variants = variants_of(original=seen[0], center=seen[1])
    curve = curve_table(variants, 3).set_index("removed").similarity
    assert curve[0] == pytest.approx(
        similarity(*(Representation(rows) for rows in seen), "linear_cka")
    )
    assert curve[0] > 0.9
    assert curve[1] < 0.2
    assert len(curve) == 4


def test_the_curve_ends_before_the_last_component(variants):
    assert curve_table(variants, 99).removed.max() == D - 1


def test_sizes_are_nested_up_to_all_images_and_the_warning_stands_last(variants, rng):
    table = size_table(variants, MEASURES, rng)
    own = table[(table.y == "foreground") & (table.measure == "cka")]
    assert own.n.tolist() == [N]  # half of them would be below the least size
    assert set(table.measure) == {"cka", "cca"}
    assert (own.warning.iloc[:-1] == "").all()


def test_parts_that_add_up_explain_the_original(variants):
    (row,) = additivity_table(variants).to_dict("records")
    assert row["total"] > 0.99
    assert row["unique_foreground"] > 0.1
    assert row["unique_background"] > 0.1
    parts = row["unique_foreground"] + row["unique_background"] + row["shared"]
    assert parts == pytest.approx(row["total"])


def test_more_dimensions_than_images_are_no_obstacle(rng):
    wide = {name: rng.normal(size=(N, 3 * N)) for name in ("foreground", "background")}
    variants = variants_of(original=wide["foreground"] + wide["background"], **wide)
    assert -1 < additivity_table(variants).total.iloc[0] < 1
    table = similarities(variants, CKA | {"pc": {"kind": "mean_squared_cca", "components": 4}})
    assert len(table) == 18
    assert len(confound_table(variants)) == 7 * 3


def test_without_one_of_the_parts_nothing_is_said_of_their_sum(variants):
    features = {name: variants.features[name] for name in ("original", "foreground")}
    roles = {"whole": "original", "object": "foreground"}
    assert additivity_table(Variants(features, variants.manifest, roles=roles)).empty


def test_roles_say_which_variants_are_compared_and_names_do_not(variants):
    names = {"original": "seen", "foreground": "thing", "background": "stuff"}
    features = {names[name]: rows for name, rows in variants.features.items()}
    roles = {role: names[name] for role, name in ROLES.items()}
    renamed = Variants(features, variants.manifest, roles=roles)
    pd.testing.assert_frame_equal(additivity_table(renamed), additivity_table(variants))
    curves = [curve_table(each, 3).similarity.tolist() for each in (renamed, variants)]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 2 * 4
    nameless = Variants(variants.features, variants.manifest)
    assert curve_table(nameless, 3).empty
    assert list(curve_table(nameless, 3)) == ["x", "y", "removed", "similarity"]
    assert size_table(nameless, CKA, np.random.default_rng(0)).empty


# Across models


@pytest.fixture
def models(variants, rng):
    turned = np.linalg.qr(rng.normal(size=(D, D)))[0]
    twin = {name: 3 * rows @ turned for name, rows in variants.features.items()}
    other = {name: rng.normal(size=(N, 9)) for name in variants.features}
    seen = {"one": variants.features, "twin": twin, "other": other}
    return {name: Variants(features, variants.manifest) for name, features in seen.items()}


@pytest.fixture
def across(models, rng):
    predictions = {
        (model, variant): rng.integers(0, CLASSES, N)
        for model in models
        for variant in models[model].features
    }
    predictions["twin", "original"] = predictions["one", "original"]
    return model_table(models, predictions, CKA, None, 1000)


def of(table, measure, x, y):
    keys = ["measure", "model_x", "variant_x", "model_y", "variant_y"]
    return table.set_index(keys).similarity[(measure, *x, *y)]


def test_every_representation_stands_beside_every_other(across):
    assert set(across.measure) == {"cka", ANGLE, "prediction_agreement"}
    assert (across.groupby("measure").size() == 81).all()
    twins = ("one", "original"), ("twin", "original")
    assert of(across, "cka", *twins) == pytest.approx(1)
    assert of(across, ANGLE, *twins) == pytest.approx(0, abs=1e-6)
    assert of(across, "prediction_agreement", *twins) == 1
    strangers = twins[0], ("other", "original")
    assert abs(of(across, "prediction_agreement", *strangers)) < 0.25


def test_what_all_saw_is_taken_out_of_both_sides(models, rng):
    seen = models["other"].features["original"]
    noisy = {
        name: {"original": np.hstack([3 * seen, rng.normal(size=(N, 4))])} for name in ("a", "b")
    } | {"pixels": {"original": seen}}
    given = {name: Variants(rows, models["one"].manifest) for name, rows in noisy.items()}
    table = model_table(given, {}, CKA, ("pixels", "original"), 1000)
    pair = ("a", "original"), ("b", "original")
    assert of(table, "cka", *pair) > 0.9
    assert abs(of(table, "cka_without_pixels", *pair)) < 0.3
    assert of(table, "cka_without_pixels", pair[0], pair[0]) == pytest.approx(1)
    assert "pixels" not in set(table[table.measure == "cka_without_pixels"].model_x)


def test_the_pattern_of_a_rotated_model_is_the_reference_s(across):
    patterns = pattern_table(across, "one").set_index(["measure", "model"])
    for measure in ("cka", ANGLE):
        assert patterns.pearson[measure, "twin"] == pytest.approx(1)
        assert patterns.pearson[measure, "other"] < 0.999
    assert (patterns.reference == "one").all()


def test_the_map_puts_equal_representations_in_one_place(across):
    places = map_table(across).set_index(["model", "variant"])
    for variant in ("original", "foreground", "background"):
        one, twin = places.loc[("one", variant)], places.loc[("twin", variant)]
        assert one[["x", "y"]].tolist() == pytest.approx(twin[["x", "y"]].tolist(), abs=1e-6)
        assert abs(one.leaf - twin.leaf) == 1
    assert sorted(places.leaf) == list(range(9))
    assert 0 < places.shown.iloc[0] <= 1
