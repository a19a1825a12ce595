"""The arrows of the design, read from the source, and that the light commands stay light."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import kerasdl
from kerasdl import keras_private

ROOT = Path(kerasdl.__file__).parent
MODULES = {".".join(("kerasdl", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
           for path in sorted(ROOT.rglob("*.py"))}

# Room -> the rooms that it may import, at the top or inside a function; the further down, the fewer know of it.
# `cli` may import everything, and nobody but __main__ imports `cli`.
ROOT_FILES = "environment errors files recipe run text"
ARROWS = {room: set(names.split()) for room, names in {
    "errors": "", "settings": "errors", "files": "errors", "user_code": "errors files",
    "registry": "errors unimported user_code", "text": "", "logs": "", "keras_private": "", "unimported": "",
    "zoo": "", "compression": "zoo", "data": "errors files settings unimported zoo", "gradients": "",
    "attacks": "errors gradients",
    "recipe": "errors registry settings words", "words": "errors", "recipe_text": "errors recipe", "recipes": "recipe",
    "costs": "data deploy errors objectives recipe unimported user_code zoo",
    "figures": "data", "runs": "errors registry text words", "downloads": "errors files",
    "environment": "installation", "run": "errors files recipe text user_code zoo",
    "installation": "errors environment files data devices",  # doctor looks at folders and devices
    "objectives": "attacks data errors figures keras_private recipe registry run settings text user_code zoo",
    "devices": "data errors installation keras_private recipe run zoo",
    "checkpoints": "devices errors files installation",
    "evaluation": f"{ROOT_FILES} data devices installation objectives zoo",
    "train": f"{ROOT_FILES} checkpoints compression data devices evaluation installation keras_private logs objectives "
             "user_code zoo",
    "reports": "data errors evaluation figures files objectives recipe_text run runs text",
    "ensemble": "environment errors files recipe run data devices evaluation installation objectives train user_code "
                "zoo",
    "photos": "data devices environment errors evaluation figures files objectives recipe reports run text train "
              "user_code zoo",
    "deploy": "compression data downloads errors evaluation figures files objectives recipe registry reports run train "
              "user_code zoo",
    "auto": "costs data deploy devices ensemble environment errors evaluation figures files objectives photos recipe "
            "recipe_text reports run text train tuning zoo",
    "audit": "attacks data devices environment errors evaluation figures files installation objectives recipe reports "
             "run text train user_code",
    "probing": "data environment errors evaluation figures files objectives recipe reports run text train zoo",
    "explain": "data environment errors evaluation figures files gradients objectives reports run text train "
               "unimported zoo",
    "nas": "costs data deploy errors files gradients objectives recipe run train tuning zoo",
    "hub": "data errors objectives recipe recipe_text run text",
    "published": "data environment errors evaluation installation recipe run runs train zoo",
    "plan": "data devices environment errors files installation keras_private objectives recipe train",
    "tuning": "checkpoints costs data devices errors figures files installation logs objectives recipe recipe_text "
              "reports run text train user_code zoo",
    "__main__": "cli",
}.items()}
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
    """Return the package or file below kerasdl that a module is in; "" for kerasdl itself."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_arrows(module):
    if room(module) in ("", "cli"):
        return
    for name in inside(imported(module, everywhere=True)) - {"kerasdl"}:
        assert room(name) in {room(module), *ARROWS[room(module)]}, f"{module} imports {name}"


def test_every_arrow_is_used():
    used = {name: set() for name in ARROWS}
    for module in MODULES:
        if room(module) in used:
            used[room(module)] |= {room(name) for name in inside(imported(module, everywhere=True))}
    assert not {name: arrows - used[name] for name, arrows in ARROWS.items() if arrows - used[name]}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "zoo"])
def test_zoo_imports_keras_and_numpy_only(module):
    outside = {name.partition(".")[0] for name in imported(module, everywhere=True)} - set(sys.stdlib_module_names)
    readers = {"h5py", "safetensors"} if module == "kerasdl.zoo.weights.files" else set()  # of the formats of files
    assert outside <= {"keras", "numpy", "kerasdl", *readers}


@pytest.mark.parametrize("module", ["kerasdl", "kerasdl.errors", "kerasdl.recipe", "kerasdl.published.results",
                                    "kerasdl.installation.tpu", *(
    f"kerasdl.plan.{name}" for name in ("chips", "estimate", "max_batch", "planner", "report"))])
def test_the_light_modules_import_nothing_heavy(module):
    assert not {name.partition(".")[0] for name in imported(module, everywhere=True)} & HEAVY


def test_no_cycle_not_even_of_two_files():
    """Imports inside functions count."""
    graph = {module: inside(imported(module, everywhere=True)) - {module} for module in MODULES}
    done, path = set(), []

    def visit(module):
        assert module not in path, f"import cycle: {' -> '.join([*path[path.index(module):], module])}"
        if module not in done:
            path.append(module)
            for name in sorted(graph[module]):
                visit(name)
            done.add(path.pop())

    for module in MODULES:
        visit(module)


KERAS_NAMES = {name for kind in (keras.Model, keras.layers.Layer, keras.layers.MultiHeadAttention, keras.layers.Dense,
                                 keras.optimizers.AdamW, keras.optimizers.Muon, keras.layers.BatchNormalization)
               for name in dir(kind) if re.match("_[a-z]", name)} | set(keras_private.NAMES)


def test_private_names_of_keras_stand_in_one_file_each_with_its_reason():
    used = set()
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "attr", None) if isinstance(node, ast.Attribute) else \
                node.name if isinstance(node, ast.FunctionDef) else \
                node.args[1].value if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" \
                and isinstance(node.args[1], ast.Constant) else None
            if name in KERAS_NAMES and path.parent.name not in ("tuning", "samplers"):
                used.add(name)
    assert used == set(keras_private.NAMES)


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
