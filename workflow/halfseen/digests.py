"""Digests that say whether code or inputs are still the ones that made a result."""

import ast
import functools
import hashlib
import json
from pathlib import Path

PACKAGE = Path(__file__).parent
DIGEST_LENGTH = 16
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_digest(script, package=PACKAGE):
    """16 hex digits: digest of a script and of each `package` module it imports, transitively.

    Comments, docstrings and formatting do not count; a module counts wherever in the code it is
    imported. Snakemake compares it as a parameter, since editing an imported module reruns nothing
    by itself. Raises ValueError for a relative import, which it could not follow.
    """
    files = {"script": Path(script)} | imported_files(script, package)
    return content_digest({name: normalised_source(file) for name, file in files.items()})


def imported_files(script, package=PACKAGE):
    """The file of every module of `package` that a script imports, transitively, by its name."""
    files, waiting = {}, list(_imported_modules(Path(script), package))
    while waiting:
        module = waiting.pop()
        if module not in files:
            files[module] = _module_file(module, package)
            waiting += _imported_modules(files[module], package)
    return files


def content_digest(value):
    """16 hex digits: digest of str, number, bool, None, list or dict, in whatever order of keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@functools.cache
def normalised_source(path):
    """The code of a file without comments, docstrings and formatting."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


@functools.cache
def _imported_modules(path, package):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(
                    f"{path} line {node.lineno} has a relative import; name the module in full"
                )
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    # Importing a.b.c runs a and a.b as well.
    names |= {
        ".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)
    }
    ours = {name for name in names if name.split(".")[0] == package.name}
    return sorted(name for name in ours if _module_file(name, package))


def _module_file(name, package):
    base = package.parent.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
