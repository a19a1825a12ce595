"""The arrows of the design, read from the source, and that the light commands stay light."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import kerasdl

ROOT = Path(kerasdl.__file__).parent
MODULES = {".".join(("kerasdl", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
           for path in sorted(ROOT.rglob("*.py"))}

# Room -> what of kerasdl it may import, at the top or inside a function. What is not here may import all but cli.
ARROWS = {
    "kerasdl.errors": (),
    "kerasdl.installation.tpu": (),
    "kerasdl.installation.backend": ("errors", "tpu"),
    "kerasdl.recipe": ("errors",),
    "kerasdl.run": ("errors", "recipe", "tpu", "zoo"),
    "kerasdl.published.results": ("recipe", "zoo"),
    "kerasdl.published.reproduce": ("backend", "errors", "recipe", "run", "train", "evaluate", "results"),
    "kerasdl.ensemble": ("backend", "errors", "recipe", "run", "data", "objectives", "train", "zoo", "evaluate"),
    "kerasdl.zoo": ("zoo",),
    "kerasdl.data": ("errors", "data"),
    "kerasdl.objectives": ("errors", "zoo", "objectives"),
    "kerasdl.train": ("errors", "tpu", "backend", "recipe", "run", "zoo", "data", "objectives", "train"),
    "kerasdl.tuning": ("backend", "errors", "recipe", "run", "data", "objectives", "train", "figures", "tuning"),
    "kerasdl.plan": ("backend", "errors", "recipe", "run", "tpu", "data", "objectives", "train", "plan"),
    "kerasdl.recipes": ("recipe",),
}
HEAVY = {"keras", "keras_tuner", "tensorflow", "tensorflow_datasets", "jax", "pandas", "sklearn", "scipy", "matplotlib"}


def imported(module, everywhere):
    """Full names that a module imports: only while it is itself imported, or inside functions too."""
    path = MODULES[module]
    waiting, found = [ast.parse(path.read_text())], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not everywhere:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def inside(names):
    """The modules of kerasdl among full names, of which the last part may be a function or a class."""
    homes = (name if name in MODULES else name.rpartition(".")[0] for name in names if name.startswith("kerasdl"))
    return {home for home in homes if home in MODULES}


def room(module):
    return next((name for name in ARROWS if module == name or module.startswith(name + ".")), None)


@pytest.mark.parametrize("module", MODULES)
def test_arrows(module):
    names = inside(imported(module, everywhere=True))
    if module != "kerasdl.__main__" and not (module + ".").startswith("kerasdl.cli."):
        assert not any((name + ".").startswith("kerasdl.cli.") for name in names)
    if room(module) is None:
        return
    allowed = [f"kerasdl.{name}" for name in ARROWS[room(module)]]
    for name in names:
        assert any(name == home or name.startswith(home + ".") for home in allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "kerasdl.zoo"])
def test_zoo_imports_keras_and_numpy_only(module):
    outside = {name.partition(".")[0] for name in imported(module, everywhere=True)} - set(sys.stdlib_module_names)
    assert outside <= {"keras", "numpy", "kerasdl"}


@pytest.mark.parametrize("module", ["kerasdl", "kerasdl.errors", "kerasdl.recipe", "kerasdl.published.results",
                                    "kerasdl.installation.tpu", *(
    f"kerasdl.plan.{name}" for name in ("chips", "estimate", "max_batch", "planner", "report"))])
def test_the_light_modules_import_nothing_heavy(module):
    assert not {name.partition(".")[0] for name in imported(module, everywhere=True)} & HEAVY


def test_no_cycles():
    """Among what is imported while modules are imported; a package counts with its __init__."""
    graph = {}
    for module in MODULES:
        names = inside(imported(module, everywhere=False))
        parents = {name.rpartition(".")[0] for name in names} - {"kerasdl"}
        graph[module] = {name for name in names | parents if name != module and not module.startswith(name + ".")}
    done, path = set(), []

    def visit(module):
        assert module not in path, f"import cycle: {' -> '.join([*path[path.index(module):], module])}"
        if module not in done:
            path.append(module)
            for name in sorted(graph.get(module, ())):
                visit(name)
            done.add(path.pop())

    for module in MODULES:
        visit(module)


def test_list_and_show_import_neither_tensorflow_nor_keras():
    """In a new process, because this one has them."""
    code = f"""if True:
        import sys
        import kerasdl, kerasdl.cli
        dir(kerasdl)
        for arguments in (["list"], ["show", "vit_digits", "epochs=3"], ["results"], ["--help"]):
            sys.argv = ["kerasdl", *arguments]
            try:
                kerasdl.cli.main()
            except SystemExit as stop:
                assert not stop.code
        heavy = {HEAVY} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "vit_digits" in done.stdout and not done.stderr


def test_the_public_names_are_there_and_stay():
    """The first call of kerasdl.train imports the package of that name, after which it must still be callable."""
    importlib.import_module("kerasdl.train.fit")
    with pytest.raises(kerasdl.UserError, match="'vit_digit'"):
        kerasdl.train("vit_digit")
    for name in kerasdl.__all__:
        assert getattr(kerasdl, name) is not None and name in dir(kerasdl)
    with pytest.raises(AttributeError, match="trian"):
        kerasdl.trian  # noqa: B018
