"""Exact nearest neighbours, in blocks on any device of torch.

Products are float32. What they leave open, because two distances lie closer together than the
products can be wrong, is decided in float64: the neighbours are those of a brute-force search in
float64, several times as fast and without a matrix of all pairs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from halfseen.representations import row_slices

METRICS = ("cosine", "euclidean")
# Dimensions whose products are summed in one go: float32 loses less in several short sums.
SUMMED = 128
ROUNDING = 2.0**-24  # of float32
LARGEST_BLOCK = 1024
BYTES_PER_SCORE = 64  # a block's scores, their comparisons and what is found by these
SPARE = 16  # neighbours that are held beyond k, in case some of the k are contested
CHUNK = 256  # rows that are float64 at once: more leave the caches


def nearest_others(rows, k, metric, device="cpu", memory_mb=1000):
    """The k nearest other rows of each of `rows` (n, d): row numbers (n, k) int64, nearest first.

    A row is left out of its own neighbours by its number, so that a duplicate of it can be one.
    Else as `nearest_rows` of all rows among all, in half the time: a product serves both its rows.
    """
    rows = _checked(rows, "rows")
    _check_k(k, len(rows) - 1)
    (points,) = _prepared([rows], metric, device)
    held = _Held(len(rows), min(k + SPARE, len(rows) - 1), device)
    blocks = _blocks(len(rows), memory_mb)
    # Those beside the diagonal come last: by then most of their rows are known to be too far.
    for gap in range(len(blocks)):
        for first, second in zip(blocks, blocks[gap:], strict=False):
            scores = _scores(points, points, first, second)
            if gap == 0:
                scores.fill_diagonal_(-torch.inf)
            else:
                held.add(scores.T, second, first)
            held.add(scores, first, second)
    held.finish()
    return _settled(points, points, held, k, torch.arange(len(rows)).to(device), memory_mb)


def nearest_rows(queries, database, k, metric, own=None, device="cpu", memory_mb=1000):
    """The k nearest rows of `database` (m, d) to each of `queries` (q, d): row numbers (q, k).

    `own` (q,) are the rows of the database that the queries are, which are left out of their
    neighbours. `metric` is `cosine` or `euclidean`. The nearest come first, of rows at equal
    distance the lower number. Equal to brute force in float64, whatever the rows' offset, scale
    and duplicates. O(q m d) time; memory for the rows, their copy in float32, some 48 bytes for
    each of q (k + SPARE) neighbours, and at most `memory_mb` for blocks. Raises ValueError for k
    out of range, rows that are not finite matrices of equal width, and rows of zeros where the
    metric is the cosine; RuntimeError where torch may round the factors of a float32 product.
    """
    queries, database = _checked(queries, "queries"), _checked(database, "rows of the database")
    _check_width(queries, database)
    n_others = len(database) - (own is not None)
    _check_k(k, n_others)
    own = None if own is None else torch.as_tensor(own).to(device)
    asked, given = _prepared([queries, database], metric, device)
    held = _Held(len(queries), min(k + SPARE, n_others), device)
    for columns in _blocks(len(database), memory_mb):
        for lines in _blocks(len(queries), memory_mb):
            scores = _scores(asked, given, lines, columns)
            _leave_out(scores, None if own is None else own[lines], columns.start)
            held.add(scores, lines, columns)
    held.finish()
    return _settled(asked, given, held, k, own, memory_mb)


def ranks_among(queries, database, targets, metric, own=None, device="cpu", memory_mb=1000):
    """The ranks (q, t) int64 of rows `targets` (q, t) of the database (m, d), seen by each query.

    1 is the nearest; of rows at equal distance the lower number ranks first. Row `own[i]`, where
    given, is left out. As exact as `nearest_rows`, whose other arguments and errors it shares.
    """
    queries, database = _checked(queries, "queries"), _checked(database, "rows of the database")
    _check_width(queries, database)
    asked, given = _prepared([queries, database], metric, device)
    own = None if own is None else torch.as_tensor(own).to(device)
    targets = torch.as_tensor(targets).to(device)
    every = torch.arange(len(queries), device=targets.device).repeat_interleave(targets.shape[1])
    distances = _squared_distances(asked, given, every, targets.reshape(-1), memory_mb)
    distances, order = distances.view(targets.shape).sort(dim=1, descending=True, stable=True)
    targets = targets.gather(1, order)
    ranks = torch.ones_like(targets)
    for lines in _blocks(len(queries), memory_mb):
        for columns in _blocks(len(database), memory_mb):
            scores = _scores(asked, given, lines, columns).double()
            _leave_out(scores, None if own is None else own[lines], columns.start)
            error = _error(asked, asked.norm[lines, None], given.norm[None, columns])
            limits = -distances[lines] / (2 * asked.unit**2)  # the targets' scores, rising
            surely = torch.searchsorted(limits, scores - error)
            perhaps = torch.searchsorted(limits, scores + error, right=True)
            ranks[lines] += _counts_above(surely, targets.shape[1])
            line, column, place = _open_comparisons(surely, perhaps)
            line, column = line + lines.start, column + columns.start
            found = _squared_distances(asked, given, line, column, memory_mb)
            tied = (found == distances[line, place]) & (column < targets[line, place])
            nearer = (found < distances[line, place]) | tied
            ranks.index_put_((line[nearer], place[nearer]), ranks.new_ones(()), accumulate=True)
    return torch.empty_like(ranks).scatter_(1, order, ranks).cpu().numpy()


def _counts_above(places, count):
    """How many of `places` (q, m), 0 to count, are above 0, 1 .. count - 1, by line: (q, count)."""
    counts = places.new_zeros((len(places), count + 1))
    counts.scatter_add_(1, places, torch.ones_like(places))
    return counts.flip(1).cumsum(1).flip(1)[:, 1:]


def _open_comparisons(first, end):
    """(line, column, place) of each place from first (q, m) up to end (q, m), the end left out."""
    line, column = (end > first).nonzero(as_tuple=True)
    first, count = first[line, column], (end - first)[line, column]
    place = torch.arange(int(count.sum()), device=line.device)
    place -= (count.cumsum(0) - count - first).repeat_interleave(count)
    return line.repeat_interleave(count), column.repeat_interleave(count), place


def pair_distances(queries, database, ids, metric, memory_mb=1000):
    """Distances (q, k) float64 from each query (q, d) to the rows `ids` (q, k) of `database`.

    Euclidean, or the cosine distance 1 - cos. Equal rows are at equal distances, to the last bit.
    """
    queries, database = _checked(queries, "queries"), _checked(database, "rows of the database")
    _check_width(queries, database)
    asked, given = _prepared([queries, database], metric, "cpu")
    ids = torch.as_tensor(ids)
    lines = torch.arange(len(ids)).repeat_interleave(ids.shape[1])
    squared = _squared_distances(asked, given, lines, ids.reshape(-1), memory_mb).view(ids.shape)
    return (squared / 2 if metric == "cosine" else squared.sqrt()).numpy()


@dataclass(frozen=True)
class _Points:
    """Rows made ready: `rows` (m, d) as given, times `scale` (m,), are what distances are between.

    `near` (m, d) float32 are these less a common centre, in units of `unit`, so that no `norm` (m,)
    is above 1; `half` (m,) float32 is half their squared length.
    """

    rows: torch.Tensor
    scale: torch.Tensor
    near: torch.Tensor
    half: torch.Tensor
    norm: torch.Tensor
    unit: float

    def exact(self, span):
        """Some of the rows, scaled, in float64."""
        return self.rows[span].double() * self.scale[span, None]

    @cached_property
    def first_equal(self):
        """The number (m,) of the first row that is equal to each row.

        Equal rows have equal sums with random weights; what else has is compared.
        """
        rows, spans = self.rows, row_slices(len(self.rows), CHUNK)
        weights = torch.rand(rows.shape[1], generator=torch.Generator().manual_seed(0)).to(rows)
        sums = torch.cat([_sum_columns(rows[span] * weights) for span in spans])
        sums, group = sums.unique(return_inverse=True)
        numbers = torch.arange(len(rows), device=rows.device)
        first = torch.full_like(sums, len(rows), dtype=torch.int64)
        first = first.scatter_reduce(0, group, numbers, "amin")[group]
        equal = torch.cat([(rows[span] == rows[first[span]]).all(1) for span in spans])
        return torch.where(equal, first, numbers)


def _prepared(parts, metric, device):
    """The `_Points` of arrays that are searched together.

    The centre is the mean of the last array: no distance changes with a common shift, but the error
    of a product is a share of the lengths, which dwarf the distances far from 0. By the cosine,
    rows are scaled to length 1, where |u - v|^2 = 2 (1 - cos).
    """
    if metric not in METRICS:
        raise ValueError(f"the metric is {metric!r}; it must be one of {', '.join(METRICS)}")
    if torch.get_float32_matmul_precision() != "highest":
        raise RuntimeError(
            "torch may round the factors of float32 products here; "
            "call torch.set_float32_matmul_precision('highest') before"
        )
    rows = [torch.from_numpy(part).to(device) for part in parts]
    scales = [_scale(part, metric) for part in rows]
    raw = [_Points(*pair, None, None, None, 1.0) for pair in zip(rows, scales, strict=True)]
    center = sum(raw[-1].exact(span).sum(0) for span in row_slices(len(rows[-1]), CHUNK))
    center = center / len(rows[-1])
    norms = [
        torch.cat(
            [
                torch.linalg.vector_norm(points.exact(span) - center, dim=1)
                for span in row_slices(len(points.rows), CHUNK)
            ]
        )
        for points in raw
    ]
    unit = max(float(norm.max()) for norm in norms) or 1.0
    return [
        _near(points, center, norm / unit, unit) for points, norm in zip(raw, norms, strict=True)
    ]


def _near(points, center, norm, unit):
    near = torch.empty(points.rows.shape, dtype=torch.float32, device=center.device)
    for span in row_slices(len(near), CHUNK):
        near[span] = (points.exact(span) - center) / unit
    return _Points(points.rows, points.scale, near, (norm**2 / 2).float(), norm, unit)


def _scale(rows, metric):
    """What rows (m, d) are multiplied with: 1, or 1 / length where the metric is the cosine."""
    if metric == "euclidean":
        return torch.ones(len(rows), dtype=torch.float64, device=rows.device)
    length = torch.cat(
        [_sum_columns(rows[span].double() ** 2).sqrt() for span in row_slices(len(rows), CHUNK)]
    )
    zero = (length == 0).nonzero()
    if len(zero):
        raise ValueError(
            f"{len(zero)} of {len(rows)} rows are all zeros, the first is row {int(zero[0])}: "
            "they have no cosine; use the euclidean metric"
        )
    return 1 / length


def _scores(asked, given, lines, columns):
    """-|x - y|^2 / 2 in units of `unit`, (q, m) float32; `_error` says how far it can be wrong."""
    x, y = asked.near[lines], given.near[columns]
    scores = torch.addmm(-given.half[columns], x[:, :SUMMED], y[:, :SUMMED].T)
    for start in range(SUMMED, x.shape[1], SUMMED):
        scores.addmm_(x[:, start : start + SUMMED], y[:, start : start + SUMMED].T)
    return scores.sub_(asked.half[lines, None])


def _error(points, norm_x, norm_y):
    """How far a score can be from the truth: (SUMMED + d / SUMMED + 8) u (|x| + |y|)^2 / 2.

    A float32 sum of m products is wrong by at most m u sum |x_i y_i|, in any order, which is at
    most m u |x| |y|; the sum of such sums, the halves and the roundings of x and y add the rest.
    Higham 2002, Accuracy and stability of numerical algorithms, section 3.1.
    """
    d = points.near.shape[1]
    terms = min(d, SUMMED) + -(-d // SUMMED) + 8
    return terms * ROUNDING * (norm_x + norm_y) ** 2 / 2


def _squared_distances(asked, given, lines, columns, memory_mb):
    """Squared distances (p,) float64 of the pairs (lines[i], columns[i]).

    Equal for equal rows, to the last bit, wherever they stand.
    """
    found = torch.empty(len(lines), dtype=torch.float64, device=lines.device)
    size = max(1, int(memory_mb * 1e6 / 40 / asked.rows.shape[1]))
    for span in row_slices(len(lines), min(size, CHUNK)):
        difference = asked.exact(lines[span]) - given.exact(columns[span])
        found[span] = _sum_columns(difference.square_())
    return found


def _sum_columns(values):
    """Sums (n,) of values (n, d), in the same order for every row: torch's varies with n."""
    while values.shape[1] > 1:
        half, odd = divmod(values.shape[1], 2)
        halves = values[:, :half] + values[:, half : 2 * half]
        halves[:, :odd] += values[:, 2 * half :]
        values = halves
    return values[:, 0]


