"""What a script of the workflow imports from the package, for tests of its environments."""

import ast
import functools
from pathlib import Path

from halfseen.study.code import DOCUMENTED, PACKAGE


def imported_files(script, package=PACKAGE):
    """The file of every module of `package` that a script imports, transitively, by its name."""
    files, waiting = {}, list(_imported_modules(Path(script), package))
    while waiting:
        module = waiting.pop()
        if module not in files:
            files[module] = _module_file(module, package)
            waiting += _imported_modules(files[module], package)
    return files


@functools.cache
def normalized_source(path):
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
