"""What a page tells of the software that made it: its packages and its code."""

import importlib.metadata
import json

import yaml


def config_text(config):
    """A configuration of plain values as YAML, in its own order, every value where it belongs."""
    apart = json.loads(json.dumps(config))  # what is one object in two places would be a reference
    return yaml.safe_dump(apart, sort_keys=False, allow_unicode=True)


def package_versions(names):
    """{name: version} of the packages that are installed here, in the order of `names`."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
