"""The figures, drawn from tables; nothing is computed here."""

import json
import textwrap
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from halfseen.style import COLORS, HEAT, TEXT_WIDTH_IN


def plot_variants(examples, labels):
    """Figure 1: a row per example, a column per variant.

    `examples` is a list of (dataset, label_name, {variant: image (h, w, 3) uint8}).
    """
    variants = list(examples[0][2])
    side = (TEXT_WIDTH_IN - 0.85) / len(variants)
    figure, axes = plt.subplots(
        len(examples),
        len(variants),
        figsize=(TEXT_WIDTH_IN, side * len(examples) + 0.25),
        squeeze=False,
    )
    for row, (dataset, label_name, images) in zip(axes, examples, strict=True):
        for axis, (variant, image) in zip(row, images.items(), strict=True):
            axis.imshow(image, interpolation="lanczos")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if row[0] is axes[0, 0]:
                axis.set_title(labels["variants"][variant])
        row[0].set_ylabel(
            f"{labels['datasets'][dataset]}\n{label_name.replace('_', ' ')}", fontsize=7
        )
    figure.subplots_adjust(0.085, 0.005, 0.995, 1 - 0.22 / figure.get_figheight(), 0.03, 0.03)
    return figure


def plot_mask_quality(masks, labels, passing_masks):
    """Histograms of the masks' area, predicted IoU and stability: a row per data set.

    `masks` has the columns dataset, area, predicted_iou, stability and fallback. Fallbacks are
    drawn on top in another colour; the dashed lines are the thresholds of a mask that passes.
    """
    columns = {
        "area": ("Area (share of the crop)", None),
        "predicted_iou": ("SAM's predicted IoU", passing_masks["min_predicted_iou"]),
        "stability": ("Stability", passing_masks["min_stability"]),
    }
    datasets = masks.dataset.unique()
    figure, axes = _grid(len(datasets), len(columns), 1.35)
    bins = np.linspace(0, 1, 26)
    for row, dataset in zip(axes, datasets, strict=True):
        own = masks[masks.dataset == dataset]
        parts = own[own.fallback == ""], own[own.fallback != ""]
        for axis, (name, (title, threshold)) in zip(row, columns.items(), strict=True):
            axis.hist(
                [part[name].clip(0, 1) for part in parts],
                bins, stacked=True, color=COLORS[:2], linewidth=0,
            )  # fmt: skip
            if threshold is not None:
                axis.axvline(threshold, color="black", lw=0.8, ls=(0, (2, 1.5)))
            axis.set_xlim(0, 1)
            axis.locator_params(axis="y", nbins=4, integer=True)
            if axis in axes[-1]:
                axis.set_xlabel(title)
        row[0].set_ylabel(labels["datasets"][dataset], fontweight="bold")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in COLORS[:2]]
    names = ["masks of the prompt", "fallbacks"]
    figure.legend(handles, names, loc="outside lower center", ncols=2, handlelength=1)
    return figure


def plot_mask_examples(groups, title):
    """A contact sheet: a row per group of `halfseen.examples.example_masks`, with small print.

    What the mask leaves out is faded; its outline is drawn. Below: the image's id, its IoU with the
    exact mask or else the score that chose it, the prompt, and the fallback's reason.
    """
    columns = max(len(examples) for examples in groups.values())
    side = (TEXT_WIDTH_IN - 0.3) / max(columns, 5)
    heights = [side + 0.14 * _print_lines(examples) for examples in groups.values()]
    figure = plt.figure(figsize=(TEXT_WIDTH_IN, sum(heights) + 0.3))
    grid = figure.add_gridspec(
        len(groups), max(columns, 5), height_ratios=heights,
        left=0.04, right=0.995, bottom=0.005, top=1 - 0.27 / figure.get_figheight(),
        wspace=0.05, hspace=0,
    )  # fmt: skip
    for place, (group, examples) in enumerate(groups.items()):
        for column, (row, image, mask) in enumerate(examples):
            axis = figure.add_subplot(grid[place, column])
            faded = 255 - (255 - image.astype(float)) * 0.35
            axis.imshow(np.where(mask[..., None], image, faded).astype(np.uint8))
            if mask.any() and not mask.all():
                axis.contour(mask, levels=[0.5], colors=[COLORS[1]], linewidths=0.9)
            axis.set(xticks=[], yticks=[], anchor="N")
            axis.spines[:].set_visible(False)
            axis.set_xlabel(
                "\n".join(_small_print(row)), fontsize=6, labelpad=2, loc="left", linespacing=1.05
            )
            if column == 0:
                axis.set_ylabel(group, fontweight="bold")
    figure.suptitle(title, fontsize=8, y=1 - 0.06 / figure.get_figheight(), va="top")
    return figure