class _Held:
    """The best `count` scores of each of n queries so far, in falling order, and whose they are.

    Only what is better than the last that is held is looked at, a thousandth soon, and put aside
    until there is enough of it to be worth sorting in.
    """

    def __init__(self, n, count, device):
        self.scores = torch.full((n, count), -torch.inf, device=device)
        self.ids = torch.full((n, count), -1, dtype=torch.int64, device=device)
        self.aside = {}

    def add(self, scores, lines, columns):
        """Take in the scores (q, m) of the queries `lines` with the rows `columns`."""
        count = self.scores.shape[1]
        if self.ids[lines.start, 0] < 0:
            best, ids = scores.topk(min(count, scores.shape[1]), dim=1)
            self._sort_in(best, ids + columns.start, lines)
            return
        aside = self.aside.setdefault((lines.start, lines.stop), [])
        line, column = _above(scores, self.scores[lines, -1])
        aside.append((line, column + columns.start, scores[line, column]))
        if sum(len(line) for line, *_ in aside) > count * len(scores):
            self._put_back(lines)

    def finish(self):
        """Sort in what is still aside."""
        for lines in list(self.aside):
            self._put_back(slice(*lines))

    def _put_back(self, lines):
        parts = zip(*self.aside.pop((lines.start, lines.stop)), strict=True)
        line, ids, scores = (torch.cat(part) for part in parts)
        line, order = line.sort(stable=True)
        per_line = line.bincount(minlength=lines.stop - lines.start)
        place = torch.arange(len(line), device=line.device)
        place -= (per_line.cumsum(0) - per_line)[line]
        shape = len(per_line), int(per_line.max())
        found = torch.full(shape, -torch.inf, device=scores.device)
        found_ids = torch.zeros(shape, dtype=torch.int64, device=scores.device)
        found[line, place], found_ids[line, place] = scores[order], ids[order]
        self._sort_in(found, found_ids, lines)

    def _sort_in(self, scores, ids, lines):
        scores = torch.cat([self.scores[lines], scores], dim=1)
        ids = torch.cat([self.ids[lines], ids], dim=1)
        self.scores[lines], order = scores.topk(self.scores.shape[1], dim=1)
        self.ids[lines] = ids.gather(1, order)


