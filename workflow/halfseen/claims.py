"""Claims tested on the tables of a study: holds, does not hold, undecided, or not tested.

A ledger (`halfseen.ledger`) is data: estimands, each a column of a table with its interval, and
claims, each an expression over estimands. Here an expression is asked of every cell that its claim
ranges over: data sets, models and what `each` lists. In a cell every kind of expression comes down
to a margin, above 0 where it is true:

- above, at_least, below, at_most: how far a value is from a limit, a number or another column;
- between: how far it is inside of two limits;
- greater: how much a value exceeds another one;
- highest, lowest: how much a value exceeds the strongest of its rivals, or with `rank` m the m-th
  strongest, so that it is among the m highest (lowest).

A cell holds where the 95 % interval of its margin lies above 0, fails where it lies below, and is
undecided where it does neither or has no interval. A claim holds where every cell that it names
holds; it does not where a single one fails; else it is undecided. For the first the cells' own
level is enough; the second has one interval in forty for each cell whose margin is exactly 0, and
nothing is corrected, neither for cells nor for claims.

The interval of a difference is the paired one where a table has it. Two values of one data set
share their images, and their own intervals do not tell how far they move together: then the
extremes of both bound the difference, which is right however they do, and wide. Those of two data
sets are independent, and the distances from their limits add in squares (Zou and Donner 2008).
"""

from dataclasses import dataclass, field, replace
from itertools import product
from operator import attrgetter

from halfseen.spelling import did_you_mean

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_TESTED, ANSWERED = "not tested", "answered"
LIMITS = {"above": (1, True), "at_least": (1, False), "below": (-1, True), "at_most": (-1, False)}
KINDS = (*LIMITS, "between", "greater", "highest", "lowest")
SIGNS = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}
# What a table of paired differences calls a difference of two variants, or of two models.
PAIRED = {"variant": ("variants", "model"), "model": ("models", "variant")}


class ClaimError(ValueError):
    """The ledger asks for what no study could have; the message names it and the nearest name."""


class Untested(Exception):
    """The study at hand lacks what a claim needs; the message says what."""


