"""How similar representations of the same images are: every pair, every measure, and how sure.

    x, y = ...  # arrays (n, d_x) and (n, d_y) of the same images
    similarity(x, y, "linear_cka")

`halfseen.measures` and `halfseen.local_measures` hold the measures; `halfseen.moments` what most of
them are computed from, of rows that `halfseen.representations` reads; `halfseen.intervals` and
`halfseen.nulls` how sure a value is and what chance gives; `halfseen.confounds` what else may
explain it; `halfseen.patterns` and `halfseen.additivity` what follows from many.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import pandas as pd
import torch

from halfseen.intervals import jackknife_interval
from halfseen.measures import measure_of
from halfseen.moments import GroupedPair, cross_products, grouped_moments, pair_of

COLUMNS = [
    "measure", "x", "y", "similarity", "null", "low", "high", "se", "n", "d_x", "d_y", "n_over_d",
    "effective_rank_x", "effective_rank_y", "components_x", "components_y", "rank_tolerance",
]  # fmt: skip
REPLICATES = ["measure", "x", "y", "group", "similarity"]
MEMORY_MB = 2000
# Below so many dimensions, threads of our own cost more than they bring.
LEAST_THREADED = 256


@dataclass(frozen=True)
class Similarities:
    """A row a measure and ordered pair (`COLUMNS`), and a row a value of the jackknife.

    Without groups of images, low, high and se are empty text and `replicates` has no row.
    """

    table: pd.DataFrame
    replicates: pd.DataFrame


def similarity(x, y, kind, **options):
    """The measure `kind` of `MEASURES` of two arrays or `Representation`s of the same images."""
    measure, options = measure_of({"kind": kind} | options)
    return measure.value(pair_of(x, y), **options)


def similarity_of_all(representations, measures, *, pairs=None, level=0.95, memory_mb=MEMORY_MB):
    """The `Similarities` of every pair of `representations` {name: Representation}.

    `measures` {name: {"kind": of `MEASURES`, options}}. `pairs` [(name, name)] are all, each also
    with itself, unless given; each is computed once and stands in both orders. Where the
    representations carry groups of images, each value has its delete-a-group jackknife. One centred
    pass per representation, then one pass per batch of pairs whose cross-products fit in
    `memory_mb`; beside these, V representations in g groups take V g d^2 float64.
    `rank_tolerance` is the share of the largest singular value below which CCA takes one for 0.
    Raises ValueError that names measure and pair.
    """
    names = list(representations)
    pairs = list(combinations_with_replacement(names, 2)) if pairs is None else list(pairs)
    grid = _Grid(representations, measures)
    rows, replicates = {}, []
    for batch in grid.batches(pairs, memory_mb):
        crossed = grid.crossed(batch)
        points = grid.points(crossed)
        left_out = grid.left_out(crossed)
        for (name, (x, y)), row in points.items():
            values = [by_group[name, (x, y)] for by_group in left_out]
            if values:
                row |= dict(
                    zip(("low", "high", "se"), jackknife_interval(row["similarity"], values, level),
                        strict=True)
                )  # fmt: skip
            for first, second in dict.fromkeys([(x, y), (y, x)]):
                rows[name, first, second] = row if (first, second) == (x, y) else _mirrored(row)
                replicates += [
                    (name, first, second, group, value) for group, value in enumerate(values)
                ]
    order = {name: place for place, name in enumerate(names)}
    places = {name: place for place, name in enumerate(measures)}
    keys = sorted(rows, key=lambda key: (places[key[0]], order[key[1]], order[key[2]]))
    table = pd.DataFrame(
        [dict(zip(("measure", "x", "y"), key, strict=True)) | rows[key] for key in keys],
        columns=COLUMNS,
    )
    return Similarities(
        table.astype(object).where(table.notna(), "").infer_objects(),
        pd.DataFrame(replicates, columns=REPLICATES),
    )


class _Grid:
    """Representations and measures, and what of the former the latter need."""

    def __init__(self, representations, measures):
        self.representations = representations
        self.measures = {name: measure_of(row) for name, row in measures.items()}
        self.whole = {name: grouped_moments(part) for name, part in representations.items()}
        self.views = {}
        if any(
            "rank" in measure.needs and not options.get("components")
            for measure, options in self.measures.values()
        ):
            fit = self._each(lambda part: part.whole.is_well_conditioned, self.whole.values())
            self.views = {
                name: grouped_moments(part.representation.orthonormal())
                for (name, part), is_fit in zip(self.whole.items(), fit, strict=True)
                if not is_fit
            }
        self.n_groups = len(next(iter(representations.values())).counts)

    def batches(self, pairs, memory_mb):
        """The pairs in lists whose cross-products fit in `memory_mb`, at least one in each."""
        batch, used = [], 0
        for x, y in pairs:
            size = 8e-6 * self.n_groups * self.representations[x].d * self.representations[y].d
            if batch and used + size > memory_mb:
                yield batch
                batch, used = [], 0
            batch.append((x, y))
            used += size
        if batch:
            yield batch

    def crossed(self, pairs):
        """{(x, y): (GroupedPair, the same in whitenable coordinates or None)}."""
        plain = _grouped_pairs(self.whole, pairs)
        viewed = [pair for pair in pairs if set(pair) & set(self.views)]
        views = _grouped_pairs(self.whole | self.views, viewed)
        return {pair: (plain[pair], views.get(pair)) for pair in pairs}

    def points(self, crossed):
        """{(measure, pair): row} of all images."""
        used = {id(part): part.whole for pair, _ in crossed.values() for part in (pair.x, pair.y)}
        self._each(_prepare, used.values())
        tasks = [(name, key) for name in self.measures for key in crossed]

        def row_of(task):
            name, key = task
            pair, view = crossed[key]
            whole = pair.whole if view is None else replace(pair.whole, whitenable=view.whole)
            return self._row(name, key, whole)

        return dict(zip(tasks, self._each(row_of, tasks), strict=True))

    def left_out(self, crossed):
        """[{(measure, pair): value}], without each of the groups in turn."""
        if self.n_groups == 1:
            return []

        def values_without(group):
            known, values = {}, {}

            def without(part):
                if id(part) not in known:
                    known[id(part)] = part.without(group)
                return known[id(part)]

            for key, (pair, view) in crossed.items():
                rest = pair.without(group, without(pair.x), without(pair.y))
                if view is not None:
                    rest = replace(
                        rest, whitenable=view.without(group, without(view.x), without(view.y))
                    )
                for name in self.measures:
                    values[name, key] = self._value(name, key, rest)
            return values

        return self._each(values_without, range(self.n_groups))

    def _value(self, name, key, pair):
        measure, options = self.measures[name]
        try:
            return float(measure.value(pair, **options))
        except ValueError as error:
            raise ValueError(f"{name} of {key[0]} and {key[1]}: {error}") from error

    def _row(self, name, key, pair):
        measure, options = self.measures[name]
        x, y = (self.representations[part] for part in key)
        value = self._value(name, key, pair)
        components_x, components_y = measure.dimensions(pair, **options)
        return {
            "similarity": value,
            "null": None if measure.null is None else float(measure.null(pair, **options)),
            "n": x.n, "d_x": x.n_features, "d_y": y.n_features,
            "n_over_d": x.n / max(x.n_features, y.n_features),
            "effective_rank_x": pair.x.participation_ratio,
            "effective_rank_y": pair.y.participation_ratio,
            "components_x": components_x, "components_y": components_y,
            "rank_tolerance": _rank_tolerance(measure, options, x, y),
        }  # fmt: skip

    def _each(self, function, items):
        """function(item) for all items, on threads that take one core each where that is faster."""
        items, threads = list(items), torch.get_num_threads()
        first = next(iter(self.representations.values()))
        if first.device.type != "cpu" or threads == 1 or first.d < LEAST_THREADED:
            return [function(item) for item in items]
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                return list(pool.map(function, items))
        finally:
            torch.set_num_threads(threads)


def _grouped_pairs(parts, pairs):
    """{(x, y): GroupedPair} of the `GroupedMoments` {name: ...}, in one pass over the rows."""
    names = list(parts)
    others = [(x, y) for x, y in pairs if x != y]
    products = {}
    if others:
        numbers = [(names.index(x), names.index(y)) for x, y in others]
        found = cross_products([parts[name].representation for name in names], numbers)
        products = dict(zip(others, found, strict=True))
    return {
        (x, y): GroupedPair(parts[x], parts[y], parts[x].parts if x == y else products[x, y])
        for x, y in pairs
    }


def _prepare(moments):
    """What several pairs ask of a representation: computed before threads could do so twice."""
    _ = moments.trace, moments.norm


def _rank_tolerance(measure, options, x, y):
    if "rank" not in measure.needs:
        return None
    tolerance = max(x.tolerance, y.tolerance)
    return tolerance**0.5 if options.get("components") else tolerance


def _mirrored(row):
    """The row of (y, x), from that of (x, y)."""
    swapped = {"_x": "_y", "_y": "_x"}
    return {
        (key[:-2] + swapped[key[-2:]] if key[-2:] in swapped else key): value
        for key, value in row.items()
    }