def _print_lines(examples):
    return max(len(_small_print(row)) for row, *_ in examples)


def _small_print(row):
    """What stands below a mask, in lines of a picture's width."""
    value = f"score {row.score:.2f}" if row.iou == "" else f"IoU {float(row.iou):.2f}"
    kind = json.loads(row.prompt)["kind"].replace("_", " ")
    name = row.image_id if len(row.image_id) <= 27 else "…" + row.image_id[-26:]
    reason = textwrap.wrap(row.fallback, 27, max_lines=4, placeholder=" …")
    return [name, f"{value}, {kind}", *reason]


def plot_similarity(table, labels, measure_label):
    """Figures 2 and 3: a matrix of variants per data set (row) and model (column), scaled 0 to 1.

    `table` holds one measure, with the columns dataset, model, variant_x, variant_y and similarity.
    """
    return _plot_matrices(table, labels, ("variant_x", "variant_y", "similarity"), measure_label)


def plot_transfer(cells, labels):
    """Balanced accuracy of a probe by the variant it was fitted on (row) and asked about (column).

    A matrix per data set (row) and model (column), scaled 0 to 1. `cells` holds one protocol and
    centering, with the columns dataset, model, train_variant, test_variant and balanced_accuracy.
    """
    keys = "train_variant", "test_variant", "balanced_accuracy"
    label = "Balanced accuracy, fitted on row, asked about column"
    return _plot_matrices(cells, labels, keys, label)


def _plot_matrices(table, labels, keys, scale_label):
    """Heat maps of a table whose `keys` are the columns of the row, the column and the value."""
    row_key, column_key, value_key = keys
    bands = _bands(table)
    columns = len(bands[0][1])
    # The matrices are square: of many models in a row, they are low.
    figure, axes = _grid(len(bands), columns, (TEXT_WIDTH_IN - 1.5) / columns + 0.25)
    variants = table[row_key].unique()
    names = [labels["variants"][variant] for variant in variants]
    for row, (dataset, models) in zip(axes, bands, strict=True):
        for axis, model in zip(row, models, strict=False):
            cell = _cell(table, dataset, model)
            matrix = cell.pivot(index=row_key, columns=column_key, values=value_key)
            values = matrix.loc[variants, variants].to_numpy()
            sns.heatmap(
                values, vmin=0, vmax=1, cmap=HEAT, square=True, cbar=False, ax=axis,
                annot=_printed(values, narrow=columns > 3), fmt="", annot_kws={"size": 7},
                linewidths=0.5, linecolor="white",
                xticklabels=names, yticklabels=names if axis is row[0] else False,
            )  # fmt: skip
            axis.tick_params(length=0)
            shown = names if axis in axes[-1] else []
            axis.set_xticks(
                axis.get_xticks() if shown else [], shown, rotation=35, ha="right",
                rotation_mode="anchor",
            )  # fmt: skip
    _name_panels(axes, bands, labels)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), HEAT)
    figure.colorbar(
        scale, ax=axes, shrink=0.6, aspect=30, pad=0.02, label=scale_label
    ).outline.set_visible(False)
    return figure


def _printed(values, narrow):
    """Two decimals of every value, as text; `narrow` writes .50 for 0.50 and 1 for 1.00."""
    texts = [[f"{value:.2f}" for value in row] for row in values]
    if narrow:
        texts = [[text.replace("0.", ".", 1).replace("1.00", "1") for text in row] for row in texts]
    return np.array(texts)


MARKERS = "osD^vP*Xhp"
# Panels side by side: with more, five variants are not told apart in print.
MOST_COLUMNS = 5


def plot_model_map(table, labels, colors):
    """All representations of a data set on a plane, by their angles, and in the order of a tree.

    `table` has the columns dataset, model, variant, x, y (radians), shown (the share of the
    variance that the plane holds) and leaf. Colours are of variants, marks of models.
    """
    datasets, models = table.dataset.unique(), table.model.unique()
    figure, axes = _grid(1, len(datasets), 3.0)
    marks = dict(zip(models, MARKERS, strict=False))
    for axis, dataset in zip(axes[0], datasets, strict=True):
        own = table[table.dataset == dataset]
        for row in own.itertuples():
            axis.plot(
                row.x, row.y, marker=marks[row.model], color=colors[row.variant], ms=6,
                mec="white", mew=0.4, ls="",
            )  # fmt: skip
        axis.set_aspect("equal", adjustable="datalim")
        axis.set(xlabel="angle (rad)", title=labels["datasets"][dataset])
        axis.annotate(
            f"{own.shown.iloc[0]:.0%} of the variance", (0.02, 0.02),
            xycoords="axes fraction", fontsize=7, color="#555555",
        )  # fmt: skip
        axis.locator_params(nbins=5)
    by_variant = [plt.Line2D([], [], marker="s", ls="", color=colors[name]) for name in colors]
    by_model = [plt.Line2D([], [], marker=marks[name], ls="", color="#444444") for name in models]
    names = [labels["variants"][name] for name in colors]
    names += [labels["models"][name] for name in models]
    figure.legend(
        by_variant + by_model, names, loc="outside lower center", ncols=4, handletextpad=0.2
    )
    return figure