@dataclass(frozen=True)
class Evidence:
    """What a study has: `tables` {name: table}, `datasets` {name: kind}, trained `models`.

    `choices` {name: what `$name` stands for in this study, None for nothing}; `labels`
    {"datasets", "models": {name: label}}.
    """

    tables: dict
    datasets: dict
    models: list
    choices: dict
    labels: dict
    asked: dict = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, None where there is none, and `how` that was made."""

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ""

    def shifted(self, sign, limit):
        """`sign` (1 or -1) times the distance from a limit."""

        def moved(number):
            return None if number is None else sign * (number - limit) + 0.0  # no -0

        low, high = (self.low, self.high)[::sign]
        return Estimate(moved(self.value), moved(low), moved(high), self.how)


@dataclass(frozen=True)
class Cell:
    """One test of an expression: its margin, the effect that is shown, and which cell it is."""

    part: str
    dataset: str
    model: str
    each: str
    margin: Estimate | None = None
    effect: Estimate | None = None
    effect_of: str = ""
    limits: tuple = (0,)
    rival: str = ""
    strict: bool = True
    reason: str = ""
    tables: tuple = field(default=(), compare=False)

    @property
    def verdict(self):
        """What the interval says."""
        if self.margin is None:
            return NOT_TESTED
        if self.margin.low is None:
            return UNDECIDED
        return _side(self.margin.low, self.margin.high, self.strict)

    @property
    def by_value(self):
        """What the value says, as if it had no interval."""
        return NOT_TESTED if self.margin is None else _side(*2 * [self.margin.value], self.strict)


def claim_verdict(cells, lacking=(), by="verdict"):
    """The verdict over cells: one that fails decides, and all must hold, none be left out."""
    verdicts = [getattr(cell, by) for cell in cells]
    if all(verdict == NOT_TESTED for verdict in verdicts):
        return NOT_TESTED
    if FAILS in verdicts:
        return FAILS
    return HOLDS if set(verdicts) == {HOLDS} and not lacking else UNDECIDED


def decisive_cell(cells):
    """The cell that decides: where the margin is lowest, by the interval's end that counts.

    Of cells that fail the one that fails most clearly; else the one nearest to failing, undecided
    ones first; None where no cell was tested.
    """
    unsure = [cell for cell in cells if cell.verdict == UNDECIDED]
    unsure_end = "low" if all(cell.margin.low is not None for cell in unsure) else "value"
    for verdict, end in ((FAILS, "high"), (UNDECIDED, unsure_end), (HOLDS, "low")):
        found = [cell for cell in cells if cell.verdict == verdict]
        if found:
            return min(found, key=attrgetter(f"margin.{end}"))
    return None


def claim_cells(claim, ledger, evidence):
    """The cells of a claim, tested, and its scope: what of it the study has."""
    scope = _scope(claim, ledger["paper"], evidence)
    cells = []
    for expression in claim.get("all_of", [claim]):
        (kind,) = set(KINDS) & set(expression)
        spec = {"kind": kind, **expression[kind]}
        for dataset, model, each in product(
            scope.datasets, scope.models, _each(expression.get("each", {}))
        ):
            cell = Cell(
                asks(expression, ledger),
                dataset,
                model,
                _values(each),
                tables=_tables(spec, ledger),
            )
            try:
                own = {"dataset": dataset, "model": model} | each
                tested = TESTS[kind](spec, own, ledger["estimands"], evidence)
                cells.append(replace(cell, **tested))
            except Untested as lack:
                cells.append(replace(cell, reason=str(lack)))
    return cells, scope


def estimate(estimand, at, evidence):
    """The value of an estimand and its interval at coordinates, {column or key: value}.

    Raises Untested where the study has no such table, row or value, and ClaimError for a column
    that the table lacks, for a value that no study could have and where several rows are left.
    """
    row = _row(estimand["table"], _columns(estimand, at), estimand, evidence)
    ends = [row[estimand[end]] if end in estimand else "" for end in ("low", "high")]
    if row[estimand["value"]] == "":
        raise Untested(f"table {estimand['table']} has no {estimand['value']} at {_cell_text(at)}")
    value = float(row[estimand["value"]])
    if "" in ends:
        return Estimate(value, how="no interval")
    return Estimate(value, *map(float, ends), estimand["interval"])


def difference(estimand, left, right, evidence):
    """How much the estimand at `left` exceeds that at `right`; see the module for its interval."""
    x, y = (estimate(estimand, at, evidence) for at in (left, right))
    differing = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
    if "paired" in estimand and len(differing) == 1 and differing[0] in PAIRED:
        return _paired_difference(estimand, differing[0], left, right, evidence)
    value = x.value - y.value
    if x.low is None or y.low is None:
        return Estimate(value, how="no interval")
    if left["dataset"] != right["dataset"]:
        below = ((x.value - x.low) ** 2 + (y.high - y.value) ** 2) ** 0.5
        above = ((x.high - x.value) ** 2 + (y.value - y.low) ** 2) ** 0.5
        return Estimate(value, value - below, value + above, f"{x.how}; independent samples")
    return Estimate(value, x.low - y.high, x.high - y.low, f"{x.how}; extremes of both intervals")


def asks(expression, ledger):
    """An expression in words: "balanced accuracy of original > that of foreground"."""
    (kind,) = set(KINDS) & set(expression)
    spec = expression[kind]
    label = ledger["estimands"][spec["of"]]["label"]
    own = f"{label}{_of(spec.get('at', {}))}"
    if kind in LIMITS:
        limit = spec["limit"]
        words = (
            f"{own} {SIGNS[kind]} {limit if isinstance(limit, (int, float)) else f'its {limit}'}"
        )
    elif kind == "between":
        words = f"{own} from {spec['limits'][0]} to {spec['limits'][1]}"
    elif kind == "greater":
        words = f"{own} > that{_of(spec['than'])}"
    else:
        rank = spec.get("rank", 1)
        which = kind if rank == 1 else f"among the {rank} {kind}"
        ((key, names),) = spec["among"].items()
        words = f"{own} {which} of {_listed(key, names)}"
    each = " and ".join(
        f"each of {_listed(key, names)}" for key, names in expression.get("each", {}).items()
    )
    joint = " of " if words.endswith("> that") else ", for "
    return f"{words}{joint}{each}" if each else words


# --- the kinds of expressions: each gives the fields of a tested cell ---


def _limit_test(spec, own, estimands, evidence):
    sign, strict = LIMITS[spec["kind"]]
    estimand, at = estimands[spec["of"]], own | spec.get("at", {})
    value, limit = estimate(estimand, at, evidence), spec["limit"]
    if isinstance(limit, str):
        given = _row(estimand["table"], _columns(estimand, at), estimand, evidence)
        if limit not in given:
            near = did_you_mean(limit, given)
            raise ClaimError(f"table {estimand['table']} has no column {limit!r}{near}")
        limit = float(given[limit])
    return dict(
        margin=value.shifted(sign, limit), effect=value, effect_of="value", limits=(limit,),
        strict=strict,
    )  # fmt: skip


def _between_test(spec, own, estimands, evidence):
    lowest, highest = spec["limits"]
    value = estimate(estimands[spec["of"]], own | spec.get("at", {}), evidence)

    def inside(number):
        return min(number - lowest, highest - number)

    if value.low is None:
        margin = Estimate(inside(value.value))
    else:
        # The interval's point that is farthest inside is its nearest to the middle.
        best = min(max((lowest + highest) / 2, value.low), value.high)
        margin = Estimate(
            inside(value.value), min(inside(value.low), inside(value.high)), inside(best)
        )
    limits = (lowest, highest)
    return dict(margin=margin, effect=value, effect_of="value", limits=limits, strict=False)


def _greater_test(spec, own, estimands, evidence):
    left, right = (_resolved(own | spec.get(side, {}), evidence) for side in ("at", "than"))
    found = difference(estimands[spec["of"]], left, right, evidence)
    return dict(margin=found, effect=found, effect_of="difference")


def _rank_test(spec, own, estimands, evidence):
    sign, rank = 1 if spec["kind"] == "highest" else -1, spec.get("rank", 1)
    at = own | spec.get("at", {})
    ((key, names),) = spec["among"].items()
    rivals = [name for name in names if _same(name) != _same(at[key])]
    if key == "model":
        rivals = [name for name in rivals if name in evidence.models]
    if len(rivals) < rank:
        raise Untested(f"the study has {len(rivals)} to compare {in_words(at[key])} with")
    found = [difference(estimands[spec["of"]], at, at | {key: rival}, evidence) for rival in rivals]
    margins = [each.shifted(sign, 0) for each in found]
    nearest = sorted(range(len(rivals)), key=lambda i: margins[i].value)[rank - 1]
    # The m-th smallest margin lies between the m-th smallest of the low and of the high ends.
    bounded = all(margin.low is not None for margin in margins)
    ends = [
        sorted(getattr(margin, end) for margin in margins)[rank - 1] if bounded else None
        for end in ("low", "high")
    ]
    effect_of = "lead over the nearest rival" if rank == 1 else f"lead over number {rank + 1}"
    margin = Estimate(margins[nearest].value, *ends, found[nearest].how)
    return dict(margin=margin, effect=margin, effect_of=effect_of, rival=in_words(rivals[nearest]))


TESTS = (
    dict.fromkeys(LIMITS, _limit_test)
    | {"between": _between_test, "greater": _greater_test}
    | {"highest": _rank_test, "lowest": _rank_test}
)


# --- rows of tables ---


def _row(name, wanted, estimand, evidence):
    """The one row of a table where the columns have the wanted values: {column: text}."""
    own = name == estimand["table"]
    where = estimand["where"] if own else estimand["paired"]["where"]
    for end in ("value", "low", "high"):
        if own and end in estimand:
            _field(_table(name, evidence), estimand[end], name)
    found = _rows_by(tuple(wanted), name, where, evidence)
    rows = found.get(tuple(map(str, wanted.values())), [])
    if not rows:
        raise Untested(f"table {name} has no row of {_cell_text(wanted)}")
    if len(rows) > 1:
        keys = [key for key in rows[0] if len({row[key] for row in rows}) > 1]
        raise ClaimError(
            f"{estimand['label']}: {len(rows)} rows of table {name} are left at "
            f"{_cell_text(where | wanted)}; they differ in {', '.join(keys)}: name one in `where`"
        )
    return rows[0]


def _rows_by(columns, name, where, evidence):
    """{values of the columns: rows} of what an estimand is about; made once, as it is long."""
    key = columns, name, tuple(where.items())
    if key not in evidence.asked:
        table = _asked_rows(name, where, evidence)
        values = [_field(table, column, name) for column in columns]
        found = {}
        for at, row in zip(zip(*values, strict=True), table.to_dict("records"), strict=True):
            found.setdefault(at, []).append(row)
        evidence.asked[key] = found
    return evidence.asked[key]


def _asked_rows(name, where, evidence):
    """The rows of a table where the columns have the values of `where`, all fields as text."""
    left = _table(name, evidence)
    for column, value in where.items():
        values = _field(left, column, name).astype(str)
        wanted = _choice(value, evidence)
        if wanted not in set(values) and len(values) and not str(value).startswith("$"):
            near = did_you_mean(wanted, values.unique())
            raise ClaimError(f"column {column} of table {name} has no {wanted!r}{near}")
        left = left[values == wanted]
    if left.empty:
        raise Untested(f"table {name} has no row of {_cell_text(where)}")
    return left.astype(str)


def _table(name, evidence):
    if name not in evidence.tables:
        raise Untested(f"the study has no table {name}")
    return evidence.tables[name]


def _field(table, column, name):
    """A column of a table."""
    if column not in table:
        raise ClaimError(
            f"table {name} has no column {column!r}{did_you_mean(column, table.columns)}"
        )
    return table[column]


def _choice(value, evidence):
    """The text that a value is compared as; `$name` stands for what the study chose."""
    text = str(value)
    if not text.startswith("$"):
        return text
    found = evidence.choices.get(text[1:])
    if found is None:
        raise Untested(f"the study has no {text[1:].replace('_', ' ')}")
    return str(found)


def _columns(estimand, at):
    """Coordinates by column: a key of the estimand gives its value to each of its columns."""
    found = {}
    for key, value in at.items():
        columns = estimand.get("keys", {}).get(key, [key])
        values = value if isinstance(value, list) else [value] * len(columns)
        found |= dict(zip(columns, values, strict=True))
    return found


def _paired_difference(estimand, varied, left, right, evidence):
    """The row of a table of paired differences, which has each pair in one order only."""
    try:
        found = _paired_row(estimand, varied, left, right, evidence)
    except Untested:
        return _paired_row(estimand, varied, right, left, evidence).shifted(-1, 0)
    return found


def _paired_row(estimand, varied, left, right, evidence):
    paired, (compares, within) = estimand["paired"], PAIRED[varied]
    fixed = {"dataset": left["dataset"], "compares": compares, "within": left[within]}
    wanted = fixed | {"first": left[varied], "second": right[varied]}
    row = _row(paired["table"], wanted, estimand, evidence)
    ends = (float(row[end]) for end in ("difference", "low", "high"))
    return Estimate(*ends, paired["interval"])


# --- what of a claim's data sets and models the study has ---


@dataclass(frozen=True)
class Scope:
    """What a claim is tested on, what of its own it lacks, and what stands in for it."""

    datasets: list
    models: list
    lacking: list
    elsewhere: str = ""


def _scope(claim, paper, evidence):
    """The data sets and models of the study that a claim is asked of.

    Those that it names, a data set by its kind. Where the study has none of them, its own: data
    sets unless `elsewhere` is nothing, models if it is everything. Empty where nothing may stand
    in; `lacking` then tells why.
    """
    named, kinds = named_models(claim, paper), claim["datasets"]
    datasets = [name for name, kind in evidence.datasets.items() if kind in kinds]
    models = [name for name in named if name in evidence.models]
    other, lacking = [], []
    if not datasets and claim["elsewhere"] != "nothing":
        datasets, other = list(evidence.datasets), ["data"]
    else:
        had = evidence.datasets.values()
        lacking = [paper["datasets"][kind] for kind in kinds if kind not in had]
    if not models and claim["elsewhere"] == "everything":
        models, other = list(evidence.models), [*other, "models"]
        lacking += [] if models else ["encoder with trained weights"]
    else:
        lacking += [paper["models"][name] for name in named if name not in evidence.models]
    return Scope(datasets, models, lacking, f"other {' and '.join(other)}" if other else "")


def named_models(claim, paper):
    """The paper's models that a claim speaks of."""
    models = claim["models"]
    if models == "every":
        return list(paper["models"])
    if isinstance(models, dict):
        return [name for name in paper["models"] if name not in models["every_but"]]
    return models


