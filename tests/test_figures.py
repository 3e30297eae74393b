from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from halfseen.figures import (
    plot_additivity,
    plot_component_curves,
    plot_dose_response,
    plot_mask_examples,
    plot_mask_quality,
    plot_model_map,
    plot_neighbors,
    plot_similarity,
    plot_transfer,
    plot_variants,
)
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


def test_transfer_has_the_fitted_variant_in_rows_and_the_asked_one_in_columns():
    table = similarity_table(lambda d, m, x, y: 0.9 if (x, y) == ("original", "center") else 0.2)
    names = {"variant_x": "train_variant", "variant_y": "test_variant"}
    cells = table.rename(columns=names | {"similarity": "balanced_accuracy"})
    matrix = axes_with_texts(plot_transfer(cells, LABELS))[0]
    assert [text.get_text() for text in matrix.texts] == ["0.20", "0.20", "0.90"] + ["0.20"] * 6


def test_matrices_of_many_models_are_printed_narrowly():
    table = similarity_table(lambda d, m, x, y: 1.0 if x == y else 0.104)
    names = ["m", "n", "o", "p"]
    wide = pd.concat([table[table.model == "m"].assign(model=name) for name in names])
    labels = LABELS | {"models": {name: name for name in names}}
    matrix = axes_with_texts(plot_similarity(wide, labels, "Measure"))[0]
    assert [text.get_text() for text in matrix.texts[:3]] == ["1", ".10", ".10"]


