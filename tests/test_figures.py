from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from halfseen.figures import plot_neighbors, plot_similarity, plot_variants
from halfseen.style import COLORS, colors_of, save_figure, use_style

VARIANTS = ["original", "foreground", "center"]
LABELS = {
    "datasets": {"one": "One", "two": "Two"},
    "models": {"m": "Model", "n": "Network"},
    "variants": {name: name.title() for name in VARIANTS},
}


@pytest.fixture(autouse=True)
def style():
    use_style()


def similarity_table(value):
    cells = product(LABELS["datasets"], LABELS["models"], VARIANTS, VARIANTS)
    columns = ["dataset", "model", "variant_x", "variant_y"]
    table = pd.DataFrame(cells, columns=columns)
    return table.assign(similarity=[value(*row) for row in table.itertuples(index=False)])


def neighbor_tables():
    shares = {"original": [0.5, 0.3, 0.2], "foreground": [0.1, 0.9, 0], "center": [0.2, 0.2, 0.6]}
    rows = [
        (dataset, model, variant, other, share, 0.3)
        for dataset, model, variant in product(LABELS["datasets"], LABELS["models"], VARIANTS)
        for other, share in zip(VARIANTS, shares[variant], strict=True)
    ]
    names = ["dataset", "model", "variant", "neighbor_variant", "share", "null"]
    rng = np.random.default_rng(0)
    points = [
        (dataset, model, variant, *rng.normal(size=2))
        for dataset, model, variant in product(LABELS["datasets"], LABELS["models"], VARIANTS)
        for _ in range(4)
    ]
    umap = pd.DataFrame(points, columns=["dataset", "model", "variant", "x", "y"])
    return pd.DataFrame(rows, columns=names), umap


def axes_with_texts(figure):
    return [axis for axis in figure.axes if axis.texts]


def test_a_matrix_shows_each_similarity_at_its_place():
    place = {name: k for k, name in enumerate(VARIANTS)}

    def value(dataset, model, x, y):
        return 1.0 if x == y else 0.1 * place[x] + 0.01 * place[y] + 0.3 * (dataset == "two")

    figure = plot_similarity(similarity_table(value), LABELS, "Measure")
    matrices = axes_with_texts(figure)
    assert len(matrices) == 4
    shown = [text.get_text() for text in matrices[2].texts]
    expected = [f"{value('two', 'm', x, y):.2f}" for x, y in product(VARIANTS, VARIANTS)]
    assert shown == expected
    assert [label.get_text() for label in matrices[0].get_yticklabels()] == list(
        LABELS["variants"].values()
    )
    assert matrices[1].get_title() == "Network"
    assert matrices[2].get_ylabel() == "Two"


def test_every_matrix_has_the_scale_from_0_to_1():
    figure = plot_similarity(similarity_table(lambda *row: 0.5), LABELS, "Measure")
    limits = [axis.collections[0].get_clim() for axis in axes_with_texts(figure)]
    assert limits == [(0, 1)] * 4


def test_bars_add_up_to_one_and_begin_with_the_own_variant():
    colors = colors_of({"original": 0, "foreground": 1, "center": 3})
    neighbors, umap = neighbor_tables()
    figure = plot_neighbors(neighbors, umap, LABELS, colors)
    bars = [axis for axis in figure.axes if axis.patches]
    assert len(bars) == 4
    by_row = {}
    for patch in bars[0].patches:
        by_row.setdefault(round(patch.get_y() + patch.get_height() / 2), []).append(patch)
    for row, variant in enumerate(VARIANTS):
        assert sum(patch.get_width() for patch in by_row[row]) == pytest.approx(1)
        first = min(by_row[row], key=lambda patch: patch.get_x())
        assert to_hex(first.get_facecolor()).upper() == colors[variant]
    assert by_row[0][0].get_width() == 0.5
    assert by_row[1][0].get_width() == 0.9


def test_points_have_the_place_and_colour_of_their_variant():
    colors = colors_of({"original": 0, "foreground": 1, "center": 3})
    neighbors, umap = neighbor_tables()
    figure = plot_neighbors(neighbors, umap, LABELS, colors)
    scatter = next(axis for axis in figure.axes if axis.collections).collections[0]
    shown = {
        (*np.round(offset, 9), to_hex(color[:3]).upper())
        for offset, color in zip(scatter.get_offsets(), scatter.get_facecolors(), strict=True)
    }
    cell = umap[(umap.dataset == "one") & (umap.model == "m")]
    assert shown == {
        (round(row.x, 9), round(row.y, 9), colors[row.variant]) for row in cell.itertuples()
    }


def test_examples_stand_under_their_variant_and_beside_their_class():
    images = {name: np.full((8, 8, 3), 40 * k, np.uint8) for k, name in enumerate(VARIANTS)}
    figure = plot_variants([("one", "big_cat", images), ("two", "dog", images)], LABELS)
    axes = np.array(figure.axes).reshape(2, 3)
    assert [axis.get_title() for axis in axes[0]] == ["Original", "Foreground", "Center"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["One\nbig cat", "Two\ndog"]
    assert [axis.images[0].get_array()[0, 0, 0] for axis in axes[1]] == [0, 40, 80]


def test_a_colour_belongs_to_the_place_in_the_table_and_not_to_the_study():
    assert colors_of({"center": 3})["center"] == COLORS[3]
    assert colors_of({"original": 0, "center": 3})["center"] == COLORS[3]
    assert len(set(COLORS)) == len(COLORS)


def test_equal_figures_give_equal_files(tmp_path):
    def files(folder):
        paths = [tmp_path / folder / f"figure{suffix}" for suffix in (".pdf", ".svg", ".png")]
        save_figure(plot_similarity(similarity_table(lambda *row: 0.5), LABELS, "M"), paths)
        return [path.read_bytes() for path in paths]

    assert files("first") == files("second")