def _resolved(at, evidence):
    """Coordinates whose data set is the study's where it is given by its kind."""
    if at["dataset"] in evidence.datasets:
        return at
    found = [name for name, kind in evidence.datasets.items() if kind == at["dataset"]]
    if not found:
        raise Untested(f"the study has no data set of kind {at['dataset']}")
    return at | {"dataset": found[0]}


def _each(lists):
    """Every combination of what `each` lists: [{key: value}], one empty one for no list."""
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def _tables(spec, ledger):
    estimand = ledger["estimands"][spec["of"]]
    paired = [estimand["paired"]["table"]] if "paired" in estimand else []
    return (estimand["table"], *(paired if spec["kind"] not in (*LIMITS, "between") else []))


def _side(low, high, strict):
    """The verdict on a margin from low to high: an end at 0 decides nothing if `strict`."""
    if low > 0 or (low == 0 and not strict):
        return HOLDS
    return FAILS if high < 0 else UNDECIDED


def _same(value):
    """A pair of names is the same in either order."""
    return frozenset(value) if isinstance(value, list) else value


def in_words(value):
    """A name, or a pair of names as one word."""
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _listed(key, names):
    return ", ".join(map(in_words, names)) if len(names) <= 5 else f"{len(names)} {key}s"


def _values(coordinates):
    return ", ".join(map(in_words, coordinates.values()))


def _of(coordinates):
    return f" of {_values(coordinates)}" if coordinates else ""


def _cell_text(wanted):
    return ", ".join(f"{column} {value}" for column, value in wanted.items())
