"""A function build(hp) in the manner of keras-tuner: importing it, and asking it for all its hyperparameters.

    python -m kerasdl.tuning.build FILE.py:NAME FOLDER      writes FOLDER/space.json

It builds models, so it is asked in a process of its own, whose memory and devices come back.
"""

import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import write_json

TURNS = 1000


def load(build: str) -> Callable:
    """The function of "FILE.py:NAME".

    Raises:
        UserError: if the file cannot be imported, or has no such function.
    """
    file, _, name = build.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(module.__name__, module)
    sys.path.insert(0, str(Path(file).parent))  # as if the user had run the file
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{file} cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}.") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{file} has no function {name!r}.")
    return function


def probe(build: Callable) -> Any:
    """All hyperparameters of a function, as keras_tuner.HyperParameters: built until each conditional scope was active.

    Raises:
        UserError: if the same name is used under two conditions: keras-tuner drops its value.
    """
    from keras_tuner import HyperParameters

    found = HyperParameters()
    active: list[Any] = []
    waiting: list[Any] = [[]]
    for _ in range(TURNS):
        if not waiting:
            break
        hp = found.copy()
        for condition in waiting[0]:
            hp.values[condition.name] = condition.values[0]
        hp.ensure_active_values()
        build(hp)
        found.merge(hp, overwrite=False)
        active += copy.deepcopy(hp.active_scopes) + waiting[:1]
        waiting = [scope for scope in waiting[1:] + copy.deepcopy(hp.inactive_scopes) if scope not in active]
    names = [hp.name for hp in found.space]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"build(hp) uses the name {twice!r} under two conditions, of which keras-tuner loses one. "
                        "Give each its own name.")
    return found


def space(build: str, folder: str | Path) -> Any:
    """The hyperparameters of "FILE.py:NAME", asked once in a process of its own and kept in `folder`/space.json.

    Raises:
        UserError: with what build raised.
    """
    from keras_tuner import HyperParameters

    file = Path(folder) / "space.json"
    if not file.exists():
        done = subprocess.run([sys.executable, "-P", "-m", "kerasdl.tuning.build", build, str(folder)],
                              capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it was killed"]
            raise UserError(f"build(hp) of {build} failed: {lines[-1]}")
    return HyperParameters.from_config(json.loads(file.read_text()))


def main() -> None:
    build, folder = sys.argv[1:]
    hps = probe(load(build))
    hps.values = {}
    write_json(Path(folder) / "space.json", hps.get_config())


if __name__ == "__main__":
    main()
