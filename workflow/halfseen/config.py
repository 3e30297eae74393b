"""The configuration: checked against its schema, defaults filled in, errors that say the remedy."""

from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from halfseen.spelling import did_you_mean

TABLES_WITH_LABELS = (
    "datasets",
    "segmenters",
    "detectors",
    "prompts",
    "models",
    "variants",
    "measures",
    "probes",
)


class ConfigError(ValueError):
    """The configuration is wrong; the message names key, value and the nearest valid one."""


def check_config(config, schema_path):
    """Check `config` against the schema at `schema_path` and fill in its defaults, in place.

    Raises ConfigError with one line per problem.
    """
    raise_problems("config.yaml", schema_problems(config, schema_path, "config.yaml"))


def schema_problems(document, schema_path, name):
    """What is wrong with a document by the schema at `schema_path`: lines, none if it is valid.

    The schema's defaults are filled in, in place; `table: models` beside a string means that it
    names a row of the document's own table. `name` is that of the document's file.
    """
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    _fill_defaults(document, schema)
    errors = sorted(
        _validator(schema, document).iter_errors(document), key=lambda error: error.json_path
    )
    return list(dict.fromkeys(line for error in errors for line in _explain(error, name)))


def raise_problems(name, problems):
    """Raise ConfigError with one line per problem of the file `name`, if there are any."""
    if problems:
        raise ConfigError(f"{name} is not valid:\n" + "\n".join(f"- {line}" for line in problems))


def take_labels(config):
    """Remove the labels from the rows of every table and give them back: {table: {name: label}}.

    So a changed label makes new figures, and no new results.
    """
    return {
        table: {name: row.pop("label") for name, row in config[table].items()}
        for table in TABLES_WITH_LABELS
    }


def _validator(schema, config):
    def names_a_row(validator, table, value, schema):
        rows = config.get(table) if isinstance(config.get(table), dict) else {}
        if isinstance(value, str) and value not in rows:
            yield ValidationError(
                f"{value!r} is no row of {table}, which has {_choice(value, rows)}"
            )

    return validators.extend(Draft202012Validator, {"table": names_a_row})(schema)


def _explain(error, name):
    where = ".".join(str(part) for part in error.absolute_path) or name
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                found = f"unknown key {key!r} (value {error.instance[key]!r})"
                yield f"{where}: {found}; the keys are {_choice(key, known)}"
    elif error.validator == "enum":
        valid = _choice(error.instance, error.validator_value)
        yield f"{where}: {error.instance!r} is not one of {valid}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield f"{where}: lacks the key {_listed(missing)}"
    elif "propertyNames" in error.absolute_schema_path:
        rule = "must be lower case letters, digits and _, a letter first"
        yield f"{where}: the name {error.instance!r} {rule}"
    elif error.validator == "table":
        yield f"{where}: {error.message}"
    else:
        description = error.schema.get("description") if isinstance(error.schema, dict) else None
        yield f"{where}: {error.message}" + (f" ({description})" if description else "")


def _choice(word, valid):
    return _listed(valid) + did_you_mean(word, valid)


def _listed(names):
    return ", ".join(repr(name) for name in names) or "nothing"


def _fill_defaults(value, schema):
    if isinstance(value, list):
        for item in value:
            _fill_defaults(item, schema.get("items", {}))
    if not isinstance(value, dict) or not isinstance(schema, dict):
        return
    for part in _applicable(value, schema):
        for key, subschema in part.get("properties", {}).items():
            if isinstance(subschema, dict):
                if "default" in subschema and key not in value:
                    value[key] = yaml.safe_load(yaml.safe_dump(subschema["default"]))
                if key in value:
                    _fill_defaults(value[key], subschema)
        rest = part.get("additionalProperties")
        if isinstance(rest, dict):
            for key in value.keys() - part.get("properties", {}).keys():
                _fill_defaults(value[key], rest)


def _applicable(value, schema):
    """`schema` and those of its `then` branches whose `if` holds for `value`."""
    yield schema
    for part in schema.get("allOf", []):
        if "if" in part and "then" in part and Draft202012Validator(part["if"]).is_valid(value):
            yield part["then"]
