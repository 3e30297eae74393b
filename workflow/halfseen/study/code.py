"""Which code a result depends on, definition by definition, and digests of it.

A job's script names functions, these name others: what can be reached this way is what the job
runs. Two kinds of names are not followed. `PLUMBING` moves, finds or reports numbers and never
changes one. `REGISTRIES` map the kinds of a row to code: only the kinds that a job's rows select
are followed, so that a new kind changes the digest of nothing. Comments, docstrings, formatting,
annotations, what is printed and the messages of errors do not count.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
LENGTH = 16
# Modules, or definitions in them.
PLUMBING = frozenset(
    {
        "halfseen.logs",
        "halfseen.progress",
        "halfseen.spelling",
        "halfseen.features",
        "halfseen.weights",
        "halfseen.study",
        "halfseen.files.atomic_path",
        "halfseen.files.atomic_folder",
        "halfseen.devices.best_device",
        "halfseen.devices.default_batch_size",
        "halfseen.devices.device_named",
        "halfseen.devices.keep_freed_memory",
        "halfseen.devices.release_freed_memory",
        "halfseen.devices.use_threads",
    }
)
REGISTRIES = frozenset(
    {
        "halfseen.datasets.kinds.DRAWN",
        "halfseen.datasets.kinds.KINDS",
        "halfseen.measures.MEASURES",
        "halfseen.networks.LOADERS",
        "halfseen.probes.PROTOCOLS",
        "halfseen.prompts.DRAWN",
        "halfseen.prompts.PROMPTS",
        "halfseen.segmenters.SEGMENTERS",
        "halfseen.similarity_tables.LOCAL",
        "halfseen.variants.KEEP",
    }
)
# Fields of syntax trees that change no number.
UNCOUNTED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Code:
    """The code of a package, for digests of parts of it.

    A root is a script, a path; a definition, "package.module.name"; or a kind of a registry,
    "package.module.REGISTRY[kind]". Every file is read once.
    """

    def __init__(self, package=PACKAGE, plumbing=PLUMBING, registries=REGISTRIES):
        self.package = Path(package)
        self.plumbing, self.registries = plumbing, registries
        self._definitions = cache(self._definitions_of)
        self._definition = cache(self._definition_of)
        self._module = cache(lambda name: _Module(name, self._file(name)))
        self._file = cache(self._file_of)

    def digest(self, *roots):
        """16 hex digits of all that the `roots` run."""
        return _digest(self.definitions(*roots))

    def definitions(self, *roots):
        """{definition: its digest} of all that the `roots` run, sorted by name.

        Raises ValueError for a relative or a star import and for a root that is not there.
        """
        found = {}
        for root in roots:
            found |= self._definitions(str(root))
        return dict(sorted(found.items()))

    def _definitions_of(self, root):
        found, waiting = {}, []
        for name, module, nodes in self._of_root(root):
            found[name] = _digest([_plain(node) for node in nodes])
            waiting += self._references(module, nodes)
        while waiting:
            name = waiting.pop()
            if name not in found and not self._is_cut(name):
                found[name], named = self._definition(name)
                waiting += named
        return found

    def _definition_of(self, name):
        """The digest of one definition, and the definitions that it names."""
        module_name, _, own = name.rpartition(".")
        module = self._module(module_name)
        nodes = module.effects + module.names[own]
        return _digest([_plain(node) for node in nodes]), self._references(module, nodes)

    def _of_root(self, root):
        """(name, module, syntax trees) of what a root stands for itself."""
        if root.endswith(".py"):
            module = _Module("", Path(root))
            yield "script", module, [module.tree]
            return
        path, _, kind = root.removesuffix("]").partition("[")
        module_name, _, name = path.rpartition(".")
        module = self._module(module_name)
        if name not in module.names:
            raise ValueError(f"{module.path} defines no {name!r}")
        nodes = module.names[name]
        if kind:
            nodes = [_entry(node.value, kind) for node in nodes]
            nodes = [node for node in nodes if node is not None] or module.names[name]
        yield root, module, nodes

    def _is_cut(self, name):
        parts = name.split(".")
        return name in self.registries or any(
            ".".join(parts[:n]) in self.plumbing for n in range(1, len(parts) + 1)
        )

    def _file_of(self, name):
        base = self.package.parent.joinpath(*name.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        return None

    def _references(self, module, nodes):
        """The definitions of the package that syntax trees of a module name."""
        names, attributes, imports = _named(nodes)
        imports = module.imports | {
            alias: target for node in imports for alias, target in _imports(node, module.path)
        }
        found = []
        for name in sorted(names):
            if name in module.names and module.name:
                found.append(f"{module.name}.{name}")
            elif name in imports:
                found += self._resolved(imports[name], attributes.get(name, set()))
        return found

    def _resolved(self, target, attributes):
        """The definitions that an imported name stands for; of a module those in `attributes`."""
        if target.split(".")[0] != self.package.name:
            return []
        if self._file(target):
            module = self._module(target)
            wanted = attributes & module.names.keys() or module.names.keys()
            return [f"{target}.{name}" for name in sorted(wanted)]
        module_name, _, name = target.rpartition(".")
        module = self._module(module_name)
        if name in module.names:
            return [target]
        if name in module.imports:
            return self._resolved(module.imports[name], attributes)
        raise ValueError(f"{module.path} defines no {name!r}")


class _Module:
    """A file's top-level definitions {name: syntax trees}, its imports and its other statements."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.names, self.imports, self.effects = {}, {}, []
        for node in self.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= dict(_imports(node, path))
            elif isinstance(node, ast.Expr):
                if not isinstance(node.value, ast.Constant):
                    self.effects.append(node)
            else:
                for bound in _bound(node):
                    self.names.setdefault(bound, []).append(node)


