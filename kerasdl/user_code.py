"""A user's own model or objective: `FILE.py:NAME` in a recipe. A run keeps a copy of the file in its folder `code`.

The file may import installed packages; other files of the user's are not copied, so a run of one that imports them is
refused. A module is named by the file's content, so that the copy is the same module and an edited file another one.
"""

import ast
import hashlib
import importlib.machinery
import importlib.util
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import whole

CODE = "code"
NEVER = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")  # not true when a run imports the file
FIND = """import importlib.machinery, importlib.util, sys
{is_found}
print(*(name for name in sys.argv[1:] if not is_found(name)))"""


def is_reference(name: str) -> bool:
    """Return whether a recipe's word names a file, `my_model.py:build`; `check` says if `:build` is missing."""
    return ".py:" in name or name.endswith(".py")


def split(reference: str) -> tuple[Path, str]:
    """Return the file and the name in it."""
    file, _, name = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    return Path(file), name


def check(reference: str, run: Path | None = None) -> Path:
    """Return the file of a reference: the run's copy if it has one, else the user's own.

    Raises:
        UserError: the name is not one of Python's, or there is no such file.
    """
    file, name = split(reference)
    if not name.isidentifier():
        raise UserError(f"Your own code is written FILE.py:NAME, where NAME is a function or class in the file. "
                        f"Received: {reference!r}.")
    if run is not None and (run / CODE / file.name).is_file():
        return run / CODE / file.name
    if not file.is_file():
        raise UserError(f"There is no file {file}, which {reference!r} names.")
    return file


def load(reference: str, run: Path | None = None) -> Any:
    """Return what a reference names, importing its file once.

    Raises:
        UserError: the file cannot be imported, or does not define the name.
    """
    file = check(reference, run)
    module, name = import_file(file), split(reference)[1]
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(f"{file} does not define {name!r}. It defines: {', '.join(public) or 'nothing'}.")
    return getattr(module, name)


def import_file(file: Path) -> ModuleType:
    """Import a file of Python by its path, once, and let it import its neighbours as when Python runs it."""
    name = module_name(file)
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None  # as for every path that ends in .py
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(file.parent.resolve()))
        try:
            spec.loader.exec_module(module)
        except BaseException as error:  # whatever the user's own lines raise, or an interruption
            del sys.modules[name]
            if isinstance(error, UserError) or not isinstance(error, (Exception, SystemExit)):
                raise
            raise UserError(f"{file} cannot be imported: {type(error).__name__}: "
                            f"{' '.join(str(error).split())}.") from error
        finally:
            sys.path.remove(str(file.parent.resolve()))
    register_layers(sys.modules[name], file.stem)
    return sys.modules[name]


def module_name(file: Path) -> str:
    """Return what the module of a file is called; with another content, it has another name."""
    return f"kerasdl_{file.stem}_{digest(file)[:8]}"


def register_layers(module: ModuleType, stem: str) -> None:
    """Make the layers that a file defines, and what it registers itself, those that Keras finds from now on.

    A saved layer is called `my_model>Layer`, also where other runs have another my_model.py. Some runs of 0.2 call it
    by the module.
    """
    if "keras" not in sys.modules:
        return
    import keras

    for value in list(vars(module).values()):
        if not isinstance(value, (type, FunctionType)) or value.__module__ != module.__name__:
            continue
        own = keras.saving.get_registered_name(value)
        if isinstance(value, type) and issubclass(value, keras.layers.Layer) and own == value.__name__:
            keras.saving.register_keras_serializable(package=stem)(value)
            own = keras.saving.get_registered_name(value)
        if own != value.__name__:
            keras.saving.get_custom_objects().update(
                {name: value for name in (own, f"{module.__name__}>{value.__name__}")})


def digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def references(recipe: Any) -> list[str]:
    """Return the references of a recipe: its model's and its objective's, where they are files."""
    return [name for name in (recipe.model, recipe.objective) if is_reference(name)]


def keep(recipe: Any, run: Path) -> None:
    """Copy the recipe's files into the run, or check that they are still those that it began with.

    Raises:
        UserError: two files of one name, a file that imports others of the user's, or one that was changed since the
            run began, or since this process imported it.
    """
    files = own_files(recipe)
    if len({file.name for file in files}) < len(files):
        raise UserError(f"A run keeps one file of each name. Received: {', '.join(map(str, sorted(files)))}.")
    for file in files:
        copy = run / CODE / file.name
        if not copy.is_file():
            if missed := not_installed(file) - {other.stem for other in files if other.parent == file.parent}:
                raise UserError(f"{file} imports {min(missed)}, which is no installed package, and a run keeps "
                                f"{file.name} alone. Put both in one file, or install the other as a package.")
            if module_name(file) not in sys.modules:
                raise UserError(f"{file} has changed since this training imported it. Start it again.")
            copy.parent.mkdir(exist_ok=True)
            with whole(copy) as partial:
                shutil.copyfile(file, partial)
    for file in changed(recipe, run):
        raise UserError(f"{file} has changed since {run} began; its copy there is {run / CODE / file.name}. Start a "
                        "new run, or undo the change.")


def own_files(recipe: Any) -> set[Path]:
    """Return the files that a recipe names."""
    return {split(reference)[0] for reference in references(recipe)}


def changed(recipe: Any, run: Path) -> list[Path]:
    """Return the recipe's files that are no longer those of which the run has copies."""
    return [file for file in own_files(recipe) if file.is_file() and (run / CODE / file.name).is_file()
            and digest(file) != digest(run / CODE / file.name)]


def kept(recipe: Any, run: Path) -> dict[str, str]:
    """Return the model and the objective of a recipe, where they are the user's own code those of the run's copy."""
    return {field: f"{check(name, run).resolve()}:{split(name)[1]}" if is_reference(name) else name
            for field, name in (("model", recipe.model), ("objective", recipe.objective))}


def not_installed(file: Path) -> set[str]:
    """Return the modules that a file imports and that a new process elsewhere would not find.

    What this process does not find either is an import that the file can do without.
    """
    here = [name for name in sorted(imported(file)) if is_near(file, name) or is_found(name)]
    if not here:
        return set()
    code = FIND.format(is_found=inspect.getsource(is_found))
    asked = subprocess.run([sys.executable, "-P", "-c", code, *here], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in asked.stdout.split()}


def imported(file: Path) -> set[str]:
    """Return the full names that a file imports; the last part may be a function or a class."""
    waiting: list[ast.AST] = [ast.parse(file.read_bytes())]
    found = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{each.name}" for each in node.names if node.module}
        if isinstance(node, ast.If) and ast.unparse(node.test) in NEVER:
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def is_near(file: Path, name: str) -> bool:
    """Return whether a module, or its package, is next to a file."""
    top = file.parent / name.partition(".")[0]
    return top.with_name(f"{top.name}.py").is_file() or (top / "__init__.py").is_file()


def is_found(name: str) -> bool:
    """Return whether Python finds a module, or the first package on the way to it that is no mere folder."""
    top, *inner = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # of a module that was not imported from anywhere, such as __main__
        return False
    while spec and spec.origin is None and inner:
        top = f"{top}.{inner.pop(0)}"
        spec = importlib.machinery.PathFinder.find_spec(top, spec.submodule_search_locations)
    return spec is not None and spec.origin is not None


def register(run: Path) -> None:
    """Import the files that a run keeps, so that Keras finds their layers when it loads the run's model."""
    for file in sorted((run / CODE).glob("*.py")):
        import_file(file)
