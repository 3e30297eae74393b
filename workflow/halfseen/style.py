"""One look for every figure: sizes, fonts, colours."""

import matplotlib as mpl
import matplotlib.pyplot as plt

from halfseen.files import atomic_path

TEXT_WIDTH_IN = 6.75
# Okabe and Ito 2008: distinguishable with every common colour blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# Sequential, perceptually uniform, readable with colour blindness and in grey.
HEAT = "cividis"


def use_style():
    """Set fonts, lines and reproducible output; text is 7 pt or more at the printed size."""
    mpl.use("Agg")
    plt.rcdefaults()
    mpl.rcParams.update(
        {
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "legend.frameon": False,
            "savefig.dpi": 300,
            "pdf.fonttype": 42,
            "svg.fonttype": "path",
            "svg.hashsalt": "halfseen",
        }
    )


def colors_of(places):
    """The colour of each name by its place in its table: the same in every figure."""
    return {name: COLORS[place % len(COLORS)] for name, place in places.items()}


def heat_colors(n):
    """`n` colours of the scale of values, as "#rrggbb", from low to high."""
    scale = mpl.colormaps[HEAT].resampled(n)
    return [mpl.colors.to_hex(scale(place)) for place in range(n)]


def save_figure(figure, paths):
    """Write a figure to every path in the format of its suffix, without the time; close it."""
    without_time = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=without_time[temporary.suffix])
    plt.close(figure)
