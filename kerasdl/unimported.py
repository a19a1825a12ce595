"""What a file of Python declares, read from its text: importing the file may import TensorFlow, which takes long."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def function(file: Path, name: str) -> Callable[..., Any]:
    """Return a function that takes what the one of this name in a file takes, and does nothing.

    It has no annotations, and `...` in place of a default that is not a plain value.
    """
    found = next(node for node in _parsed(file).body if isinstance(node, ast.FunctionDef) and node.name == name)
    given = found.args
    plain = ast.arguments(
        [ast.arg(one.arg) for one in given.posonlyargs], [ast.arg(one.arg) for one in given.args],
        given.vararg and ast.arg(given.vararg.arg), [ast.arg(one.arg) for one in given.kwonlyargs],
        [one and _default(one) for one in given.kw_defaults], given.kwarg and ast.arg(given.kwarg.arg),
        [_default(one) for one in given.defaults])
    module = ast.Module([ast.Assign([ast.Name(name, ast.Store())], ast.Lambda(plain, ast.Constant(None)))], [])
    space: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(module), str(file), "exec"), space)  # of names and plain values only
    return space[name]


def constants(file: Path) -> dict[str, Any]:
    """Return the plain values that a file gives to names, of its own and not of a class or a function."""
    return {target.id: value for node in _parsed(file).body if isinstance(node, ast.Assign)
            if (value := _plain(node.value)) is not ... for target in node.targets if isinstance(target, ast.Name)}


def attributes(file: Path, base: str) -> dict[str, Any]:
    """Return the plain values that the first subclass of `base` in a file sets for its class.

    Attributes that are something else are left out, but for `Settings`: if that is a class of the same file with no
    other base than the class `Settings` and without methods, it is here as the list of its fields: a method may accept
    others, too.
    """
    classes = {node.name: node for node in _parsed(file).body if isinstance(node, ast.ClassDef)}
    found = next(node for node in classes.values() if any(isinstance(it, ast.Name) and it.id == base
                                                          for it in node.bases))
    values: dict[str, Any] = {}
    for node in found.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = classes.get(node.value.id) if isinstance(node.value, ast.Name) else None
        own = named is not None and [ast.unparse(it) for it in named.bases] == ["Settings"] and not any(
            isinstance(it, ast.FunctionDef) for it in named.body)
        value = _fields(named) if named is not None and own else _plain(node.value)
        if value is not ...:
            values |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return values


def _fields(found: ast.ClassDef) -> list[str]:
    return [node.target.id for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(
        node.target, ast.Name)]


def _default(node: ast.expr) -> ast.expr:
    return ast.Constant(...) if _plain(node) is ... else node


def _plain(node: ast.expr) -> Any:
    """Return the value of a literal; `...` of anything else."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...
