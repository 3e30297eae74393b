"""What the paper tells of its set-up and leaves open, and what a study of ours chose."""

from pathlib import Path

import yaml

from halfseen.config import raise_problems, schema_problems
from halfseen.spelling import did_you_mean

TOLD, DIFFERS, OPEN = "as the paper", "different", "left open"


def read_choices(path, schema_path, settings):
    """The rows of the file at `path`, each with what `settings` say: plain dicts.

    `settings` are a study's: {key: value}, {key: {key: value}} and, of a table, the rows that the
    study uses, {table: {row: {key: value}}}. Each path in `ours` becomes a dict of `table`, `key`,
    `values` {row: value} of the rows that have the key ("" for what is in no table) and `complete`,
    whether that is every row. `status` is TOLD, DIFFERS or OPEN. Raises ConfigError for a table or
    key that the settings lack.
    """
    name = Path(path).name
    document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    raise_problems(name, schema_problems(document, schema_path, name))
    rows = document["choices"]
    raise_problems(name, [text for row in rows for text in _problems(row, settings)])
    return [_with_ours(row, settings) for row in rows]


def _problems(row, settings):
    for path in row["ours"]:
        table, *_ = path.split(".")
        if table not in settings:
            near = did_you_mean(table, settings)
            yield f"{row['choice']}: {table!r} is no setting of a study{near}"


def _with_ours(row, settings):
    ours = [_setting(path, settings) for path in row["ours"]]
    values = [value for setting in ours for value in setting["values"].values()]
    status = OPEN
    if "told" in row:
        status = TOLD if all(value == row["told"] for value in values) else DIFFERS
    kept = {name: row[name] for name in ("choice", "paper", "words")}
    return kept | {"ours": ours, "status": status}


def _setting(path, settings):
    """What "key", "table.key" or "table.row.key" says; rows that are not there say nothing."""
    table, *row, key = path.split(".") if "." in path else ("", path)
    found = settings[table] if table else settings
    if key in found:
        return {"table": table, "key": key, "values": {"": found[key]}, "complete": True}
    rows = {name: found[name] for name in found if row in ([], [name])}
    values = {name: own[key] for name, own in rows.items() if isinstance(own, dict) and key in own}
    complete = len(values) == len(rows)
    return {"table": table, "key": key, "values": values, "complete": complete}