def _imports(node, path):
    """(alias, what it stands for) of an import."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (
                (alias.asname or alias.name.split(".")[0]),
                (alias.name if alias.asname else alias.name.split(".")[0]),
            )
        return
    if node.level:
        where = f"{path} line {node.lineno}"
        raise ValueError(f"{where} has a relative import; name the module in full")
    for alias in node.names:
        if alias.name == "*":
            raise ValueError(f"{path} line {node.lineno} imports *; name what it uses")
        yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _bound(node):
    """The names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    } | {part.name for part in ast.walk(node) if isinstance(part, ast.FunctionDef | ast.ClassDef)}


def _entry(value, kind):
    """The value of a key in a dict display, or in a union of some; None where it is not seen."""
    if isinstance(value, ast.BinOp):
        found = [_entry(side, kind) for side in (value.right, value.left)]
        return next((node for node in found if node is not None), None)
    if isinstance(value, ast.Dict):
        for key, entry in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == kind:
                return entry
    return None


def _named(nodes):
    """What syntax trees name: names, {name: its attributes}, and the imports inside of them."""
    names, attributes, imports = set(), {}, []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        waiting += _counted_children(node)
    return names, attributes, imports


def _counted_children(node):
    for _, value in _counted(node):
        parts = value if isinstance(value, list) else [value]
        yield from (part for part in parts if isinstance(part, ast.AST))


def _counted(node):
    """(field, value) of a syntax tree, of those that may change a number."""
    for field, value in ast.iter_fields(node):
        if value is None or value == [] or field in UNCOUNTED:
            continue
        if field == "body" and isinstance(value, list):
            value = [part for part in value if not _is_unseen(part)]
            if isinstance(node, DOCUMENTED) and _is_text(value[:1]):
                value = value[1:]
        if isinstance(node, ast.Raise) and isinstance(value, ast.Call):
            value = value.func
        yield field, value


def _is_unseen(node):
    """Whether a statement only prints."""
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    )


def _is_text(nodes):
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for node in nodes
    )


def _plain(value):
    """A syntax tree as lists and texts, the same in every version of Python that can parse it."""
    if isinstance(value, ast.AST):
        return [type(value).__name__, *([field, _plain(part)] for field, part in _counted(value))]
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return repr(value)


def _digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:LENGTH]
