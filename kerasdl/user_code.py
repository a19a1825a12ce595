"""A user's own model or objective: `FILE.py:NAME` in a recipe. A run keeps a copy of the file in its folder `code`.

The file may import installed packages; other files next to it are not copied, so a run that imports them depends on
them.
"""

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import whole

CODE = "code"
LOADED: dict[str, ModuleType] = {}  # by the hash of the file, so that a class is made once in a process


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
    """Import a file of Python by its path, and let it import its neighbours as when Python runs it."""
    key = digest(file)
    if key in LOADED:
        return LOADED[key]
    name = file.stem if file.stem not in sys.modules else f"kerasdl_{file.stem}_{key[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # as for every path that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # saved layers name their module
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:  # whatever the user's own lines raise
        del sys.modules[name]
        raise UserError(f"{file} cannot be imported: {type(error).__name__}: "
                        f"{' '.join(str(error).split())}.") from error
    finally:
        sys.path.remove(str(file.parent.resolve()))
    LOADED[key] = module
    register_layers(module)
    return module


def register_layers(module: ModuleType) -> None:
    """Make the layers that a file defines known to Keras, which refuses to load others from a saved model."""
    if "keras" not in sys.modules:
        return
    import keras

    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, keras.layers.Layer) and value.__module__ == module.__name__ \
                and keras.saving.get_registered_object(keras.saving.get_registered_name(value)) is None:
            keras.saving.register_keras_serializable(package=module.__name__)(value)


def digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def references(recipe: Any) -> list[str]:
    """Return the references of a recipe: its model's and its objective's, where they are files."""
    return [name for name in (recipe.model, recipe.objective) if is_reference(name)]


def keep(recipe: Any, run: Path) -> None:
    """Copy the recipe's files into the run, or check that they are still those that it began with.

    Raises:
        UserError: two files of one name, or a file that was changed since the run began.
    """
    files = {split(reference)[0] for reference in references(recipe)}
    if len({file.name for file in files}) < len(files):
        raise UserError(f"A run keeps one file of each name. Received: {', '.join(map(str, sorted(files)))}.")
    for file in files:
        copy = run / CODE / file.name
        if not copy.is_file():
            copy.parent.mkdir(exist_ok=True)
            with whole(copy) as partial:
                shutil.copyfile(file, partial)
        elif file.is_file() and digest(file) != digest(copy):
            raise UserError(f"{file} has changed since {run} began; its copy there is {copy}. Start a new run, or "
                            "undo the change.")


def register(run: Path) -> None:
    """Import the files that a run keeps, so that Keras finds their layers when it loads the run's model."""
    for file in sorted((run / CODE).glob("*.py")):
        import_file(file)