def _above(scores, least):
    """Lines and columns of the scores (q, m) above `least` (q,)."""
    if not scores.is_contiguous():  # a transposed block is read along its memory
        column, line = _nonzero(scores.T - least > 0)
        return line, column
    return _nonzero(scores - least[:, None] > 0)


def _nonzero(mask):
    """Where a contiguous mask (q, m) is true; on a CPU numpy takes a fifth of torch's time."""
    flat = mask.view(-1)
    if mask.device.type == "cpu":
        found = torch.from_numpy(np.flatnonzero(flat.numpy()))
    else:
        found = flat.nonzero()[:, 0]
    return found // mask.shape[1], found % mask.shape[1]


def _settled(asked, given, held, k, own, memory_mb):
    """The k nearest (q, k) of what is held, by distances in float64 where scores leave it open."""
    spans = row_slices(len(held.ids), LARGEST_BLOCK)
    parts = [_settled_lines(asked, given, held, k, own, memory_mb, lines) for lines in spans]
    return torch.cat(parts).cpu().numpy()


def _settled_lines(asked, given, held, k, own, memory_mb, lines):
    """The k nearest of some queries.

    Where all before a place are better than all after it, whatever the errors, there is a cut.
    Between two cuts rows are sorted by distance and number. Where no cut follows the k-th, rows
    that are not held may be among the k, and the query is asked again.
    """
    ids, scores, norm = held.ids[lines], held.scores[lines], asked.norm[lines]
    error = _error(asked, norm[:, None], given.norm[ids])
    lower, upper = scores - error, scores + error
    n_others = len(given.rows) - (own is not None)
    elsewhere = torch.full_like(norm, -torch.inf)  # the best that is not held
    if ids.shape[1] < n_others:
        elsewhere = scores[:, -1] + _error(asked, norm, given.norm.max())
    cut = _cuts(lower, upper, elsewhere)
    runs = torch.zeros_like(ids)
    runs[:, 1:] = cut[:, :-1].cumsum(1)
    again = ~cut[:, k - 1 :].any(1)
    open_here = ~cut
    open_here[:, 1:] |= ~cut[:, :-1]
    open_here &= (runs <= runs[:, k - 1 : k]) & ~again[:, None]
    distance = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
    line, place = open_here.nonzero(as_tuple=True)
    distance[line, place] = _squared_distances(
        asked, given, line + lines.start, ids[line, place], memory_mb
    )
    ids = ids.gather(1, _sorted_by(runs, distance, ids)[:, :k])
    line = again.nonzero()[:, 0]
    if len(line):
        least = lower.topk(k, dim=1).values[line, -1]  # that the true k-th best cannot be below
        ids[line] = _asked_again(asked, given, line + lines.start, least, k, own, memory_mb)
    return ids


