"""AutoGluon and FLAML on arrays, for benchmarks/auto.py. It imports nothing of kerasdl: it runs where they are.

    PYTHON benchmarks/auto_others.py autogluon|flaml classify|regress MINUTES SEED GIVEN.npz FOUND.npz
"""

import sys
import tempfile
from importlib.metadata import version

import numpy as np


def flaml(given, objective, seconds, seed):
    """Return probabilities, or numbers, of the test split by FLAML."""
    from flaml import AutoML

    model = AutoML()
    task, metric = ("classification", "accuracy") if objective == "classify" else ("regression", "r2")
    model.fit(given["x_train"], given["y_train"], X_val=given["x_val"], y_val=given["y_val"], task=task, metric=metric,
              time_budget=seconds, seed=seed, verbose=0)
    return model.predict_proba(given["x_test"]) if objective == "classify" else model.predict(given["x_test"])


def autogluon(given, objective, seconds, _):
    """Return probabilities, or numbers, of the test split by AutoGluon, which takes no seed."""
    import pandas as pd
    from autogluon.tabular import TabularPredictor

    def frame(part):
        table = pd.DataFrame(given[f"x_{part}"]).add_prefix("c")
        return table.assign(y=given[f"y_{part}"]) if part != "test" else table

    kinds = "multiclass" if len(np.unique(given["y_train"])) > 2 else "binary"
    kind, metric = ("regression", "r2") if objective == "regress" else (kinds, "accuracy")
    with tempfile.TemporaryDirectory() as folder:
        model = TabularPredictor("y", problem_type=kind, eval_metric=metric, path=folder, verbosity=0)
        model.fit(frame("train"), tuning_data=frame("val"), time_limit=seconds)
        found = model.predict_proba(frame("test")) if objective == "classify" else model.predict(frame("test"))
        return found.to_numpy()


def main(name, objective, minutes, seed, source, target):
    with np.load(source, allow_pickle=False) as arrays:
        given = dict(arrays)
    found = {"flaml": flaml, "autogluon": autogluon}[name](given, objective, 60 * float(minutes), int(seed))
    outputs = np.log(np.maximum(found, 1e-9)) if objective == "classify" else found[:, None]
    package = "autogluon.tabular" if name == "autogluon" else name
    np.savez(target, outputs=outputs, version=f"{package} {version(package)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
