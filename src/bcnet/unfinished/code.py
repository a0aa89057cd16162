"""The code that a training or a prediction runs, as a hash: of what computes, not of what is said about it."""

import ast
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

COMPUTES = ("training", "models", "methods", "data", "inference", "weights")  # rooms of the package


def code_digest(first: Sequence[str]) -> str:
    """SHA-256 of the code of modules and of all that they import in the rooms that compute.

    Comments, docstrings, messages of errors and the layout of lines do not count.

    Args:
        first: names of modules, such as the training loop and a method's module.
    """
    digest = hashlib.sha256()
    for path in modules(first):
        digest.update(bare(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def modules(first: Sequence[str]) -> list[Path]:
    """The files of those modules and of all that they import, directly or not, in the rooms of `COMPUTES`, sorted."""
    files: dict[str, Path] = {}
    waiting = list(first)
    while waiting:
        name = waiting.pop()
        if name in files or (path := _file(name)) is None:
            continue
        files[name] = path
        waiting += imported(path.read_text(encoding="utf-8"))
    return sorted(set(files.values()))


@cache  # a training asks twice
def imported(source: str) -> tuple[str, ...]:
    """Names that a module's code imports in the rooms of `COMPUTES`: modules, and what may be modules in them."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    parts = [(node.module, node.names) for node in nodes if node.module and _counts(node.module)]
    return tuple(name for module, names in parts for name in (module, *(f"{module}.{alias.name}" for alias in names)))


def _counts(module: str) -> bool:
    return module.split(".")[:1] == ["bcnet"] and module.split(".")[1:2] in [[room] for room in COMPUTES]


def _file(module: str) -> Path | None:
    """The file of a module; None for a name that is no module, such as a function's."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # a function of a module has no parts
        return None
    return Path(spec.origin) if spec and spec.origin else None


@cache
def bare(source: str) -> str:
    """A module's code without comments, docstrings and messages of errors."""
    return ast.unparse(_Bare().visit(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """A text that stands alone is a docstring."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """What is raised is an end, whatever it says."""
        return ast.copy_location(ast.Raise(exc=None, cause=None), node)
