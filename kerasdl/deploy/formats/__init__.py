"""Files that other runtimes run. A format is one file of this folder, and its module has

- `FILE`: the name of the file, or of the folder, that it writes;
- `PACKAGES`: what has to be importable, besides kerasdl;
- `QUANTIZED`: {kind: what becomes of numbers}, the ways in which it can store them in fewer bits;
- `write(network, path, kind, examples)`: write a float32 network; `kind` is a key of QUANTIZED or None, and `examples`
  (N, ...) float32 or int32 show a calibration what the network will see;
- `load(path, threads) -> call`: what runs the file, (B, ...) -> outputs of it as an array. It imports neither Keras nor
  TensorFlow unless the format is theirs.
- `RUNTIME`, if `kerasdl serve` runs it: what has to be importable for that;
- `CONVERTS = False`, if Keras writes it with any backend; TensorFlow makes the others;
- `LOOPS = False`, if recurrent layers have to be unrolled for it;
- `annotate(path, facts)`, if a file of the format has a place for {name: text};
- `check(run, objective, network)`, if there are runs that it does not take: raise a UserError;
- `accompany(path, run, objective, exported, x)`, if more files belong to it: write them into the folder `path`.
  `exported` is what export.json will say, and `x` (N, ...) are the validation examples.
"""

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from kerasdl.errors import UserError, nearest

EXTRAS = {"openvino": "openvino"}  # of pip, that a format needs; "export" for the others


class Format(Protocol):
    """What the module of a format has; RUNTIME, CONVERTS, LOOPS, annotate, check and accompany may be missing."""

    FILE: str
    PACKAGES: tuple[str, ...]
    QUANTIZED: Mapping[str, str]
    write: Callable[[Any, str, str | None, np.ndarray], None]
    load: Callable[[str, int], Callable[[np.ndarray], np.ndarray]]


def names() -> list[str]:
    """Return the names of the formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str, kind: str | None = None) -> Format:
    """Return a format.

    Raises:
        UserError: an unknown one, one that does not quantize so, or one whose packages are missing.
    """
    if name not in names():
        raise UserError(f"There is no format {name!r}. {nearest(name, names())}")
    found: Any = import_module(f"{__name__}.{name}")
    if kind is not None and kind not in found.QUANTIZED:
        ways = f"Expected one of: {', '.join(found.QUANTIZED)}." if found.QUANTIZED else "It stores float32 only."
        raise UserError(f"--format {name} has no --quantize {kind}. {ways}")
    if missing := [package for package in found.PACKAGES if find_spec(package) is None]:
        raise UserError(f"--format {name} needs {' and '.join(missing)}: "
                        f"pip install 'kerasdl[{EXTRAS.get(name, 'export')}]'")
    return found