def plot_component_curves(table, labels, colors):
    """Linear CKA with the original by how many principal components were removed from both.

    A panel per data set (row) and model (column), a line per variant. `table` has the columns
    dataset, model, variant_x, variant_y, removed and similarity.
    """
    bands = _bands(table)
    figure, axes = _grid(len(bands), len(bands[0][1]), 1.7)
    for row, (dataset, models) in zip(axes, bands, strict=True):
        for axis, model in zip(row, models, strict=False):
            for variant, line in _cell(table, dataset, model).groupby("variant_y", sort=False):
                axis.plot(line.removed, line.similarity, color=colors[variant], lw=1.3)
            axis.set(ylim=(0, 1), yticks=[0, 0.5, 1], xlim=(0, table.removed.max()))
            axis.locator_params(axis="x", integer=True, nbins=6)
            if axis is not row[0]:
                axis.set_yticklabels([])
            if axis in axes[-1]:
                axis.set_xlabel("components removed")
    _name_panels(axes, bands, labels, "CKA with original")
    shown = table.variant_y.unique()
    handles = [plt.Line2D([], [], color=colors[name], lw=1.6) for name in shown]
    names = [labels["variants"][name] for name in shown]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def plot_dose_response(table, labels, colors):
    """Balanced accuracy, and similarity with the original, by how much of the image is shown.

    A panel per quantity and data set (rows) and model (column), a line per kind of circle with the
    intervals, dashes where nothing known scores. `table` is that of `dose_table`; `colors`
    {kind of circle: colour}.
    """
    quantities = table.quantity.unique()
    bands = _bands(table)
    figure, axes = _grid(len(bands) * len(quantities), len(bands[0][1]), 1.5)
    for row, ((dataset, models), quantity) in zip(axes, product(bands, quantities), strict=True):
        part = table[table.quantity == quantity]
        for axis, model in zip(row, models, strict=False):
            cell = _cell(part, dataset, model).sort_values("shown")
            for kind, line in cell.groupby("keep"):
                errors = [line.value - line.low, line.high - line.value]
                axis.errorbar(
                    line.shown, line.value, np.clip(errors, 0, None), color=colors[kind],
                    lw=1.3, elinewidth=0.8, marker="o", markersize=2.5,
                )  # fmt: skip
            axis.plot(cell.shown, cell.null, color="#555555", lw=0.7, ls="--")
            axis.set(xlim=(0, 1.03), ylim=(min(0, part.low.min()), 1.03), yticks=[0, 0.5, 1])
            if axis is not row[0]:
                axis.set_yticklabels([])
            if axis in axes[-1]:
                axis.set_xlabel("share of image")
    for number, name in enumerate(quantities):
        _name_panels(axes[number :: len(quantities)], bands, labels, name, titles=number == 0)
    names = {"center": "inside of the circle", "border": "outside of the circle"}
    kinds = list(table.keep.unique())
    handles = [plt.Line2D([], [], color=colors[kind], lw=1.6) for kind in kinds]
    figure.legend(
        handles, [names[kind] for kind in kinds], loc="outside lower center", ncols=len(kinds)
    )
    return figure


EXPLAINED = {
    "unique_foreground": "foreground alone",
    "shared": "either",
    "unique_background": "background alone",
}


def plot_additivity(table, labels):
    """What foreground and background explain of the original's representation, on held-out images.

    A panel per data set, a row of three bars per model. `table` has the columns dataset, model and
    those of `additivity_row`. Parts can be negative, so they are not stacked.
    """
    datasets, models = table.dataset.unique(), table.model.unique()
    figure, axes = _grid(1, len(datasets), 0.6 + 0.45 * len(models))
    for axis, dataset in zip(axes[0], datasets, strict=True):
        own = table[table.dataset == dataset].set_index("model")
        for place, model in enumerate(models):
            for number, part in enumerate(EXPLAINED):
                axis.barh(
                    place + 0.26 * (number - 1), own.loc[model, part], height=0.24,
                    color=COLORS[number], linewidth=0,
                )  # fmt: skip
            total = own.loc[model, "total"]
            axis.plot([total, total], [place - 0.4, place + 0.4], color="black", lw=1.4)
        axis.axvline(0, color="black", lw=0.6)
        axis.set(
            title=labels["datasets"][dataset], xlabel="explained variance (R²)",
            yticks=range(len(models)), ylim=(len(models) - 0.5, -0.5),
        )  # fmt: skip
        first = axis is axes[0, 0]
        axis.set_yticklabels([labels["models"][name] for name in models] if first else [])
        axis.tick_params(axis="y", length=0)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in COLORS[:3]]
    handles.append(plt.Line2D([], [], color="black", lw=1.4))
    names = [*EXPLAINED.values(), "both together"]
    figure.legend(handles, names, loc="outside lower center", ncols=4, handlelength=1)
    return figure


