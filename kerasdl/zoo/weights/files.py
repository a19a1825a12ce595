"""Files of weights as named NumPy arrays. No pickle is loaded; see `legacy` for the one file that is an exception."""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

READ = (".safetensors", ".npz", ".h5", ".keras")
OURS = "kerasdl"  # what the header of a .safetensors file says made it
PRESET = "model.weights.h5"  # the network of a KerasHub preset


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of weights by their names.

    Args:
        path: .safetensors, .npz, Keras' .weights.h5, .keras or older .h5. Of a Keras file an array is called by its
            layer and its place there, "conv1/0". Also the folder of a KerasHub preset, whose network has the prefix
            "backbone/" and whose head, in a file of its own, has none.

    Raises:
        ValueError: no such file, one that is damaged or of another kind, or the package that reads it is missing.
    """
    path = Path(path).expanduser()
    folder = path.parent if path.name == PRESET and (path.parent / "config.json").is_file() else path
    if (folder / PRESET).is_file():
        head = folder / "task.weights.h5"
        body = {f"backbone/{name}": array for name, array in _read(folder / PRESET).items()}
        return body | (_read(head) if head.is_file() else {})
    return _read(path)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ValueError(f"There is no file of weights {str(path)!r}.")
    if path.suffix not in (*READ, ".pth"):
        raise ValueError(f"{path} is no file of weights that is read. Expected one of: {', '.join(READ)}. A pickle may "
                         "run any program: convert it to safetensors where it comes from.")
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        if path.suffix == ".pth":
            from kerasdl.zoo.weights import legacy

            return legacy.read(path)
        return _keras(path)
    except ImportError as error:
        raise ValueError(f"{path.name} needs the package {error.name}: pip install 'kerasdl[weights]'") from None
    except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no file of weights: {' '.join(str(error).split())[:200]}") from None


def write(path: str | Path, arrays: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> None:
    """Write arrays as a .safetensors file.

    Args:
        path: the file.
        arrays: by name.
        notes: of the file's header.

    Raises:
        OSError: it cannot be written there.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path, dict(notes))
    except SafetensorError as error:  # which is what the library makes of an OSError
        raise OSError(str(error)) from None


def header(path: str | Path) -> dict[str, Any]:
    """Return what the header of a .safetensors file that `writing.save` wrote says; of any other file nothing.

    Raises:
        ValueError: a header that is damaged.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        notes = file.metadata() or {}
    if notes.get("made_by") != OURS or "mean" not in notes:
        return {}
    try:
        return {key: json.loads(notes[key]) for key in ("image_size", "mean", "std", "epsilon", "classes")}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} has a header of kerasdl that is damaged: {error}") from None


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _keras(path: Path) -> dict[str, np.ndarray]:
    import h5py

    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as inside, h5py.File(inside) as file:
            return _of_group(file)
    with h5py.File(path) as file:
        inside = file["model_weights"] if "model_weights" in file else file  # of a whole model
        return _of_old(inside) if "layer_names" in inside.attrs else _of_group(inside)


def _of_group(file) -> dict[str, np.ndarray]:
    """Return the arrays of Keras 3, whose groups are called by the layers' classes and note the layers' names."""
    found = {}

    def visit(path, item):
        if hasattr(item, "shape") and not re.search(r"^optimizer/|/seed_generator/", path):
            place, _, number = path.rpartition("/")
            *above, layer = place.removesuffix("/vars").split("/")
            own = file[place].attrs.get("name", layer)
            inside = [part for part in above if part not in ("layers", "_layer_checkpoint_dependencies")]
            found["/".join([*inside, own, number])] = np.asarray(item)

    file.visititems(visit)
    return found


def _of_old(file) -> dict[str, np.ndarray]:
    """Return the arrays of the format before Keras 3."""
    return {f"{layer}/{number}": np.asarray(file[layer][name]) for layer in _texts(file.attrs["layer_names"])
            for number, name in enumerate(_texts(file[layer].attrs["weight_names"]))}


def _texts(names) -> list[str]:
    """Return names as texts: h5py 2, by which old files were written, stored them as bytes."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