def _cuts(lower, upper, elsewhere):
    """Where (q, m) bool all up to a place surely are better than all after it and `elsewhere`."""
    after = torch.cat([upper, elsewhere[:, None]], dim=1)
    after = after.flip(1).cummax(1).values.flip(1)[:, 1:]
    return lower.cummin(1).values > after


def _sorted_by(*keys):
    """The order (q, m) of the columns of each line by the keys (q, m), the first counting most."""
    order = keys[-1].argsort(dim=1, stable=True)
    for key in keys[-2::-1]:
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return order


def _asked_again(asked, given, lines, least, k, own, memory_mb):
    """The k nearest (q, k) to the queries `lines`, from the distance of every row that may be one.

    Those are the rows whose score may reach `least` (q,). Equal rows share one distance: there may
    be thousands, and there are where many queries come here.
    """
    size = max(1, int(memory_mb * 1e6 / BYTES_PER_SCORE / len(given.rows)))
    found = torch.empty((len(lines), k), dtype=torch.int64, device=lines.device)
    for span in row_slices(len(lines), size):
        line, column = _possible(asked, given, lines[span], least[span], own)
        pairs, pair = (line * len(given.rows) + given.first_equal[column]).unique(
            return_inverse=True
        )
        asking, asked_for = lines[span][pairs // len(given.rows)], pairs % len(given.rows)
        distance = _squared_distances(asked, given, asking, asked_for, memory_mb)[pair]
        # Pairs stand by line and column; two stable sorts put them by line, distance and column.
        order = distance.argsort(stable=True)
        order = order[line[order].argsort(stable=True)]
        per_line = line.bincount(minlength=len(lines[span]))
        first = per_line.cumsum(0) - per_line
        found[span] = column[order[first[:, None] + torch.arange(k, device=order.device)]]
    return found


def _possible(asked, given, lines, least, own):
    """The pairs (place in `lines`, row) whose score may reach `least`, by place and row."""
    scores = _scores(asked, given, lines, slice(0, len(given.rows))).double()
    _leave_out(scores, None if own is None else own[lines], 0)
    scores += _error(asked, asked.norm[lines, None], given.norm[None])
    return (scores >= least[:, None]).nonzero(as_tuple=True)


def _leave_out(scores, own, start):
    """Give each query's own row, where it is among the columns from `start` on, the worst score."""
    if own is not None:
        inside = (own >= start) & (own < start + scores.shape[1])
        scores[inside.nonzero()[:, 0], own[inside] - start] = -torch.inf


def _blocks(n, memory_mb):
    """Slices of rows whose scores with as many others take at most `memory_mb`."""
    size = int((memory_mb * 1e6 / BYTES_PER_SCORE) ** 0.5)
    return row_slices(n, max(1, min(size, LARGEST_BLOCK)))


def _checked(rows, what):
    """Rows (n, d) as a contiguous array of floats; ValueError unless they are a finite matrix."""
    rows = np.asarray(rows)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"the {what} must be a matrix (n, d); they have the shape {rows.shape}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(rows)} {what} hold NaN or infinity, the first is row {bad[0]}; "
            "extract the features again"
        )
    return np.ascontiguousarray(rows)


def _check_width(queries, database):
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            f"queries of {queries.shape[1]} dimensions have no distance to rows of "
            f"{database.shape[1]}; take both from one model"
        )


def _check_k(k, n_others):
    if not 1 <= k <= n_others:
        raise ValueError(
            f"k is {k}, but each row has {n_others} others; choose k from 1 to {n_others}"
        )