def plot_neighbors(neighbors, umap, labels, colors):
    """Figure 4: per data set a row of neighbour compositions and one of UMAPs; models in columns.

    `neighbors` has the columns dataset, model, variant, neighbor_variant, share and null; `umap`
    dataset, model, variant, x and y. The dashed line marks the share of a variant's own kind if the
    variant played no part.
    """
    bands = _bands(neighbors)
    figure, axes = _grid(2 * len(bands), len(bands[0][1]), 1.75)
    for i, (dataset, models) in enumerate(bands):
        for j, model in enumerate(models):
            bars, points = axes[2 * i, j], axes[2 * i + 1, j]
            _draw_composition(bars, _cell(neighbors, dataset, model), labels, colors, names=j == 0)
            _draw_umap(points, _cell(umap, dataset, model), colors)
        axes[2 * i, 0].set_xlabel("share of neighbours", labelpad=1)
    _name_panels(axes[::2], bands, labels)
    _name_panels(axes[1::2], bands, labels, titles=False)
    handles = [
        plt.Line2D([], [], marker="s", ls="", ms=6, color=color) for color in colors.values()
    ]
    names = [labels["variants"][variant] for variant in colors]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), handletextpad=0.2)
    return figure


def _draw_composition(axis, cell, labels, colors, names):
    variants = list(cell.variant.unique())
    shares = cell.pivot(index="variant", columns="neighbor_variant", values="share").loc[
        variants, variants
    ]
    places = np.arange(len(variants))
    # A variant's own kind comes first, so that the bars can be compared along their left edge.
    for place, variant in zip(places, variants, strict=True):
        left = 0.0
        for other in [variant] + [name for name in variants if name != variant]:
            axis.barh(
                place,
                shares.loc[variant, other],
                left=left,
                color=colors[other],
                height=0.78,
                linewidth=0,
            )
            left += shares.loc[variant, other]
    own = cell[cell.variant == cell.neighbor_variant].null.iloc[0]
    axis.axvline(own, color="white", lw=2.2)
    axis.axvline(own, color="black", lw=1, ls=(0, (2, 1.5)))
    axis.set(xlim=(0, 1), ylim=(len(variants) - 0.5, -0.5), xticks=[0, 0.5, 1], yticks=places)
    axis.set_yticklabels([labels["variants"][name] for name in variants] if names else [])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _draw_umap(axis, cell, colors):
    # One call in a fixed shuffle, so that no variant is painted over the others.
    order = np.random.default_rng(0).permutation(len(cell))
    shuffled = cell.iloc[order]
    axis.scatter(
        shuffled.x, shuffled.y, s=5, c=shuffled.variant.map(colors), alpha=0.75, linewidths=0
    )
    axis.set(xticks=[], yticks=[])
    axis.set_aspect("equal", adjustable="datalim")
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#cccccc")


def _grid(rows, columns, row_height):
    return plt.subplots(
        rows,
        columns,
        figsize=(TEXT_WIDTH_IN, row_height * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )


def _bands(table):
    """(data set, models) of every row of panels; models that do not fit in one are split evenly."""
    models = list(table.model.unique())
    n_rows = -(-len(models) // MOST_COLUMNS)
    width = -(-len(models) // n_rows)
    parts = [models[first : first + width] for first in range(0, len(models), width)]
    return [(dataset, part) for dataset in table.dataset.unique() for part in parts]


def _name_panels(axes, bands, labels, quantity=None, titles=True):
    """Name the models above the panels, the data set and `quantity` beside them; blank the rest.

    A model is named once where all data sets have it in the same column.
    """
    once = len({tuple(models) for _, models in bands}) == 1
    for number, (row, (dataset, models)) in enumerate(zip(axes, bands, strict=True)):
        for axis, model in zip(row, models, strict=False):
            if titles and not (once and number):
                axis.set_title(textwrap.fill(labels["models"][model], 80 // len(row)))
        for axis in row[len(models) :]:
            axis.set_axis_off()
        if not titles and quantity is None:
            continue
        name = textwrap.fill(labels["datasets"][dataset], 14)
        row[0].set_ylabel(
            f"{name}\n{quantity}" if quantity else name,
            fontweight="normal" if quantity else "bold",
        )


def _cell(table, dataset, model):
    return table[(table.dataset == dataset) & (table.model == model)]
