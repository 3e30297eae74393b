"""The kinds of variants that are circles or look at masks, and whether circles are doses.

Read by the Snakefile: imports nothing that Snakemake does not need itself.
"""

CIRCLES = ("center", "border")
# The kinds of variants that look at the mask of the object.
MASKED = {"foreground", "background"}


def has_doses(variants):
    """Whether rows {name: {"keep", "radius"}} of variants hold several circles of one kind."""
    return any(len(radii(variants, kind)) > 1 for kind in CIRCLES)


def radii(variants, kind):
    """The radii of the circles of one kind, a name of `CIRCLES`, among rows of variants: a set."""
    return {row["radius"] for row in variants.values() if row["keep"] == kind}
