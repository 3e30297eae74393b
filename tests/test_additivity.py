import numpy as np
import pytest
from sklearn.linear_model import Ridge

from halfseen.additivity import ADDITIVITY, additivity_row, cross_validated_ridge
from halfseen.representations import Representation

FOLDS = np.arange(150) % 5
STRENGTHS = (1e-3, 1e-1, 10.0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def represented(*arrays, folds=FOLDS):
    return [
        Representation(rows, f"part {number}", groups=folds[: len(rows)])
        for number, rows in enumerate(arrays)
    ]


def squares(target, parts, train, test, strength):
    own = [(x - x[train].mean(0)) / np.sqrt(x[train].var(0).mean()) for x in parts]
    x = np.hstack(own)
    fit = Ridge(alpha=strength * train.sum()).fit(x[train], target[train])
    return ((target[test] - fit.predict(x[test])) ** 2).sum()


def nested_textbook(target, parts, folds, strengths):
    """R^2 and strengths, with every fit done on rows."""
    errors, variance, chosen = 0, 0, []
    for held in np.unique(folds):
        inner = [
            sum(
                squares(target, parts, (folds != held) & (folds != test), folds == test, strength)
                for test in np.unique(folds) if test != held
            )
            for strength in strengths
        ]  # fmt: skip
        best = strengths[int(np.argmin(inner))]
        chosen.append(best)
        train, test = folds != held, folds == held
        errors += squares(target, parts, train, test, best)
        variance += ((target[test] - target[train].mean(0)) ** 2).sum()
    return 1 - errors / variance, tuple(chosen)


def test_ridge_from_moments_is_ridge_on_rows_with_nested_choice(rng):
    x, z = rng.normal(size=(150, 6)) * np.arange(1, 7) + 4, rng.normal(size=(150, 40))
    target = x @ rng.normal(size=(6, 5)) + 10 * rng.normal(size=(150, 5)) + 7
    found = cross_validated_ridge(*represented(target), represented(x, z), STRENGTHS)
    r2, chosen = nested_textbook(target, [x, z], FOLDS, STRENGTHS)
    assert found.r2 == pytest.approx(r2, rel=1e-8)
    assert found.strengths == chosen
    assert len(set(chosen)) >= 1
    alone = cross_validated_ridge(*represented(target), represented(x), STRENGTHS)
    assert alone.r2 == pytest.approx(nested_textbook(target, [x], FOLDS, STRENGTHS)[0], rel=1e-8)


def test_more_noise_dimensions_than_images_ask_for_a_stronger_ridge(rng):
    x = rng.normal(size=(150, 3))
    target = x @ rng.normal(size=(3, 4)) + 2 * rng.normal(size=(150, 4))
    wide = np.hstack([x, rng.normal(size=(150, 300))])
    strong = cross_validated_ridge(*represented(target), represented(wide), STRENGTHS)
    weak = cross_validated_ridge(*represented(target), represented(x), STRENGTHS)
    assert np.mean(np.log(strong.strengths)) > np.mean(np.log(weak.strengths)) + 1


def test_unique_and_shared_parts_by_construction(rng):
    # Foreground and background share one factor and have one each; the original holds all three.
    both, front, back = rng.normal(size=(3, 150, 1))
    original = np.hstack([both, front, back])
    row = additivity_row(*represented(original, np.hstack([both, front]), np.hstack([both, back])))
    assert row["total"] == pytest.approx(1, abs=1e-3)
    for name in ("unique_foreground", "unique_background", "shared"):
        assert row[name] == pytest.approx(1 / 3, abs=0.1)
    assert row["foreground"] == pytest.approx(2 / 3, abs=0.1)
    assert row["unique_foreground"] + row["unique_background"] + row["shared"] == pytest.approx(
        row["total"]
    )
    assert list(row) == ADDITIVITY


def test_unrelated_parts_explain_nothing_of_images_that_were_not_seen(rng):
    arrays = [rng.normal(size=(150, d)) for d in (4, 30, 30)]
    row = additivity_row(*represented(*arrays))
    assert abs(row["total"]) < 0.05


def test_the_parts_are_the_same_in_any_unit_and_rotation(rng):
    x = rng.normal(size=(150, 6)) * np.arange(1, 7)
    target = x @ rng.normal(size=(6, 5)) + rng.normal(size=(150, 5))
    value = cross_validated_ridge(*represented(target), represented(x)).r2
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    moved = cross_validated_ridge(*represented(target * 9 + 1), represented(7 * x @ turned))
    assert moved.r2 == pytest.approx(value, rel=1e-9)
    sheared = cross_validated_ridge(*represented(target), represented(x * 1000.0 ** np.arange(6)))
    assert sheared.r2 != pytest.approx(value, rel=1e-3)


def test_more_dimensions_than_images_are_the_ridge_on_rows(rng):
    x, z = (rng.normal(size=(60, 200)) for _ in range(2))
    target = x[:, :3] + z[:, :3]
    found = cross_validated_ridge(*represented(target), represented(x, z), STRENGTHS)
    r2, chosen = nested_textbook(target, [x, z], FOLDS[:60], STRENGTHS)
    assert found.r2 == pytest.approx(r2, rel=1e-8)
    assert found.strengths == chosen


def test_a_column_that_is_constant_where_it_is_fitted_gets_no_weight(rng):
    x = rng.normal(size=(150, 3))
    target = x @ rng.normal(size=(3, 2))
    rare = np.where(FOLDS == 2, rng.normal(size=150), 0.0)
    with_rare = cross_validated_ridge(
        *represented(target), represented(np.column_stack([x, np.full(150, 3.0), rare])), (1e-3,)
    )
    assert with_rare.r2 > 0.99


def test_too_few_folds_are_an_error(rng):
    x = rng.normal(size=(20, 4))
    with pytest.raises(ValueError, match="takes 3 folds, not 2"):
        cross_validated_ridge(
            *represented(x, folds=np.arange(20) % 2), represented(x, folds=np.arange(20) % 2)
        )
