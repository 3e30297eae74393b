"""Whose the pictures of a data set are, for every page that shows them."""

from halfseen.datasets.photographs import PHOTOGRAPHS

OPENMOJI = "The objects in the emoji scenes are drawings of OpenMoji (openmoji.org), CC BY-SA 4.0."
CITED = {
    "cifar100": "CIFAR-100: Krizhevsky 2009, research use.",
    "caltech101": (
        "Caltech-101: Li, Andreeto, Ranzato and Perona 2022, doi 10.22002/D1.20086, CC BY 4.0."
    ),
    "aircraft": ("FGVC-Aircraft: Maji et al. 2013, arXiv 1306.5151, non-commercial research only."),
    "dtd": "DTD: Cimpoi et al., CVPR 2014, for research.",
}


def credits_of(kinds):
    """The credits, in sentences, that data sets of these `kinds` need."""
    sentences = [OPENMOJI] if "emoji_scenes" in kinds else []
    if {"emoji_scenes", "photo_textures"} & set(kinds):
        sentences.append(
            f"The photographs come with scikit-image and scikit-learn: {_photographs()}."
        )
    return sentences + [CITED[kind] for kind in CITED if kind in kinds]


def _photographs():
    by_licence = {}
    for photograph in PHOTOGRAPHS.values():
        of_one = f"{photograph.credit} ({photograph.shows})"
        by_licence.setdefault(photograph.licence, []).append(of_one)
    return "; ".join(f"{', '.join(whose)}, {licence}" for licence, whose in by_licence.items())