def test_models_that_do_not_fit_in_a_row_go_to_a_second_one_under_their_names():
    names = [f"model_{number}" for number in range(7)]
    labels = LABELS | {"models": {name: f"A network of the number {name[-1]}" for name in names}}
    cells = product(LABELS["datasets"], names, VARIANTS, VARIANTS)
    table = pd.DataFrame(cells, columns=["dataset", "model", "variant_x", "variant_y"])
    numbers = table.model.str[-1].astype(int)
    table["similarity"] = np.where(table.variant_x == table.variant_y, 1, numbers / 10)
    figure = plot_similarity(table, labels, "CKA")
    panels = [axis for axis in figure.axes[:16] if axis.axison]
    assert len(panels) == 14
    for place, axis in enumerate(panels):
        model = place % 7
        assert axis.get_title().replace("\n", " ") == labels["models"][names[model]]
        assert axis.texts[1].get_text() == f".{model}0"
        spec = axis.get_subplotspec()
        assert (spec.rowspan.start, spec.colspan.start) == (
            2 * (place // 7) + model // 4,
            model % 4,
        )
        if model % 4 == 0:
            assert axis.get_ylabel() == list(LABELS["datasets"].values())[place // 7]


def test_every_matrix_has_the_scale_from_0_to_1():
    figure = plot_similarity(similarity_table(lambda *row: 0.5), LABELS, "Measure")
    limits = [axis.collections[0].get_clim() for axis in axes_with_texts(figure)]
    assert limits == [(0, 1)] * 4


def test_the_map_has_a_mark_of_model_and_variant_at_every_place():
    colors = colors_of({"original": 0, "foreground": 1, "center": 3})
    cells = product(LABELS["datasets"], LABELS["models"], VARIANTS)
    table = pd.DataFrame(cells, columns=["dataset", "model", "variant"])
    table = table.assign(x=np.arange(12.0), y=-np.arange(12.0), shown=0.5, leaf=range(12))
    figure = plot_model_map(table, LABELS, colors)
    for number, axis in enumerate(figure.axes):
        points = [(*line.get_xdata(), *line.get_ydata()) for line in axis.lines]
        assert points == [(k, -k) for k in range(6 * number, 6 * number + 6)]
        marks = [line.get_marker() for line in axis.lines]
        assert len(set(marks[:3])) == len(set(marks[3:])) == 1
        assert marks[0] != marks[3]
        assert [line.get_color() for line in axis.lines] == 2 * list(colors.values())
        assert axis.texts[0].get_text() == "50% of the variance"


def test_a_curve_is_drawn_per_variant_and_the_axis_is_named():
    colors = colors_of({"original": 0, "foreground": 1, "center": 3})
    rows = [
        (dataset, model, "original", variant, removed, 0.1 * removed)
        for dataset, model in product(LABELS["datasets"], LABELS["models"])
        for variant in ("foreground", "center")
        for removed in range(4)
    ]
    names = ["dataset", "model", "variant_x", "variant_y", "removed", "similarity"]
    figure = plot_component_curves(pd.DataFrame(rows, columns=names), LABELS, colors)
    for axis in figure.axes:
        assert [line.get_color() for line in axis.lines] == [colors["foreground"], colors["center"]]
        assert axis.lines[0].get_ydata() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [axis.get_xlabel() for axis in figure.axes] == ["", ""] + 2 * ["components removed"]


def test_the_bars_of_additivity_are_the_parts_and_the_line_is_the_total():
    parts = {"unique_foreground": 0.3, "shared": -0.1, "unique_background": 0.2, "total": 0.4}
    cells = list(product(LABELS["datasets"], LABELS["models"]))
    table = pd.DataFrame(cells, columns=["dataset", "model"]).assign(**parts)
    for axis in plot_additivity(table, LABELS).axes:
        widths = [patch.get_width() for patch in axis.patches]
        assert widths == pytest.approx(2 * [0.3, -0.1, 0.2])
        assert axis.lines[0].get_xdata() == pytest.approx([0.4, 0.4])


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


THRESHOLDS = {"min_predicted_iou": 0.88, "min_stability": 0.95}


def test_histograms_count_every_mask_and_stack_the_fallbacks():
    rng = np.random.default_rng(2)
    masks = pd.DataFrame(
        {
            "dataset": ["one"] * 30 + ["two"] * 12,
            "fallback": [""] * 25 + ["disc for grid"] * 17,
            "area": rng.random(42), "predicted_iou": rng.random(42) * 1.1,
            "stability": rng.random(42),
        }
    )  # fmt: skip
    figure = plot_mask_quality(masks, LABELS, THRESHOLDS)
    assert len(figure.axes) == 6
    for place, axis in enumerate(figure.axes):
        own, drawn = axis.containers
        counts = [sum(bar.get_height() for bar in bars) for bars in (own, drawn)]
        assert counts == ([25, 5] if place < 3 else [0, 12])
        expected = [None, 0.88, 0.95][place % 3]
        assert [line.get_xdata()[0] for line in axis.lines] == ([expected] if expected else [])
    assert figure.axes[3].get_ylabel() == "Two"
    below = ["Area (share of the crop)", "SAM's predicted IoU", "Stability"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", "", *below]


def example(image_id, iou="", fallback="", kind="box"):
    row = pd.DataFrame(
        [{"image_id": image_id, "iou": iou, "score": 0.456, "fallback": fallback,
          "prompt": f'{{"kind": "{kind}"}}'}]
    )  # fmt: skip
    image, mask = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), bool)
    mask[2:5, 2:6] = True
    return next(row.itertuples()), image, mask


def test_a_contact_sheet_prints_what_each_mask_is_and_fades_what_it_leaves_out():
    reason = "disc for center_point: none of 3 masks is an object of 0.01 to 0.95 of the image"
    groups = {
        "Best": [example("a", iou="0.912345"), example("cats/a_very_long_name_of_an_image.jpg")],
        "Fallbacks": [example("c", fallback=reason, kind="disc")],
    }
    figure = plot_mask_examples(groups, "Pets")
    best, second, fallback = figure.axes
    assert best.get_xlabel() == "a\nIoU 0.91, box"
    name, value = second.get_xlabel().split("\n")
    assert "…" + "cats/a_very_long_name_of_an_image.jpg"[-26:] == name
    assert value == "score 0.46, box"
    told = fallback.get_xlabel().split("\n")
    assert told[:2] == ["c", "score 0.46, disc"]
    assert " ".join(told[2:]).startswith("disc for center_point: none of 3 masks is an object")
    assert [axis.get_ylabel() for axis in figure.axes] == ["Best", "", "Fallbacks"]
    shown = best.images[0].get_array()
    assert (shown[2:5, 2:6] == 100).all()
    assert (shown[0] == int(255 - 155 * 0.35)).all()


@pytest.mark.parametrize("value", [False, True])
def test_a_contact_sheet_of_an_empty_or_a_full_mask_has_no_outline(value):
    row, image, mask = example("a")
    figure = plot_mask_examples({"Best": [(row, image, np.full_like(mask, value))]}, "Pets")
    assert not figure.axes[0].collections


def test_responses_are_drawn_over_their_doses_with_intervals_and_nulls(tmp_path):
    rows = [
        (dataset, model, quantity, keep, shown, 0.5 * shown)
        for dataset in LABELS["datasets"]
        for model in LABELS["models"]
        for quantity in ("balanced accuracy", "CKA with the original")
        for keep in ("center", "border")
        for shown in (0.2, 0.6, 1.0)
    ]
    names = ["dataset", "model", "quantity", "keep", "shown", "value"]
    table = pd.DataFrame(rows, columns=names)
    table = table.assign(low=table.value - 0.1, high=table.value + 0.2, null=0.05)
    colors = {"center": COLORS[3], "border": COLORS[4]}
    figure = plot_dose_response(table, LABELS, colors)
    panels = [axis for axis in figure.axes if axis.containers]
    assert len(panels) == 8
    for axis in panels:
        for drawn, color in zip(axis.containers, [COLORS[4], COLORS[3]], strict=True):
            line, _, (bars,) = drawn.lines
            assert line.get_xdata().tolist() == [0.2, 0.6, 1.0]
            assert line.get_ydata() == pytest.approx([0.1, 0.3, 0.5])
            assert to_hex(line.get_color()) == color.lower()
            ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
            assert np.ravel(ends) == pytest.approx([0, 0.3, 0.2, 0.5, 0.4, 0.7])
    assert "balanced accuracy" in panels[0].get_ylabel()
    save_figure(figure, [tmp_path / "figure.png"])
