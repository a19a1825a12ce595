"""The one pickle that is read: EfficientNet-Lite0's, an old torch file, by an unpickler that makes tensors only.

Anything else in it is refused: a pickle names functions, and these names are the only ones that mean something here.
"""

import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of that file
DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
KNOWN = {("collections", "OrderedDict"): OrderedDict}


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that torch wrote before version 1.6: four pickles, then the numbers of each storage.

    Raises:
        ValueError: another file, or one that names anything but tensors.
    """
    with open(path, "rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != SHA256:
            raise ValueError("it is a pickle, which may run any program. Convert it to safetensors where it comes from")
    storages: dict[str, Any] = {}  # first (dtype, count), then the numbers
    with open(path, "rb") as file:
        for _ in range(3):  # a magic number, a version, and the sizes of types
            _Plain(file).load()
        views = _Tensors(file, storages).load()
        for key in _Plain(file).load():
            dtype, count = storages[key]
            if int.from_bytes(file.read(8), "little") != count:
                raise ValueError(f"storage {key} has another length than it says")
            storages[key] = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        if file.read(1):
            raise ValueError("it has bytes after its last storage")
    return {name: _tensor(storages[key], *place) for name, (key, *place) in views.items()}


def _tensor(data: np.ndarray, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """Return a view of a storage as an array of its own."""
    if offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) >= len(data):
        raise ValueError("a tensor reaches beyond its storage")
    steps = tuple(step * data.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(data[offset:], shape, steps).copy()


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries."""

    def find_class(self, module, name):
        raise ValueError(f"it names {module}.{name}, which is not a tensor")


class _Tensors(_Plain):
    """Also tensors, as (storage, offset, shape, stride)."""

    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def persistent_load(self, reference):
        kind, dtype, key, _, count, *_ = reference
        if kind != "storage" or dtype not in DTYPES.values():
            raise ValueError("it refers to something that is not the storage of a tensor")
        self.storages[key] = (dtype, count)
        return key

    def find_class(self, module, name):
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape, stride)
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        return super().find_class(module, name)
